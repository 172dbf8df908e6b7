// Python face of cpp/matching: shapes and ranges are checked, then the GIL is released.
#include "bindings/bind_matching.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "bindings/results.hpp"
#include "matching/blocks.hpp"
#include "matching/constants.hpp"
#include "matching/packing.hpp"
#include "matching/scores.hpp"
#include "ring/block_map.hpp"

namespace py = pybind11;

namespace fhe::bindings {
namespace {

using kernels::kPackedBytes;
using matching::BlockMemory;
using matching::ProbeTiles;
using ring::Context;
using Bytes = py::array_t<std::uint8_t, py::array::c_style>;

constexpr std::size_t kMaxConstants = std::size_t{1} << 16;

void require_fit(const Words& words, const char* name) {
    require(matching::fits(words.data(), static_cast<std::size_t>(words.size())),
            std::string(name) + " has a word that is not below 2^48");
}

// rows [count][n]: row r modulo moduli[r % moduli].
void require_reduced(const Context& context, const Words& rows, int moduli, const char* name) {
    const std::size_t n = context.n();
    const std::uint64_t* row = rows.data();
    for (std::size_t r = 0; r < static_cast<std::size_t>(rows.size()) / n; ++r, row += n) {
        const auto index = static_cast<int>(r % static_cast<std::size_t>(moduli));
        const std::uint64_t q = context.modulus(index).q;
        bool ok = true;
        for (std::size_t i = 0; i < n; ++i) ok &= row[i] < q;
        require(ok, std::string(name) + " has a residue that is not below its modulus");
    }
}

void require_standard(const Context& context) {
    require(context.kind() == ring::Kind::standard, "the context must be of the standard ring");
}

void require_special(const Context& context) {
    require_standard(context);
    require(context.size() == 2, "the context must have two moduli: the limb and the special one");
}

void require_key(const Context& context, const Words& key) {
    require_shape(key, {1, 2, 2, context.n()}, "a key");
    require_reduced(context, key, 2, "a key");
}

// The shape of an array whose last extent is another one.
std::vector<py::ssize_t> with_last(const py::array& array, py::ssize_t last) {
    std::vector<py::ssize_t> shape(array.shape(), array.shape() + array.ndim());
    shape.back() = last;
    return shape;
}

constexpr auto kSixBytes = static_cast<py::ssize_t>(kPackedBytes);

Bytes pack48(const Words& words) {
    require(words.ndim() >= 1, "words must have one dimension or more");
    require_fit(words, "words");
    Bytes out(with_last(words, words.shape(words.ndim() - 1) * kSixBytes));
    std::uint8_t* data = out.mutable_data();
    const auto count = static_cast<std::size_t>(words.size());
    const Released release;
    matching::pack(data, words.data(), count);
    return out;
}

Words unpack48(const Bytes& packed) {
    require(packed.ndim() >= 1 && packed.shape(packed.ndim() - 1) % kSixBytes == 0,
            "data must have a last dimension of whole numbers of six bytes");
    Words out(with_last(packed, packed.shape(packed.ndim() - 1) / kSixBytes));
    std::uint64_t* data = out.mutable_data();
    const auto count = static_cast<std::size_t>(out.size());
    const Released release;
    matching::unpack(data, packed.data(), count);
    return out;
}

// Arguments of an expansion to at most `most` constants.
std::vector<matching::ExpansionLevel> require_expansion(const Context& context, const Words& roots,
                                                        const std::vector<Words>& keys,
                                                        const std::vector<Index>& permutations,
                                                        const std::vector<std::size_t>& powers,
                                                        std::size_t most) {
    const std::size_t n = context.n();
    require_special(context);
    require(roots.ndim() == 3, "roots must have shape (roots, 2, n)");
    const auto count = static_cast<std::size_t>(roots.shape(0));
    require_shape(roots, {count, 2, n}, "roots");
    require(count >= 1, "at least one root is needed");
    require_reduced(context, roots, 1, "roots");
    require(permutations.size() == keys.size() && powers.size() == keys.size(),
            "keys, permutations and powers must have one element for every level");
    require(keys.size() <= 16 && count <= most >> keys.size(),
            "there must be at most " + std::to_string(most) + " constants");
    std::vector<matching::ExpansionLevel> levels;
    for (std::size_t l = 0; l < keys.size(); ++l) {
        require_key(context, keys[l]);
        require_index(permutations[l], n);
        const ring::BlockMap refuses_others(permutations[l].data(), n);
        require(powers[l] < n, "a power must be below n");
        levels.push_back({keys[l].data(), permutations[l].data(), powers[l]});
    }
    return levels;
}

Words expand_constants(const Context& context, const Words& roots, const std::vector<Words>& keys,
                       const std::vector<Index>& permutations,
                       const std::vector<std::size_t>& powers) {
    const auto levels =
        require_expansion(context, roots, keys, permutations, powers, kMaxConstants);
    const auto count = static_cast<std::size_t>(roots.shape(0));
    const std::size_t size = 2 * context.n();
    Words out = make(context, {count << levels.size(), 2, context.n()});
    std::uint64_t* data = out.mutable_data();
    const Released release;
    matching::expand(context, roots.data(), count, levels,
                     [&](std::size_t k, const std::uint64_t* constant) {
                         std::copy(constant, constant + size, data + k * size);
                     });
    return out;
}

std::shared_ptr<ProbeTiles> expand_probe(const Context& context, const Words& roots,
                                         const std::vector<Words>& keys,
                                         const std::vector<Index>& permutations,
                                         const std::vector<std::size_t>& powers) {
    const auto levels =
        require_expansion(context, roots, keys, permutations, powers, kernels::kMaxTerms);
    require(context.modulus(0).q <= matching::kPackedBound, "the limb must be below 2^48");
    const auto count = static_cast<std::size_t>(roots.shape(0));
    const Released release;
    auto probe = std::make_shared<ProbeTiles>(count << levels.size(), context.n(), context.pool());
    matching::expand(
        context, roots.data(), count, levels,
        [&](std::size_t k, const std::uint64_t* constant) { probe->set(k, constant); });
    return probe;
}

std::shared_ptr<ProbeTiles> expand_mirrored(const Context& context, const Words& root,
                                            const std::vector<Words>& keys,
                                            const std::vector<Index>& permutations,
                                            const std::vector<std::size_t>& powers) {
    const auto levels =
        require_expansion(context, root, keys, permutations, powers, 2 * kernels::kMaxTerms);
    require(context.modulus(0).q <= matching::kPackedBound, "the limb must be below 2^48");
    require(root.shape(0) == 1, "roots must be a single one");
    require(!levels.empty(), "there must be at least one level");
    const Released release;
    auto probe = std::make_shared<ProbeTiles>(std::size_t{1} << (levels.size() - 1), context.n(),
                                              context.pool());
    matching::expand(
        context, root.data(), 1, levels,
        [&](std::size_t k, const std::uint64_t* constant) { probe->set(k, constant); },
        matching::Numbers::mirrored);
    return probe;
}

std::unique_ptr<ProbeTiles> make_probe(const Words& constants) {
    require(constants.ndim() == 3, "constants must have shape (features, 2, n)");
    const auto features = static_cast<std::size_t>(constants.shape(0));
    const auto n = static_cast<std::size_t>(constants.shape(2));
    matching::require_extent(features, n);
    require_shape(constants, {features, 2, n}, "constants");
    require_fit(constants, "constants");
    const Released release;
    auto tiles = std::make_unique<ProbeTiles>(features, n, std::make_shared<ring::BufferPool>(0));
    for (std::size_t k = 0; k < features; ++k) tiles->set(k, constants.data() + k * 2 * n);
    return tiles;
}

// The GIL is kept: it is short, and what is known of a block changes.
void set_ciphertext(BlockMemory& block, std::size_t k, const Bytes& body, const Words& uniform) {
    require(k < block.features(), "k must be below " + std::to_string(block.features()));
    require_shape(body, {block.n() * kPackedBytes}, "body");
    require_shape(uniform, {block.n()}, "uniform");
    require_fit(uniform, "uniform");
    block.set(k, body.data(), uniform.data());
}

Words search(const Context& context, const std::shared_ptr<ProbeTiles>& probe,
             const std::vector<std::shared_ptr<BlockMemory>>& blocks) {
    require_standard(context);
    require(probe != nullptr, "there is no probe");
    require(probe->n() == context.n(), "the probe is not of the context's n");
    std::vector<const BlockMemory*> all;
    for (const std::shared_ptr<BlockMemory>& block : blocks) {
        const std::string name = "block " + std::to_string(all.size());
        require(block != nullptr, name + " is missing");
        require(block->n() == probe->n() && block->features() == probe->features(),
                name + " does not have the probe's features and n");
        require(block->missing() == 0,
                name + " lacks " + std::to_string(block->missing()) + " of its ciphertexts");
        all.push_back(block.get());
    }
    Words out = make(context, {all.size(), 3, context.n()});
    std::uint64_t* data = out.mutable_data();
    const Released release;
    matching::search(context, data, *probe, all);
    return out;
}

Index switch_to_bits(const Context& context, const Words& products, const Words& key, int bits) {
    const std::size_t n = context.n();
    require_special(context);
    require(products.ndim() == 3, "products must have shape (blocks, 3, n)");
    const auto count = static_cast<std::size_t>(products.shape(0));
    require_shape(products, {count, 3, n}, "products");
    require_reduced(context, products, 1, "products");
    require_key(context, key);
    require(bits >= 1 && bits <= 32, "bits must be from 1 to 32");
    Index out(std::vector<py::ssize_t>{products.shape(0), 2, products.shape(2)});
    std::uint32_t* data = out.mutable_data();
    const Released release;
    matching::switch_to_bits(context, data, products.data(), count, key.data(), bits);
    return out;
}

}  // namespace

void bind_matching(py::module_& m) {
    m.def("pack48", &pack48, py::arg("words"));
    m.def("unpack48", &unpack48, py::arg("data"));
    m.def("expand_constants", &expand_constants, py::arg("context"), py::arg("roots"),
          py::arg("keys"), py::arg("permutations"), py::arg("powers"));
    py::class_<ProbeTiles, std::shared_ptr<ProbeTiles>>(m, "ProbeTiles")
        .def(py::init(&make_probe), py::arg("constants"))
        .def_property_readonly("features", &ProbeTiles::features)
        .def_property_readonly("n", &ProbeTiles::n);
    m.def("expand_probe", &expand_probe, py::arg("context"), py::arg("roots"), py::arg("keys"),
          py::arg("permutations"), py::arg("powers"));
    m.def("expand_mirrored", &expand_mirrored, py::arg("context"), py::arg("roots"),
          py::arg("keys"), py::arg("permutations"), py::arg("powers"));
    py::class_<BlockMemory, std::shared_ptr<BlockMemory>>(m, "BlockMemory")
        .def(py::init<std::size_t, std::size_t>(), py::arg("features"), py::arg("n"))
        .def("set", &set_ciphertext, py::arg("k"), py::arg("body"), py::arg("uniform"))
        .def_property_readonly("features", &BlockMemory::features)
        .def_property_readonly("n", &BlockMemory::n)
        .def_property_readonly("bytes", &BlockMemory::bytes);
    m.def("search", &search, py::arg("context"), py::arg("probe"), py::arg("blocks"));
    m.def("switch_to_bits", &switch_to_bits, py::arg("context"), py::arg("products"),
          py::arg("key"), py::arg("bits") = 24);
}

}  // namespace fhe::bindings
