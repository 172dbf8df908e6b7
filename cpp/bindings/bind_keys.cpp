// Python face of ring::keys: key switching keys in memory, filled row by row.
#include "bindings/bind_keys.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <bit>
#include <memory>
#include <string>

#include "ring/bits.hpp"
#include "ring/buffer.hpp"
#include "ring/keys.hpp"

namespace py = pybind11;

namespace fhe::bindings {
namespace {

std::size_t extent(const Words& key, int axis) { return static_cast<std::size_t>(key.shape(axis)); }

// Of a key that has the right shape for some n.
std::size_t checked_n(const Words& key) {
    require(key.ndim() == 5, "a key must have shape (rows, n / strip, digits, 2, strip)");
    const std::size_t n = extent(key, 1) * extent(key, 4);
    require_key_memory(key, n);
    return n;
}

ring::KeyRow key_row(Words& key, std::size_t row, std::size_t n) {
    return {key.mutable_data(static_cast<py::ssize_t>(row)), n, extent(key, 2)};
}

// Uninitialised, on huge pages where it is large.
Words key_memory(std::size_t digits, std::size_t rows, std::size_t n) {
    constexpr std::size_t kMost = std::size_t{1} << 17;
    require(std::has_single_bit(n) && n >= kernels::kBlock && n <= kMost,
            "n must be a power of two in [8, 131072]");
    require(digits >= 1 && digits < kernels::kMaxTerms && rows >= 1 && rows <= kMost,
            "a key must have digits and rows");
    const std::size_t strip = ring::key_strip(n);
    auto pool = std::make_shared<ring::BufferPool>(0);
    auto buffer = std::make_unique<ring::Buffer>(std::move(pool), rows * n * digits * 2);
    std::uint64_t* data = buffer->data();
    const py::capsule owner(buffer.release(),
                            [](void* p) { delete static_cast<ring::Buffer*>(p); });
    std::vector<py::ssize_t> shape;
    for (const std::size_t count : {rows, n / strip, digits, std::size_t{2}, strip}) {
        shape.push_back(static_cast<py::ssize_t>(count));
    }
    return Words(shape, data, owner);
}

void store_key_row(Words key, std::size_t row, std::size_t digit, std::size_t poly,
                   const Words& values, std::uint64_t q) {
    const std::size_t n = checked_n(key);
    require(row < extent(key, 0) && digit < extent(key, 2) && poly < 2,
            "the key has no such row, digit or polynomial");
    require_shape(values, {n}, "values");
    const kernels::Modulus modulus(q);
    const ring::KeyRow place = key_row(key, row, n);
    const std::uint64_t* from = values.data();
    bool below = false;
    {
        const py::gil_scoped_release release;
        below = ring::store_key_row(kernels::select(), place, digit, poly, from, modulus);
    }
    require(below, "a residue is not below its modulus");
}

// [digits][2][rows][n]; moduli: of the rows.
Words load_key(Words key, const std::vector<std::uint64_t>& moduli) {
    const std::size_t n = checked_n(key);
    const std::size_t rows = extent(key, 0);
    const std::size_t digits = extent(key, 2);
    require(moduli.size() == rows, "one modulus per row is needed");
    Words out(std::vector<py::ssize_t>{key.shape(2), 2, key.shape(0), static_cast<py::ssize_t>(n)});
    std::uint64_t* to = out.mutable_data();
    for (std::size_t r = 0; r < rows; ++r) {
        const kernels::Modulus modulus(moduli[r]);
        for (std::size_t d = 0; d < digits; ++d) {
            for (std::size_t poly = 0; poly < 2; ++poly) {
                ring::load_key_row(kernels::select(), to + ((d * 2 + poly) * rows + r) * n,
                                   key_row(key, r, n), d, poly, modulus);
            }
        }
    }
    return out;
}

using Bytes = py::array_t<std::uint8_t, py::array::c_style>;

std::size_t packed_bytes(std::size_t count, int bits) {
    require(bits >= 1 && bits <= ring::kMostPackedBits,
            "bits must be in [1, " + std::to_string(ring::kMostPackedBits) + "]");
    require(count % 8 == 0 && count <= std::size_t{1} << 32,
            "the number of words must be a multiple of 8");
    return count / 8 * static_cast<std::size_t>(bits);
}

Bytes pack_bits(const Words& values, int bits) {
    require(values.ndim() == 1, "values must be one-dimensional");
    const auto count = static_cast<std::size_t>(values.size());
    Bytes out(static_cast<py::ssize_t>(packed_bytes(count, bits)));
    std::uint8_t* to = out.mutable_data();
    const std::uint64_t* from = values.data();
    bool fit = false;
    {
        const py::gil_scoped_release release;
        fit = ring::pack_bits(to, from, count, bits);
    }
    require(fit, "a value has more bits");
    return out;
}

Words unpack_bits(const Bytes& packed, std::size_t count, int bits) {
    require_shape(packed, {packed_bytes(count, bits)}, "packed");
    Words out(static_cast<py::ssize_t>(count));
    std::uint64_t* to = out.mutable_data();
    const std::uint8_t* from = packed.data();
    const py::gil_scoped_release release;
    ring::unpack_bits(to, from, count, bits);
    return out;
}

}  // namespace

void require_key_memory(const Words& key, std::size_t n) {
    const std::size_t strip = ring::key_strip(n);
    require(key.ndim() == 5 && key.size() > 0 && extent(key, 1) * strip == n &&
                extent(key, 3) == 2 && extent(key, 4) == strip,
            "a key must have shape (rows, " + std::to_string(n / strip) + ", digits, 2, " +
                std::to_string(strip) + ")");
}

void bind_keys(py::module_& m) {
    m.def("key_memory", &key_memory, py::arg("digits"), py::arg("rows"), py::arg("n"));
    m.def("store_key_row", &store_key_row, py::arg("key").noconvert(), py::arg("row"),
          py::arg("digit"), py::arg("poly"), py::arg("values").noconvert(), py::arg("q"));
    m.def("load_key", &load_key, py::arg("key").noconvert(), py::arg("moduli"));
    m.def("pack_bits", &pack_bits, py::arg("values").noconvert(), py::arg("bits"));
    m.def("unpack_bits", &unpack_bits, py::arg("packed").noconvert(), py::arg("count"),
          py::arg("bits"));
}

}  // namespace fhe::bindings
