#include "matching/constants.hpp"

#include <algorithm>

#include "matching/key_switch.hpp"
#include "ring/parallel.hpp"

namespace fhe::matching {

namespace {

constexpr std::size_t kScratchRows = KeySwitcher::kScratchRows + 2;
constexpr std::size_t kNodesPerThread = 4;  // at least: threads do not advance equally

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

// What all threads share.
struct Tree {
    Tree(const ring::Context& c, const std::vector<ExpansionLevel>& all, const TakeConstant& leaves)
        : context(c),
          switcher(c),
          levels(all),
          take(leaves),
          monomials(c.scratch(all.size() * c.n())) {
        for (std::size_t l = 0; l < levels.size(); ++l) {
            write_monomial(context, monomials.data() + l * c.n(), levels[l].power);
        }
    }

    // node to node and other, of level l.
    void grow(std::size_t l, std::uint64_t* node, std::uint64_t* other,
              std::uint64_t* scratch) const {
        split(context, switcher, node, other, levels[l], monomials.data() + l * context.n(),
              scratch);
    }

    // All constants below a node of level l; spare has one more node for every level from l on.
    // number is that of the root's first constant and the node's own.
    void finish(std::size_t l, std::size_t number, std::uint64_t* node, std::uint64_t* spare,
                std::uint64_t* scratch) const {
        if (l == levels.size()) {
            take(number, node);
            return;
        }
        std::uint64_t* rest = spare + 2 * context.n();
        grow(l, node, spare, scratch);
        finish(l + 1, number, node, rest, scratch);
        finish(l + 1, number + (std::size_t{1} << l), spare, rest, scratch);
    }

    const ring::Context& context;
    const KeySwitcher switcher;
    const std::vector<ExpansionLevel>& levels;
    const TakeConstant& take;
    ring::Buffer monomials;
};

// Levels that are made for all roots at once, so that threads have enough nodes to share.
std::size_t shared_levels(std::size_t count, std::size_t levels, int threads) {
    const std::size_t wanted = kNodesPerThread * static_cast<std::size_t>(threads);
    std::size_t l = 0;
    while (threads > 1 && l < levels && count << l < wanted) ++l;
    return l;
}

}  // namespace

void expand(const ring::Context& context, const std::uint64_t* roots, std::size_t count,
            const std::vector<ExpansionLevel>& levels, const TakeConstant& take) {
    const std::size_t size = 2 * context.n();
    const Tree tree(context, levels, take);
    const std::size_t shared = shared_levels(count, levels.size(), context.threads());
    const std::size_t rest = (levels.size() - shared) * size;
    const auto scratch = context.scratch_each(kScratchRows * context.n() + rest);
    const ring::Buffer nodes = context.scratch((count << shared) * size);
    const auto node = [&](std::size_t root, std::size_t number) {
        return nodes.data() + ((root << shared) + number) * size;
    };
    for (std::size_t r = 0; r < count; ++r) {
        std::copy(roots + r * size, roots + (r + 1) * size, node(r, 0));
    }
    for (std::size_t l = 0; l < shared; ++l) {
        const std::size_t width = std::size_t{1} << l;
        ring::parallel_for(context.threads(), count << l, [&](std::size_t i, std::size_t thread) {
            std::uint64_t* parent = node(i / width, i % width);
            tree.grow(l, parent, parent + width * size, scratch[thread].data());
        });
    }
    // From there on each node at a time down to its constants, whose ancestors stay in the caches.
    const std::size_t width = std::size_t{1} << shared;
    ring::parallel_for(context.threads(), count << shared, [&](std::size_t i, std::size_t thread) {
        const std::size_t number = ((i / width) << levels.size()) + i % width;
        std::uint64_t* own = scratch[thread].data();
        tree.finish(shared, number, node(i / width, i % width), own + kScratchRows * context.n(),
                    own);
    });
}

}  // namespace fhe::matching
