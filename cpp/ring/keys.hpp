// Key switching keys as they lie in memory: in the order in which kernels::KeyProduct reads them, a
// row after the other, and in its form.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernels.hpp"

namespace fhe::ring {

// Positions of a polynomial that lie side by side in a key.
inline std::size_t key_strip(std::size_t n) { return std::min(n, kernels::kKeyStrip); }

// A key [key_rows][n / strip][digits][2][strip].
struct KeyView {
    const std::uint64_t* data = nullptr;
    std::size_t digits = 0;
    std::vector<std::size_t> stored;  // for each row of a job, the row of the key

    // For kernels::KeyProduct; position is a multiple of the strip.
    const std::uint64_t* at(std::size_t key_row, std::size_t position, std::size_t n) const {
        return data + (key_row * n + position) * 2 * digits;
    }
};

// A row of a key in memory: [n / strip][digits][2][strip].
struct KeyRow {
    std::uint64_t* data;
    std::size_t n, digits;
};

// The residues [n] of one digit's polynomial to and from their places. Storing returns whether all
// of them are below the modulus; if not, the key must not be used.
bool store_key_row(const kernels::KernelTable& kernels, const KeyRow& row, std::size_t digit,
                   std::size_t poly, const std::uint64_t* values, const kernels::Modulus& m);
void load_key_row(const kernels::KernelTable& kernels, std::uint64_t* values, const KeyRow& row,
                  std::size_t digit, std::size_t poly, const kernels::Modulus& m);

// A constant factor in the form that kernels::KeyProduct takes.
std::uint64_t key_factor(std::uint64_t value, const kernels::Modulus& m);

}  // namespace fhe::ring
