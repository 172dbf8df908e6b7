// Uniform residues from random words.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fhe::ring {

// Fills out [wanted] with residues below q > 1 by rejection: words [available] that are not below
// q, cut to its bits, are left out. Returns how many were filled, perhaps fewer than wanted.
std::size_t fill_uniform(std::uint64_t* out, std::size_t wanted, const std::uint64_t* words,
                         std::size_t available, std::uint64_t q);

}  // namespace fhe::ring
