// How a Galois element moves aligned blocks of kernels::kBlock positions in bit-reversed order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernels.hpp"

namespace fhe::ring {

// A thirtieth of the permutation's own size, which would be read anew for every limb. A Galois
// element maps any aligned power of two of positions to such a block, and the order within a block
// of eight depends only on where its first position comes from.
class BlockMap {
  public:
    // index [n]: out[i] = in[index[i]], n a power of two and at least kBlock. Throws
    // std::invalid_argument where it is not that of a Galois element.
    BlockMap(const std::uint32_t* index, std::size_t n);

    // Start of the tile that the tile at `start` is taken from; both aligned to their size.
    std::size_t source(std::size_t start, std::size_t tile) const {
        return first_[start / kernels::kBlock] & ~(tile - 1);
    }
    // For kernels::KeyProduct, from the block at position `source` on.
    const std::uint32_t* steps(std::size_t source) const {
        return steps_.data() + source / kernels::kBlock;
    }
    const std::uint64_t (*patterns() const)[kernels::kBlock] { return patterns_; }

  private:
    std::vector<std::uint32_t> first_;  // where the first position of every block comes from
    std::vector<std::uint32_t> steps_;  // by source
    std::uint64_t patterns_[kernels::kBlock][kernels::kBlock];
};

}  // namespace fhe::ring
