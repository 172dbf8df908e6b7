#include "matching/key_switch.hpp"

#include <algorithm>

namespace fhe::matching {

namespace {
constexpr std::size_t kTile = 512;  // words
constexpr int kLimb = 0;
constexpr int kSpecial = 1;
}  // namespace

CentredConversion::CentredConversion(const ring::Context& context, int from, int to)
    : context_(context), from_(from), to_(to) {
    const std::size_t tile = std::min(context.n(), kTile);
    const std::uint64_t half = context.modulus(from).q / 2;
    half_.assign(tile, half);
    half_there_.assign(tile, half % context.modulus(to).q);
}

void CentredConversion::apply(std::uint64_t* row) const {
    const ring::KernelTable& kernels = context_.kernels();
    const ring::Modulus& here = context_.modulus(from_);
    const ring::Modulus& there = context_.modulus(to_);
    const std::size_t tile = half_.size();
    for (std::size_t i = 0; i < context_.n(); i += tile) {
        kernels.add(row + i, row + i, half_.data(), tile, here);  // the centred value + half
        kernels.reduce(row + i, row + i, tile, there);
        kernels.subtract(row + i, row + i, half_there_.data(), tile, there);
    }
}

KeySwitcher::KeySwitcher(const ring::Context& context)
    : context_(context),
      up_(context, kLimb, kSpecial),
      down_(context, kSpecial, kLimb),
      p_inverse_(ring::inverse_mod(context.modulus(kSpecial).q, context.modulus(kLimb).q),
                 context.modulus(kLimb)) {}

void KeySwitcher::run(std::uint64_t* out, const std::uint64_t* c, const std::uint64_t* key,
                      std::uint64_t* scratch) const {
    const std::size_t n = context_.n();
    const ring::KernelTable& kernels = context_.kernels();
    const ring::NttTables& limb = context_.tables(kLimb);
    const ring::NttTables& special = context_.tables(kSpecial);
    std::uint64_t* digit = scratch;  // c modulo the special prime
    std::uint64_t* rest = scratch + n;
    kernels.ntt_inverse(digit, c, n, limb, 1);
    up_.apply(digit);
    kernels.ntt_forward(digit, n, special);
    for (std::size_t poly = 0; poly < 2; ++poly, out += n, key += 2 * n) {
        kernels.multiply(rest, digit, key + n, n, special.modulus);
        kernels.ntt_inverse(rest, rest, n, special, 1);
        down_.apply(rest);
        kernels.ntt_forward(rest, n, limb);
        kernels.multiply(out, c, key, n, limb.modulus);
        kernels.subtract_multiply_scalar(out, out, rest, p_inverse_, n, limb.modulus);
    }
}

}  // namespace fhe::matching
