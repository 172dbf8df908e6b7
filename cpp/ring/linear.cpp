#include "ring/linear.hpp"

#include <algorithm>

namespace fhe::ring {

namespace {
constexpr std::size_t kTile = 1024;
}

void switch_key(const Context& context, std::uint64_t* out, const std::uint64_t* base,
                const KeySwitch& job) {
    const std::size_t n = context.n();
    const std::size_t rows = job.rows.size();
    const std::size_t tile = std::min(n, kTile);
    const bool extended = job.addend_rows == rows;
    const KernelTable& kernels = context.kernels();
#pragma omp parallel for num_threads(context.threads()) schedule(dynamic)
    for (std::size_t r = 0; r < rows; ++r) {
        const Modulus& m = context.modulus(job.rows[r]);
        const std::size_t stored = stored_row(r, job.limbs, job.key.key_limbs);
        const auto key = [&](std::size_t d, std::size_t poly) {
            return job.key.row(d, poly, stored, n);
        };
        const auto digit = [&](std::size_t d) { return job.digits + (d * rows + r) * n; };
        std::vector<const std::uint64_t*> a, b, ahead;
        std::vector<std::uint64_t> sum(tile), factor(tile);
        if (r < job.addend_rows)
            std::fill(factor.begin(), factor.end(), extended ? 1 : job.p_mod_q[r]);
        std::vector<std::uint32_t> targets(tile / kernels::kBlock);
        for (std::size_t start = 0; start < n; start += tile) {
            std::size_t source = start;
            if (job.permutation != nullptr) {
                source = block_targets(job.permutation, start, tile, targets.data());
            }
            for (std::size_t poly = 0; poly < 2; ++poly) {
                a.clear();
                b.clear();
                for (std::size_t d = 0; d < job.digit_count; ++d) {
                    a.push_back(digit(d) + source);
                    b.push_back(key(d, poly) + source);
                }
                if (poly < job.addend_polys && r < job.addend_rows) {
                    a.push_back(job.addend + (poly * job.addend_rows + r) * n + source);
                    b.push_back(factor.data());
                }
                std::uint64_t* target = out + (poly * rows + r) * n + start;
                std::uint64_t* values = base == nullptr ? target : sum.data();
                if (job.permutation == nullptr) {
                    kernels.dot_product(values, a.data(), b.data(), a.size(), tile, m);
                } else {
                    ahead.clear();
                    const std::size_t next = start + poly * tile;  // where the next product is
                    for (std::size_t d = 0; next < n && d < job.digit_count; ++d) {
                        const std::size_t from = job.permutation[next] & ~(tile - 1);
                        ahead.push_back(key(d, 1 - poly) + from);
                        if (poly == 1) ahead.push_back(digit(d) + from);
                    }
                    kernels.dot_product_permuted(values, a.data(), b.data(), a.size(),
                                                 job.permutation + start, targets.data(), tile, m,
                                                 ahead.data(), ahead.size());
                }
                if (base != nullptr) {
                    kernels.add(target, base + (target - out), values, tile, m);
                }
            }
        }
    }
}

void tensor(const Context& context, std::uint64_t* out, const std::uint64_t* a,
            const std::uint64_t* b, const Rows& rows) {
    const std::size_t n = context.n();
    const std::size_t poly = rows.size() * n;
    const KernelTable& kernels = context.kernels();
#pragma omp parallel for num_threads(context.threads()) schedule(static)
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const Modulus& m = context.modulus(rows[r]);
        const std::uint64_t* left[] = {a + r * n, a + poly + r * n};
        const std::uint64_t* right[] = {b + poly + r * n, b + r * n};
        kernels.multiply(out + r * n, left[0], right[1], n, m);
        kernels.dot_product(out + poly + r * n, left, right, 2, n, m);
        kernels.multiply(out + 2 * poly + r * n, left[1], right[0], n, m);
    }
}

}  // namespace fhe::ring
