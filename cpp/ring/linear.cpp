#include "ring/linear.hpp"

#include <algorithm>
#include <optional>

#include "ring/block_map.hpp"
#include "ring/parallel.hpp"

namespace fhe::ring {

namespace {
constexpr std::size_t kTile = 1024;
}

void switch_key(const Context& context, std::uint64_t* out, bool adds, const KeySwitch& job) {
    const std::size_t n = context.n();
    const std::size_t rows = job.rows.size();
    const std::size_t tile = std::min(n, kTile);
    const bool extended = job.addend_rows == rows;
    const KernelTable& kernels = context.kernels();
    std::optional<BlockMap> map;
    if (job.permutation != nullptr) map.emplace(job.permutation, n);
    parallel_for(context.threads(), rows, [&](std::size_t r, std::size_t) {
        const Modulus& m = context.modulus(job.rows[r]);
        const std::size_t stored = job.key.stored[r];
        const std::uint64_t factor =
            r < job.limbs ? key_factor(extended ? 1 : job.p_mod_q[r], m) : key_factor(1, m);
        const auto digit = [&](std::size_t d) {
            return job.own_rows.covers(d, r) ? job.source + r * n : job.digits + (d * rows + r) * n;
        };
        std::vector<const std::uint64_t*> digits(job.digit_count), ahead;
        for (std::size_t start = 0; start < n; start += tile) {
            const bool last = start + tile == n;
            const auto from = [&](std::size_t at) { return map ? map->source(at, tile) : at; };
            const std::size_t source = from(start);
            const std::size_t next = last ? source : from(start + tile);
            ahead.clear();
            for (std::size_t d = 0; d < job.digit_count; ++d) {
                digits[d] = digit(d) + source;
                ahead.push_back(digit(d) + next);
            }
            for (std::size_t poly = 0; adds && poly < 2; ++poly) {
                ahead.push_back(out + (poly * rows + r) * n + start + tile);
            }
            kernels::KeyProduct product{job.digit_count,
                                        digits.data(),
                                        job.key.at(stored, source, n),
                                        job.key.digits,
                                        {nullptr, nullptr},
                                        factor,
                                        {nullptr, nullptr},
                                        map ? map->steps(source) : nullptr,
                                        map ? map->patterns() : nullptr,
                                        ahead.data(),
                                        last ? 0 : ahead.size(),
                                        last ? nullptr : job.key.at(stored, next, n)};
            std::uint64_t* targets[2];
            for (std::size_t poly = 0; poly < 2; ++poly) {
                if (poly < job.addend_polys && r < job.addend_rows) {
                    product.addends[poly] = job.addend + (poly * job.addend_rows + r) * n + source;
                }
                targets[poly] = out + (poly * rows + r) * n + start;
                if (adds) product.bases[poly] = targets[poly];
            }
            kernels.key_product(targets, product, tile, m);
        }
    });
}

void tensor(const Context& context, std::uint64_t* out, const std::uint64_t* a,
            const std::uint64_t* b, const Rows& rows) {
    const std::size_t n = context.n();
    const std::size_t poly = rows.size() * n;
    const KernelTable& kernels = context.kernels();
    parallel_for(context.threads(), rows.size(), [&](std::size_t r, std::size_t) {
        const Modulus& m = context.modulus(rows[r]);
        const std::uint64_t* left[] = {a + r * n, a + poly + r * n};
        const std::uint64_t* right[] = {b + poly + r * n, b + r * n};
        kernels.multiply(out + r * n, left[0], right[1], n, m);
        kernels.dot_product(out + poly + r * n, left, right, 2, n, m);
        kernels.multiply(out + 2 * poly + r * n, left[1], right[0], n, m);
    });
}

}  // namespace fhe::ring
