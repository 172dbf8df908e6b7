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

// Where the mask of a term is applied: per mask, whichever takes fewer products.
struct MaskOrder {
    // Masks that multiply sums; those left out multiply every term before it is summed.
    std::vector<bool> after;
    // Scratch rows: babies, then terms that were masked before the sum.
    std::vector<std::size_t> term_row;
    std::size_t rows;

    explicit MaskOrder(const LinearTransform& transform);
    bool before(const Term& term) const {
        return term.mask >= 0 && !after[static_cast<std::size_t>(term.mask)];
    }
};

// skipped[baby]: the baby step is zero.
SumPlan plan_sums(const LinearTransform& transform, const MaskOrder& order,
                  const std::vector<bool>& skipped);

}  // namespace fhe::ring
