#include "matching/constants.hpp"

#include <algorithm>
#include <deque>

#include "matching/key_switch.hpp"
#include "ring/parallel.hpp"

namespace fhe::matching {

namespace {

constexpr std::size_t kScratchRows = KeySwitcher::kScratchRows + 2;
constexpr std::size_t kNodesPerThread = 4;  // at least: threads do not advance equally
constexpr std::size_t kNone = ~std::size_t{0};

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

// Both halves of a node modulo the limb, with the other sign.
void negate(const ring::Context& context, std::uint64_t* node) {
    const std::uint64_t q = context.modulus(0).q;
    for (std::size_t i = 0; i < 2 * context.n(); ++i) node[i] = node[i] == 0 ? 0 : q - node[i];
}

// What all threads share.
struct Tree {
    Tree(const ring::Context& c, const std::vector<ExpansionLevel>& all, Numbers kind,
         const TakeConstant& leaves)
        : context(c),
          switcher(c),
          levels(all),
          mirrored(kind == Numbers::mirrored),
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

    // Whether the other half of a node of level l is needed. Where numbers are mirrored, node i of
    // level l holds what node 2^l - i does: of each such pair one is grown, and of the node that is
    // its own mirror image, 2^(l-1), both halves are such a pair.
    bool forks(std::size_t l, std::size_t number) const {
        return !mirrored || number == 0 || 2 * number != std::size_t{1} << l;
    }

    // All constants below a node of level l; spare has one more node for every level from l on.
    // number is that of the root's first constant and the node's own.
    void finish(std::size_t l, std::size_t number, std::uint64_t* node, std::uint64_t* spare,
                std::uint64_t* scratch) const {
        if (l == levels.size()) {
            give(number, node);
            return;
        }
        std::uint64_t* rest = spare + 2 * context.n();
        grow(l, node, spare, scratch);
        finish(l + 1, number, node, rest, scratch);
        if (forks(l, number)) finish(l + 1, number + (std::size_t{1} << l), spare, rest, scratch);
    }

    // A leaf. Mirrored ones beyond the middle are those before it with the other sign.
    void give(std::size_t number, std::uint64_t* node) const {
        const std::size_t all = std::size_t{1} << levels.size();
        if (!mirrored || 2 * number < all) {
            take(number, node);
        } else if (2 * number > all) {
            negate(context, node);
            take(all - number, node);
        }
    }

    const ring::Context& context;
    const KeySwitcher switcher;
    const std::vector<ExpansionLevel>& levels;
    const bool mirrored;
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

// The nodes that all threads share, and the number of each.
struct Front {
    Front(const ring::Context& context, std::size_t most) : nodes(context.scratch(most)) {}

    std::vector<std::size_t> numbers;
    ring::Buffer nodes;
};

// One level more: every node leaves its even half in its place, and the other one behind the last.
void grow_shared(const Tree& tree, Front& front, std::size_t l, std::deque<ring::Buffer>& scratch) {
    const ring::Context& context = tree.context;
    const std::size_t size = 2 * context.n();
    const std::size_t width = front.numbers.size();
    ring::parallel_for(context.threads(), width, [&](std::size_t i, std::size_t thread) {
        std::uint64_t* parent = front.nodes.data() + i * size;
        tree.grow(l, parent, parent + width * size, scratch[thread].data());
    });
    for (std::size_t i = 0; i < width; ++i) {
        // What is not needed keeps its place, without a number.
        const bool forks = front.numbers[i] != kNone && tree.forks(l, front.numbers[i]);
        front.numbers.push_back(forks ? front.numbers[i] + (std::size_t{1} << l) : kNone);
    }
}

}  // namespace

void expand(const ring::Context& context, const std::uint64_t* roots, std::size_t count,
            const std::vector<ExpansionLevel>& levels, const TakeConstant& take, Numbers numbers) {
    const std::size_t size = 2 * context.n();
    const Tree tree(context, levels, numbers, take);
    const std::size_t shared = shared_levels(count, levels.size(), context.threads());
    const std::size_t rest = (levels.size() - shared) * size;
    auto scratch = context.scratch_each(kScratchRows * context.n() + rest);
    Front front(context, (count << shared) * size);
    for (std::size_t r = 0; r < count; ++r) {
        front.numbers.push_back(r << levels.size());
        std::copy(roots + r * size, roots + (r + 1) * size, front.nodes.data() + r * size);
    }
    for (std::size_t l = 0; l < shared; ++l) grow_shared(tree, front, l, scratch);
    // From there on each node at a time down to its constants, whose ancestors stay in the caches.
    ring::parallel_for(context.threads(), front.numbers.size(),
                       [&](std::size_t i, std::size_t thread) {
                           if (front.numbers[i] == kNone) return;
                           std::uint64_t* own = scratch[thread].data();
                           tree.finish(shared, front.numbers[i], front.nodes.data() + i * size,
                                       own + kScratchRows * context.n(), own);
                       });
}

}  // namespace fhe::matching
