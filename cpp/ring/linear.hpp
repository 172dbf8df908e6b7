// Products of ciphertexts with keys and with each other, limb by limb and tile by tile.
#pragma once

#include "ring/context.hpp"
#include "ring/keys.hpp"

namespace fhe::ring {

// Which row of which digit is one of the decomposed polynomial, as `extend` leaves them out.
struct OwnRows {
    std::size_t limbs = 0;
    std::size_t digit_limbs = 0;  // 0: none is left out
    std::size_t digits = 0;

    bool covers(std::size_t digit, std::size_t row) const {
        return digit_limbs != 0 && row < limbs && digit == std::min(row / digit_limbs, digits - 1);
    }
};

// One key switch in the basis QP, on decomposed input.
struct KeySwitch {
    const std::uint64_t* digits;  // [digit_count][rows][n]
    const std::uint64_t* source;  // [limbs][n], where own_rows covers some; else null
    OwnRows own_rows;
    std::size_t digit_count;
    std::size_t limbs;
    Rows rows;  // moduli: limbs first, then specials
    KeyView key;
    const std::uint64_t* addend;  // [addend_polys][addend_rows][n]; may be null
    std::size_t addend_polys;     // 0, 1 or 2
    std::size_t addend_rows;  // limbs: enters times P; all rows: in the basis QP, enters as it is
    std::vector<std::uint64_t> p_mod_q;
    const std::uint32_t* permutation;  // applied to the result; null: none
};

// out [2][rows][n] = (out if it adds, else 0) + permuted(sum over digits of digit * key + addend).
void switch_key(const Context& context, std::uint64_t* out, bool adds, const KeySwitch& job);

// out [3][rows][n] = (a0 b0, a0 b1 + a1 b0, a1 b1) of two ciphertexts [2][rows][n].
void tensor(const Context& context, std::uint64_t* out, const std::uint64_t* a,
            const std::uint64_t* b, const Rows& rows);

}  // namespace fhe::ring
