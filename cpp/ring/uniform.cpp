#include "ring/uniform.hpp"

#include <bit>

namespace fhe::ring {

std::size_t fill_uniform(std::uint64_t* out, std::size_t wanted, const std::uint64_t* words,
                         std::size_t available, std::uint64_t q) {
    const std::uint64_t mask = ~std::uint64_t{0} >> std::countl_zero(q - 1);
    std::size_t filled = 0;
    for (std::size_t i = 0; i < available && filled < wanted; ++i) {
        const std::uint64_t candidate = words[i] & mask;
        out[filled] = candidate;
        filled += candidate < q;
    }
    return filled;
}

}  // namespace fhe::ring
