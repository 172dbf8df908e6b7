// Changing the RNS basis: exact centred base conversion, key-switching decomposition, and division
// with rounding by a product of moduli (mod-down and rescale are the same operation).
#pragma once

#include <memory>

#include "ring/context.hpp"

namespace fhe::ring {

// Converts x, given by its residues modulo the `from` moduli, to the `to` moduli, as the centred
// representative in [-D/2, D/2), D the product of `from` (Halevi-Polyakov-Shoup 2018, section 2:
// the quotient is rounded in floating point; a wrong rounding within 2^-40 of a half-integer yields
// the other neighbour, a valid representative with |x| <= D/2 (1 + 2^-40)).
class BaseConversion {
  public:
    BaseConversion(const Context& context, Rows from, Rows to);

    // The context's own, made at the first use: the tables take longer than a small conversion.
    static std::shared_ptr<const BaseConversion> get(const Context& context, const Rows& from,
                                                     const Rows& to);

    // In: coefficient rows of `from`, [from][n]. Out: coefficient rows of `to`.
    // out_rows[t] points to the row of to[t].
    void apply(const Context& context, const std::uint64_t* coefficients,
               const std::vector<std::uint64_t*>& out_rows) const;

    // 1 / product of `from` modulo to[t]
    std::uint64_t product_inverse(std::size_t t) const { return product_inverse_[t]; }

  private:
    Rows from_, to_;
    std::vector<std::uint64_t> punctured_inverse_;  // (D/d_i)^-1 mod d_i
    std::vector<std::uint64_t> product_inverse_;    // D^-1 mod t
    // Per target t the weights D/d_i mod t, then -D mod t, all times 2^52. Those of kSumsAtOnce targets that are
    // computed together lie side by side, those of the remaining targets in a row each.
    std::vector<std::vector<std::uint64_t>> weights_;
};

// Key-switching decomposition (hybrid, Han-Ki 2020): c holds the given rows; digit d covers the
// digit_limbs rows from d*digit_limbs on, the last one all that remain. Output
// [digits][rows + specials][n], each digit extended to all rows and to the given special moduli.
void decompose(const Context& context, std::uint64_t* out, const std::uint64_t* c, const Rows& own,
               std::size_t digit_limbs, std::size_t digits, const Rows& specials);

// out = round(x / D), D the product of the moduli of the last `dropped` rows of x. out: rows
// without those. Exact rounding of the centred remainder.
void divide_and_round(const Context& context, std::uint64_t* out, const std::uint64_t* x,
                      const Rows& rows, std::size_t dropped);

}  // namespace fhe::ring
