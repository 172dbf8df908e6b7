// Key switching of one limb with one special prime, by one thread: many run side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ring/context.hpp"

namespace fhe::matching {

// Residues modulo one number to those modulo another, as the centred representative; exact.
class CentredConversion {
  public:
    CentredConversion(const ring::Context& context, int from, int to);
    void apply(std::uint64_t* row) const;  // coefficients [n], in place

  private:
    const ring::Context& context_;
    int from_, to_;
    // (from - 1) / 2 and that modulo `to`, again and again for the kernels that take rows.
    std::vector<std::uint64_t> half_, half_there_;
};

// The context's first modulus is the limb q, its second the special prime p.
class KeySwitcher {
  public:
    static constexpr std::size_t kScratchRows = 2;

    explicit KeySwitcher(const ring::Context& context);

    // out [2][n] = round(c * key / p), where c [n] stands for its centred integers; c and out
    // modulo q in NTT order. key: [2][2][n], polynomial by row. out may not alias c; scratch:
    // [kScratchRows][n].
    void run(std::uint64_t* out, const std::uint64_t* c, const std::uint64_t* key,
             std::uint64_t* scratch) const;

  private:
    const ring::Context& context_;
    CentredConversion up_, down_;
    ring::ShoupFactor p_inverse_;
};

}  // namespace fhe::matching
