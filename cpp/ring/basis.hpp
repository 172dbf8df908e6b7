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
//
// Of a multiple of x, and multiplied again, where factors are given: the residues modulo from[i]
// are multiplied by from_factors[i] first, the results modulo to[t] by to_factors[t]. Both are in
// the tables and take no time.
class BaseConversion {
  public:
    using Factors = std::vector<std::uint64_t>;

    BaseConversion(const Context& context, Rows from, Rows to, const Factors& from_factors,
                   const Factors& to_factors);

    // The context's own, made at the first use: the tables take longer than a small conversion.
    static std::shared_ptr<const BaseConversion> get(const Context& context, const Rows& from,
                                                     const Rows& to,
                                                     const Factors& from_factors = {},
                                                     const Factors& to_factors = {});

    // By what the coefficients of row i of `from` are multiplied before they are converted: the
    // inverse transform that they come from does it for nothing.
    std::uint64_t scale(std::size_t i) const { return scales_[i]; }

    // In: coefficient rows of `from`, row i times scale(i), `stride` words apart. Out: coefficient
    // rows of `to`. out_rows[t] points to the row of to[t].
    void apply(const Context& context, const std::uint64_t* scaled, std::size_t stride,
               const std::vector<std::uint64_t*>& out_rows) const;

  private:
    Rows from_, to_;
    std::vector<std::uint64_t> scales_;  // (D/d_i)^-1 mod d_i, times from_factors[i]
    std::vector<double> inverses_;       // 1/d_i
    // Per target t the weights D/d_i mod t, then -D mod t, all times 2^52. Those of kSumsAtOnce
    // targets that are computed together lie side by side, those of the others in a row each.
    std::vector<std::vector<std::uint64_t>> weights_;
};

// Key-switching decomposition (hybrid, Han-Ki 2020): c holds the given rows; digit d covers the
// digit_limbs rows from d*digit_limbs on, the last one all that remain. Output
// [digits][rows + specials][n], each digit extended to all rows and to the given special moduli.
void decompose(const Context& context, std::uint64_t* out, const std::uint64_t* c, const Rows& own,
               std::size_t digit_limbs, std::size_t digits, const Rows& specials);
// The same without the rows that a digit covers itself: they are those of c, and left as they are.
void extend(const Context& context, std::uint64_t* out, const std::uint64_t* c, const Rows& own,
            std::size_t digit_limbs, std::size_t digits, const Rows& specials);

// From a modulus Q to a modulus Q': out = round(x * k * A / D) modulo Q', where Q is the product of
// x's `rows`, Q' that of the `wanted` ones, D the product of those rows of x that are not wanted
// and A that of the wanted ones that x does not have, so that A / D = Q' / Q. k, coprime to all of
// them, is given by its residues modulo x's rows; none: 1. At least one row is dropped.
//
// Why the new rows need no input: k A x is known modulo Q A, as it is 0 modulo A. With the centred
// remainder R of k A x modulo D, (k A x - R) / D is exact, and modulo a new prime it is -R / D. So
// a rescale by any ratio of two moduli costs a transform for every new row, and key switching above
// it needs no row for them. (Scaling up by A, then down by D: BitPacker, Samardzic-Sanchez 2024;
// rational rescaling in Grafting, ia.cr/2024/1014, section 3.)
//
// Of `polys` polynomials: x [polys][rows][n], out [polys][wanted][n].
void divide_and_round(const Context& context, std::uint64_t* out, const std::uint64_t* x,
                      std::size_t polys, const Rows& rows, const Rows& wanted,
                      const std::vector<std::uint64_t>& factors);

}  // namespace fhe::ring
