// Constants of a modulus and NTT root tables. Every process makes tables before it does anything
// else, so these do without divisions; the rest is plain.
#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

#include "kernels/kernels.hpp"
#include "kernels/wide.hpp"

namespace fhe::kernels {
namespace {

std::uint64_t shoup_quotient(std::uint64_t value, std::uint64_t q) {
    return static_cast<std::uint64_t>((static_cast<Wide>(value) << kWordBits) / q);
}

// shoup_quotient for one modulus and many values below it.
class Quotients {
  public:
    explicit Quotients(std::uint64_t q)
        : q_(q),
          shift_(std::bit_width(q) + 63 - kWordBits),
          reciprocal_(
              static_cast<std::uint64_t>((static_cast<Wide>(1) << (kWordBits + shift_)) / q)) {}

    std::uint64_t operator()(std::uint64_t value) const {
        // Right, or too small by one.
        const auto estimate =
            static_cast<std::uint64_t>((static_cast<Wide>(value) * reciprocal_) >> shift_);
        const std::uint64_t rest = (value << kWordBits) - estimate * q_;  // modulo 2^64
        return estimate + (rest >= q_ ? 1 : 0);
    }

  private:
    std::uint64_t q_;
    int shift_;
    std::uint64_t reciprocal_;
};

// value times a constant, for values below q.
std::uint64_t multiply_shoup(std::uint64_t value, const ShoupFactor& factor, std::uint64_t q) {
    const std::uint64_t product = shoup_lazy(value, factor.value, factor.quotient, q);
    return product >= q ? product - q : product;
}

std::uint64_t power_mod(std::uint64_t base, std::uint64_t exponent, std::uint64_t q) {
    std::uint64_t result = 1;
    for (; exponent != 0; exponent >>= 1) {
        if (exponent & 1) result = multiply_mod(result, base, q);
        base = multiply_mod(base, base, q);
    }
    return result;
}

// The smallest primitive 2n-th root of unity: the primitive ones are the odd powers of any one.
std::uint64_t smallest_primitive_root(std::size_t n, const Modulus& modulus) {
    const std::uint64_t q = modulus.q;
    const std::uint64_t exponent = (q - 1) / (2 * n);
    std::uint64_t root = 0;
    // Half of all bases work when q is prime; the bound only stops the search when it is not.
    for (std::uint64_t base = 2; base < 1000 && root == 0; ++base) {
        const std::uint64_t candidate = power_mod(base, exponent, q);
        if (power_mod(candidate, n, q) == q - 1) root = candidate;
    }
    if (root == 0) {
        throw std::invalid_argument("no primitive root of unity: is " + std::to_string(q) +
                                    " prime?");
    }
    const ShoupFactor square(multiply_mod(root, root, q), modulus);
    std::uint64_t smallest = root;
    for (std::size_t i = 1; i < n; ++i) {
        root = multiply_shoup(root, square, q);
        smallest = std::min(smallest, root);
    }
    return smallest;
}

// values[i] = root^bitrev(i), with quotients. A bit more at the top of i is one at the bottom of
// the exponent's, so that each half is the one below it times a constant.
void fill_powers(std::vector<std::uint64_t>& values, std::vector<std::uint64_t>& quotients,
                 std::uint64_t root, std::size_t n, const Modulus& modulus) {
    values.resize(n);
    quotients.resize(n);
    values[0] = 1;
    for (std::size_t half = 1; half < n; half *= 2) {
        const ShoupFactor step(power_mod(root, n / (2 * half), modulus.q), modulus);
        for (std::size_t i = 0; i < half; ++i) {
            values[half + i] = multiply_shoup(values[i], step, modulus.q);
        }
    }
    const Quotients quotient(modulus.q);
    for (std::size_t i = 0; i < n; ++i) quotients[i] = quotient(values[i]);
}

}  // namespace

Modulus::Modulus(std::uint64_t modulus) {
    if (modulus <= (1ULL << 16) || modulus >= (1ULL << kMaxModulusBits)) {
        throw std::invalid_argument("modulus " + std::to_string(modulus) +
                                    " is outside (2^16, 2^50)");
    }
    q = modulus;
    bits = std::bit_width(modulus);
    barrett = static_cast<std::uint64_t>((static_cast<Wide>(1) << (kMaxModulusBits + bits)) / q);
    one_shoup = shoup_quotient(1, q);
    r52 = (1ULL << kWordBits) % q;
    r52_shoup = shoup_quotient(r52, q);
    r104 = multiply_mod(r52, r52, q);
    r104_shoup = shoup_quotient(r104, q);
    inverse52 = q;  // right for three bits, as q is odd; each step doubles their number
    for (int step = 0; step < 5; ++step) inverse52 *= 2 - q * inverse52;
    inverse52 &= (1ULL << kWordBits) - 1;
    over52 = power_mod((q + 1) / 2, kWordBits, q);
    wide = (1ULL << 62) / q;
    for (std::size_t i = 0; const int exponent : {32, 51, 83}) {
        pieces[i++] = static_cast<std::uint64_t>((static_cast<Wide>(1) << exponent) % q);
    }
}

ShoupFactor::ShoupFactor(std::uint64_t factor, const Modulus& modulus)
    : value(factor), quotient(shoup_quotient(factor, modulus.q)) {}

ShoupFactor over_length(std::uint64_t factor, std::size_t length, const Modulus& modulus) {
    const std::uint64_t inverse = modulus.q - (modulus.q - 1) / length;
    return {multiply_mod(factor, inverse, modulus.q), modulus};
}

NttTables::NttTables(std::size_t length, std::uint64_t q) : modulus(q), n(length) {
    if (n < 8 || !std::has_single_bit(n)) {
        throw std::invalid_argument("NTT length " + std::to_string(n) +
                                    " is not a power of two >= 8");
    }
    if (q % (2 * n) != 1) {
        throw std::invalid_argument("modulus " + std::to_string(q) + " is not 1 mod " +
                                    std::to_string(2 * n));
    }
    const std::uint64_t psi = smallest_primitive_root(n, modulus);
    fill_powers(roots, roots_shoup, psi, n, modulus);
    fill_powers(inverse_roots, inverse_roots_shoup, power_mod(psi, 2 * n - 1, q), n, modulus);
}

}  // namespace fhe::kernels
