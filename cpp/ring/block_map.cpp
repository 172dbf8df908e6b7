#include "ring/block_map.hpp"

#include <stdexcept>
#include <vector>

namespace fhe::ring {

BlockMap::BlockMap(const std::uint32_t* index, std::size_t n)
    : first_(n / kernels::kBlock), steps_(n / kernels::kBlock) {
    constexpr std::uint32_t kLow = kernels::kBlock - 1;
    bool seen[kernels::kBlock] = {};
    std::vector<bool> taken(first_.size());  // blocks that came up as a source
    std::uint64_t strays = 0;
    for (std::size_t block = 0; block < first_.size(); ++block) {
        const std::uint32_t* at = index + block * kernels::kBlock;
        const std::uint32_t order = at[0] & kLow;
        std::uint64_t* pattern = patterns_[order];
        if (!seen[order]) {
            unsigned places = 0;
            for (std::size_t i = 0; i < kernels::kBlock; ++i) {
                pattern[i] = at[i] & kLow;
                places |= 1U << pattern[i];
            }
            seen[order] = true;
            if (places != (1U << kernels::kBlock) - 1) strays = 1;
        }
        for (std::size_t i = 0; i < kernels::kBlock; ++i) {
            strays |= at[i] ^ ((at[0] & ~kLow) | pattern[i]);
        }
        if (at[0] >= n || taken[at[0] / kernels::kBlock]) strays = 1;
        if (strays != 0) break;
        taken[at[0] / kernels::kBlock] = true;
        first_[block] = at[0];
        steps_[at[0] / kernels::kBlock] =
            static_cast<std::uint32_t>(block) * kernels::kBlock | order;
    }
    // Half a block further on lies the same distance from the start of every larger block.
    for (std::size_t size = 2; strays == 0 && size <= first_.size(); size *= 2) {
        for (std::size_t block = 0; block < first_.size(); block += size) {
            const auto both = first_[block] ^ first_[block + size / 2];
            if (both / kernels::kBlock >= size) strays = 1;
        }
    }
    if (strays != 0) {
        throw std::invalid_argument("a permutation is not that of a Galois element");
    }
}

}  // namespace fhe::ring
