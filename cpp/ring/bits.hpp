// Words of a few bits side by side, without gaps, as they travel: the lowest bits and bytes first.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fhe::ring {

inline constexpr int kMostPackedBits = 56;  // a word and the bits before it fit eight bytes

// out [count * bits / 8] bytes of values [count]; count is a multiple of 8, 1 <= bits <=
// kMostPackedBits. False where a value has more bits: out is of no use then.
bool pack_bits(std::uint8_t* out, const std::uint64_t* values, std::size_t count, int bits);
// The inverse.
void unpack_bits(std::uint64_t* values, const std::uint8_t* packed, std::size_t count, int bits);

}  // namespace fhe::ring
