// From the sums of products to what is sent back: two polynomials of few bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ring/context.hpp"

namespace fhe::matching {

// out [count][2][n]: the coefficients of every (d0, d1, d2), relinearised with key [1][2][2][n]
// and rounded to round(x 2^bits / q) modulo 2^bits, exactly. products: [count][3][n] modulo the
// context's first modulus q in NTT order; its second one is the special prime. 1 <= bits <= 32.
void switch_to_bits(const ring::Context& context, std::uint32_t* out, const std::uint64_t* products,
                    std::size_t count, const std::uint64_t* key, int bits);

}  // namespace fhe::matching
