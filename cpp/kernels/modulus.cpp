// Constants of a modulus and NTT root tables. Runs at set-up only, so plain 128-bit division.
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

std::uint64_t power_mod(std::uint64_t base, std::uint64_t exponent, std::uint64_t q) {
    std::uint64_t result = 1;
    for (; exponent != 0; exponent >>= 1) {
        if (exponent & 1) result = multiply_mod(result, base, q);
        base = multiply_mod(base, base, q);
    }
    return result;
}

// The smallest primitive 2n-th root of unity: the primitive ones are the odd powers of any one.
std::uint64_t smallest_primitive_root(std::size_t n, std::uint64_t q) {
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
    const std::uint64_t square = multiply_mod(root, root, q);
    std::uint64_t smallest = root;
    for (std::size_t i = 1; i < n; ++i) {
        root = multiply_mod(root, square, q);
        smallest = std::min(smallest, root);
    }
    return smallest;
}

std::size_t bit_reverse(std::size_t value, int bits) {
    std::size_t reversed = 0;
    for (int i = 0; i < bits; ++i) reversed |= ((value >> i) & 1) << (bits - 1 - i);
    return reversed;
}

// values[i] = root^bitrev(i), with quotients.
void fill_powers(std::vector<std::uint64_t>& values, std::vector<std::uint64_t>& quotients,
                 std::uint64_t root, std::size_t n, std::uint64_t q) {
    values.resize(n);
    quotients.resize(n);
    const int bits = std::countr_zero(n);
    std::uint64_t power = 1;
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t slot = bit_reverse(i, bits);
        values[slot] = power;
        quotients[slot] = shoup_quotient(power, q);
        power = multiply_mod(power, root, q);
    }
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
    for (std::size_t i = 0; const int exponent : {0, 32, 51, 83}) {
        pieces[i] = static_cast<std::uint64_t>((static_cast<Wide>(1) << exponent) % q);
        pieces_over52[i] = multiply_mod(pieces[i], over52, q);
        ++i;
    }
}

ShoupFactor::ShoupFactor(std::uint64_t factor, const Modulus& modulus)
    : value(factor), quotient(shoup_quotient(factor, modulus.q)) {}

ShoupFactor inverse_length(std::size_t length, const Modulus& modulus) {
    return {modulus.q - (modulus.q - 1) / length, modulus};
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
    const std::uint64_t psi = smallest_primitive_root(n, q);
    fill_powers(roots, roots_shoup, psi, n, q);
    fill_powers(inverse_roots, inverse_roots_shoup, power_mod(psi, 2 * n - 1, q), n, q);
}

}  // namespace fhe::kernels
