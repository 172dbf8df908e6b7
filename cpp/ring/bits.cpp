#include "ring/bits.hpp"

#include <bit>
#include <cstring>

namespace fhe::ring {

static_assert(std::endian::native == std::endian::little);

bool pack_bits(std::uint8_t* out, const std::uint64_t* values, std::size_t count, int bits) {
    std::uint64_t pending = 0;  // bits that are not written yet, the lowest first
    std::uint64_t all = 0;
    int filled = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint64_t value = values[i];
        all |= value;
        pending |= value << filled;
        filled += bits;
        if (filled < 64) continue;
        std::memcpy(out, &pending, 8);
        out += 8;
        filled -= 64;
        pending = filled == 0 ? 0 : value >> (bits - filled);
    }
    std::memcpy(out, &pending, static_cast<std::size_t>(filled) / 8);
    return all >> bits == 0;
}

void unpack_bits(std::uint64_t* values, const std::uint8_t* packed, std::size_t count, int bits) {
    const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
    const std::size_t bytes = count * static_cast<std::size_t>(bits) / 8;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t first = i * static_cast<std::size_t>(bits);
        std::uint64_t word = 0;
        if (first / 8 + 8 <= bytes) {
            std::memcpy(&word, packed + first / 8, 8);
        } else {  // at the end
            std::memcpy(&word, packed + first / 8, bytes - first / 8);
        }
        values[i] = word >> (first % 8) & mask;
    }
}

}  // namespace fhe::ring
