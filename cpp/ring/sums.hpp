// Which products each accumulator of a linear transform sums, arranged for the kernel that forms
// several sums from one reading of its operands.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "ring/transform.hpp"

namespace fhe::ring {

// Sums that are formed together: kernels::kSumsAtOnce of them, or one.
struct SumGroup {
    std::vector<std::size_t> targets;  // numbers of sums
    std::vector<std::size_t> rows;     // scratch rows that are read
    std::size_t first_slot = 0;        // of its weights: [rows][targets]
};

// Sums 0 ... outputs-1 are the accumulators (what needs no mask after the sum), the others are
// multiplied by a mask and added to an accumulator.
struct SumPlan {
    std::vector<SumGroup> groups;
    std::vector<std::ptrdiff_t> slots;  // row of the weight table, or negative: zero
    std::size_t masked_from = 0;        // slots of sums that are masked later begin here
    std::vector<bool> direct;           // per accumulator: whether a group writes it
    // per accumulator: (sum, mask)
    std::vector<std::vector<std::pair<std::size_t, std::size_t>>> masked;
    std::size_t count = 0;  // of all sums
};

// Terms that are masked before they are summed: one, or several that all sums take with the same
// weights, which are added up first.
struct MaskedTerms {
    std::size_t row;  // scratch row of the result
    std::vector<std::size_t> terms;
};

// Where the mask of a term is applied: per mask, whichever takes fewer products; before the sum
// where that makes one term of several.
struct MaskOrder {
    // Masks that multiply sums; those left out multiply every term before it is summed.
    std::vector<bool> after;
    std::vector<MaskedTerms> groups;
    // Scratch rows: babies, then masked terms that do not take the place of theirs.
    std::vector<std::size_t> term_row;
    std::size_t rows;

    explicit MaskOrder(const LinearTransform& transform);
    bool before(const Term& term) const {
        return term.mask >= 0 && !after[static_cast<std::size_t>(term.mask)];
    }
    // Per term, whether sums take it: of a group the first one only, and none that is skipped.
    std::vector<bool> counted(const LinearTransform& transform,
                              const std::vector<bool>& skipped) const;
};

// skipped[baby]: the baby step is zero.
SumPlan plan_sums(const LinearTransform& transform, const MaskOrder& order,
                  const std::vector<bool>& skipped);

}  // namespace fhe::ring
