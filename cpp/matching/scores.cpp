#include "matching/scores.hpp"

#include <cmath>

#include "matching/key_switch.hpp"
#include "ring/parallel.hpp"

namespace fhe::matching {

namespace {

constexpr std::size_t kScratchRows = KeySwitcher::kScratchRows + 2;

// q is odd, so no number lies half way. The estimated quotient is at most one off: the product of
// doubles errs by less than 2^-20. Differences are taken modulo 2^64, where the remainder fits.
void round_to_bits(std::uint32_t* out, const std::uint64_t* x, std::size_t n, std::uint64_t q,
                   int bits) {
    const double factor = std::ldexp(1.0, bits) / static_cast<double>(q);
    const auto divisor = static_cast<std::int64_t>(q);
    const std::uint32_t mask = ~std::uint32_t{0} >> (32 - bits);
    for (std::size_t i = 0; i < n; ++i) {
        const double real = static_cast<double>(static_cast<std::int64_t>(x[i]));
        const auto estimate = static_cast<std::int64_t>(real * factor + 0.5);
        // of x 2^bits + (q - 1) / 2
        const auto rest = static_cast<std::int64_t>((x[i] << bits) + q / 2 -
                                                    static_cast<std::uint64_t>(estimate) * q);
        const std::int64_t quotient = estimate - (rest < 0) + (rest >= divisor);
        out[i] = static_cast<std::uint32_t>(quotient) & mask;
    }
}

}  // namespace

void switch_to_bits(const ring::Context& context, std::uint32_t* out, const std::uint64_t* products,
                    std::size_t count, const std::uint64_t* key, int bits) {
    const std::size_t n = context.n();
    const ring::NttTables& limb = context.tables(0);
    const ring::KernelTable& kernels = context.kernels();
    const KeySwitcher switcher(context);
    const auto scratch = context.scratch_each(kScratchRows * n);
    ring::parallel_for(context.threads(), count, [&](std::size_t b, std::size_t thread) {
        const std::uint64_t* d = products + b * 3 * n;
        std::uint64_t* sum = scratch[thread].data() + KeySwitcher::kScratchRows * n;
        switcher.run(sum, d + 2 * n, key, scratch[thread].data());
        for (std::size_t poly = 0; poly < 2; ++poly, sum += n, d += n) {
            kernels.add(sum, sum, d, n, limb.modulus);
            kernels.ntt_inverse(sum, sum, n, limb, 1);
            round_to_bits(out + (b * 2 + poly) * n, sum, n, limb.modulus.q, bits);
        }
    });
}

}  // namespace fhe::matching
