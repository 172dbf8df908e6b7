// From the real ring of degree n to that of half the degree, whose variable is Y = X^2.
//
// An element is even + (X + 1/X) odd with both parts in the smaller ring: X^i + X^-i with odd i is
// (X + 1/X) (Y^j + Y^-j - (Y^(j-1) + Y^(1-j)) + ... +- 1) with i = 2j + 1. With the secret split in
// the same way, s = s_even + (X + 1/X) s_odd, the even part of c0 + c1 s is
//   even(c0) + even(c1) s_even + odd(c1) (Y + 2 + 1/Y) s_odd,
// so that two key switches in the smaller ring, and nothing in the larger one, lead to a secret of
// the smaller ring. At a root it is the mean of the values at X and -X.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ring/context.hpp"

namespace fhe::ring {

// out [2][rows][n / 2]: the coefficients of the even and the odd part of in [rows][n]. Throws
// std::invalid_argument where the ring is not real.
void split_halves(const Context& context, std::uint64_t* out, const std::uint64_t* in,
                  const Rows& rows);

}  // namespace fhe::ring
