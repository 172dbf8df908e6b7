// 128-bit integers under -Wpedantic.
#pragma once

#include <cstdint>

namespace fhe::kernels {

__extension__ typedef unsigned __int128 Wide;

// a * b mod q by division; for table construction and per-call constants only. Static: a copy per
// translation unit, as some are compiled for newer processors than others.
static inline std::uint64_t multiply_mod(std::uint64_t a, std::uint64_t b, std::uint64_t q) {
    return static_cast<std::uint64_t>(static_cast<Wide>(a) * b % q);
}

}  // namespace fhe::kernels
