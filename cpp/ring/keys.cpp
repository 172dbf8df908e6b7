#include "ring/keys.hpp"

#include "kernels/wide.hpp"

namespace fhe::ring {

namespace {

constexpr std::size_t kTile = 1024;

// Of the strip that begins at a position.
std::uint64_t* place(const KeyRow& row, std::size_t digit, std::size_t poly, std::size_t position) {
    return row.data + position * 2 * row.digits + (2 * digit + poly) * key_strip(row.n);
}

}  // namespace

bool store_key_row(const kernels::KernelTable& kernels, const KeyRow& row, std::size_t digit,
                   std::size_t poly, const std::uint64_t* values, const kernels::Modulus& m) {
    const kernels::ShoupFactor factor(m.r52, m);
    const std::size_t strip = key_strip(row.n);
    const std::size_t tile = std::min(row.n, kTile);
    alignas(64) std::uint64_t scaled[kTile];
    std::uint64_t beyond = 0;  // its highest bit
    for (std::size_t start = 0; start < row.n; start += tile) {
        const std::uint64_t* from = values + start;
        for (std::size_t i = 0; i < tile; ++i) beyond |= from[i] | (m.q - 1 - from[i]);
        kernels.multiply_scalar(scaled, from, factor, tile, m);
        for (std::size_t i = 0; i < tile; i += strip) {
            std::copy(scaled + i, scaled + i + strip, place(row, digit, poly, start + i));
        }
    }
    return beyond >> 63 == 0;
}

void load_key_row(const kernels::KernelTable& kernels, std::uint64_t* values, const KeyRow& row,
                  std::size_t digit, std::size_t poly, const kernels::Modulus& m) {
    const std::size_t strip = key_strip(row.n);
    for (std::size_t i = 0; i < row.n; i += strip) {
        const std::uint64_t* from = place(row, digit, poly, i);
        std::copy(from, from + strip, values + i);
    }
    kernels.multiply_scalar(values, values, kernels::ShoupFactor(m.over52, m), row.n, m);
}

std::uint64_t key_factor(std::uint64_t value, const kernels::Modulus& m) {
    return kernels::multiply_mod(value, m.r52, m.q);
}

}  // namespace fhe::ring
