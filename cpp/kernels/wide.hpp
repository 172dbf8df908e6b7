// 128-bit integers under -Wpedantic, and products that take them. What is static here has a copy
// per translation unit, as some are compiled for newer processors than others.
#pragma once

#include <cstdint>

#include "kernels/kernels.hpp"

namespace fhe::kernels {

__extension__ typedef unsigned __int128 Wide;

// a * b mod q by division; for table construction and per-call constants only.
static inline std::uint64_t multiply_mod(std::uint64_t a, std::uint64_t b, std::uint64_t q) {
    return static_cast<std::uint64_t>(static_cast<Wide>(a) * b % q);
}

// y * factor mod q in [0, 2q) for y < 2^52: the estimated quotient is at most one too small.
static inline std::uint64_t shoup_lazy(std::uint64_t y, std::uint64_t factor,
                                       std::uint64_t quotient, std::uint64_t q) {
    const auto estimate = static_cast<std::uint64_t>(static_cast<Wide>(y) * quotient >> kWordBits);
    return y * factor - estimate * q;
}

}  // namespace fhe::kernels
