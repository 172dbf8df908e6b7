// Residues below 2^48 as six bytes each, the lowest first: a quarter less to store and to read.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/kernels.hpp"

namespace fhe::matching {

inline constexpr std::uint64_t kPackedBound = std::uint64_t{1} << kernels::kPackedBits;

inline void pack(std::uint8_t* out, const std::uint64_t* words, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i, out += kernels::kPackedBytes) {
        if constexpr (std::endian::native == std::endian::little) {
            std::memcpy(out, words + i, kernels::kPackedBytes);
        } else {
            for (std::size_t b = 0; b < kernels::kPackedBytes; ++b) {
                out[b] = static_cast<std::uint8_t>(words[i] >> (8 * b));
            }
        }
    }
}

inline void unpack(std::uint64_t* out, const std::uint8_t* data, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i, data += kernels::kPackedBytes) {
        out[i] = 0;
        if constexpr (std::endian::native == std::endian::little) {
            std::memcpy(out + i, data, kernels::kPackedBytes);
        } else {
            for (std::size_t b = 0; b < kernels::kPackedBytes; ++b) {
                out[i] |= std::uint64_t{data[b]} << (8 * b);
            }
        }
    }
}

// Whether every word can be packed.
inline bool fits(const std::uint64_t* words, std::size_t count) {
    std::uint64_t all = 0;
    for (std::size_t i = 0; i < count; ++i) all |= words[i];
    return all < kPackedBound;
}

}  // namespace fhe::matching
