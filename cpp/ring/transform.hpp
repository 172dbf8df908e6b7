// The hot loop: the fused linear transform (double hoisting, Bossuat et al. 2021, section 4) on
// decomposed inputs.
#pragma once

#include "ring/kept_rows.hpp"
#include "ring/linear.hpp"

namespace fhe::ring {

// One ciphertext entering a linear transform. digits may be null when every rotation of it is the
// identity.
struct TransformInput {
    const std::uint64_t* polynomials[2];  // [limbs][n] each
    const std::uint64_t* digits;          // [digit_count][limbs + specials][n]
};

// A rotated input: P * rotation of inputs[input] in the basis QP. permutation is null for the
// identity, which needs no key.
struct BabyStep {
    std::size_t input;
    const std::uint32_t* permutation;
    KeyView key;
};

// A baby step times an optional mask (an unrestricted plaintext).
struct Term {
    std::size_t baby;
    std::ptrdiff_t mask;  // index into LinearTransform::masks, or negative: none
};

// Term times a periodic weight: weight is a row of the weight table.
struct Entry {
    std::uint32_t term;
    std::uint32_t weight;
};

struct LinearTransform {
    std::size_t limbs;                   // of the inputs
    Rows rows;                           // moduli: limbs first, then specials
    std::vector<std::uint64_t> p_mod_q;  // product of the specials modulo each limb
    std::size_t digit_count;
    OwnRows own_rows;  // of the second polynomial of each input
    std::vector<TransformInput> inputs;
    std::vector<BabyStep> babies;
    std::vector<const std::int64_t*> masks;  // signed coefficients [n], |value| < 2^50
    std::vector<KeptRows*> kept;             // of each mask, or null: it is transformed every time
    std::vector<Term> terms;
    std::vector<std::vector<Entry>> outputs;  // one list per accumulator
    const std::int64_t* weights;              // [count][period], coefficients in Y = X^(n/period)
    std::size_t weight_count;
    std::size_t period;            // a power of two, 8 <= period <= n
    std::uint64_t largest_weight;  // of the absolute values
};

// outs: [2][rows][n] for each output = sum over entries of weight * mask * rotated input, in the
// basis QP.
void accumulate(const Context& context, const std::vector<std::uint64_t*>& outs,
                const LinearTransform& transform);

}  // namespace fhe::ring
