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
        std::vector<const std::uint64_t*> a(job.digit_count), b(job.digit_count);
        std::vector<std::uint64_t> sum(tile), permuted(tile);
        std::vector<std::uint32_t> index(tile);
        for (std::size_t start = 0; start < n; start += tile) {
            std::size_t source = start;
            if (job.permutation != nullptr) {
                source = source_block(job.permutation, start, tile, index.data());
            }
            for (std::size_t poly = 0; poly < 2; ++poly) {
                for (std::size_t d = 0; d < job.digit_count; ++d) {
                    a[d] = job.digits + (d * rows + r) * n + source;
                    b[d] = job.key.row(d, poly, stored, n) + source;
                }
                const std::size_t at = (poly * rows + r) * n + start;
                const bool direct = job.permutation == nullptr && base == nullptr;
                std::uint64_t* values = direct ? out + at : sum.data();
                kernels.dot_product(values, a.data(), b.data(), job.digit_count, tile, m);
                if (poly < job.addend_polys && r < job.addend_rows) {
                    const std::uint64_t* addend =
                        job.addend + (poly * job.addend_rows + r) * n + source;
                    if (extended) {
                        kernels.add(values, values, addend, tile, m);
                    } else {
                        kernels.multiply_scalar_add(values, addend, ShoupFactor(job.p_mod_q[r], m),
                                                    tile, m);
                    }
                }
                if (job.permutation != nullptr) {
                    std::uint64_t* target = base == nullptr ? out + at : permuted.data();
                    kernels.gather(target, values, index.data(), tile);
                    values = target;
                }
                if (base != nullptr) kernels.add(out + at, base + at, values, tile, m);
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
