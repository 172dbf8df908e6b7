#include "matching/constants.hpp"

#include <algorithm>

#include "matching/key_switch.hpp"
#include "ring/parallel.hpp"

namespace fhe::matching {

namespace {

constexpr std::size_t kScratchRows = KeySwitcher::kScratchRows + 2;

// X^-power in NTT order.
void write_monomial(const ring::Context& context, std::uint64_t* out, std::size_t power) {
    const std::size_t n = context.n();
    std::fill(out, out + n, 0);
    if (power == 0) {
        out[0] = 1;
    } else {
        out[n - power] = context.modulus(0).q - 1;  // X^n = -1
    }
    context.kernels().ntt_forward(out, n, context.tables(0));
}

// node [2][n] to node and other.
void split(const ring::Context& context, const KeySwitcher& switcher, std::uint64_t* node,
           std::uint64_t* other, const ExpansionLevel& level, const std::uint64_t* monomial,
           std::uint64_t* scratch) {
    const std::size_t n = context.n();
    const ring::KernelTable& kernels = context.kernels();
    const ring::Modulus& m = context.modulus(0);
    std::uint64_t* switched = scratch + KeySwitcher::kScratchRows * n;
    switcher.run(switched, node + n, level.key, scratch);
    kernels.add(switched, switched, node, n, m);
    for (std::size_t poly = 0; poly < 2; ++poly, node += n, other += n, switched += n) {
        kernels.permute(other, switched, level.permutation, n);  // s(c)
        kernels.subtract(switched, node, other, n, m);
        kernels.add(node, node, other, n, m);
        kernels.multiply(other, switched, monomial, n, m);
    }
}

}  // namespace

void expand_constants(const ring::Context& context, std::uint64_t* out, const std::uint64_t* roots,
                      std::size_t count, const std::vector<ExpansionLevel>& levels) {
    const std::size_t size = 2 * context.n();
    const KeySwitcher switcher(context);
    const auto scratch = context.scratch_each(kScratchRows * context.n());
    const ring::Buffer monomial = context.scratch(context.n());
    for (std::size_t r = 0; r < count; ++r) {
        std::copy(roots + r * size, roots + (r + 1) * size, out + (r << levels.size()) * size);
    }
    for (std::size_t l = 0; l < levels.size(); ++l) {
        write_monomial(context, monomial.data(), levels[l].power);
        const std::size_t nodes = std::size_t{1} << l;  // of every root
        ring::parallel_for(context.threads(), count << l, [&](std::size_t i, std::size_t thread) {
            const std::size_t at = ((i / nodes) << levels.size()) + i % nodes;
            split(context, switcher, out + at * size, out + (at + nodes) * size, levels[l],
                  monomial.data(), scratch[thread].data());
        });
    }
}

}  // namespace fhe::matching
