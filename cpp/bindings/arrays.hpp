// What all bindings say of numpy arrays.
#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace fhe::bindings {

using Words = pybind11::array_t<std::uint64_t, pybind11::array::c_style>;
using Index = pybind11::array_t<std::uint32_t, pybind11::array::c_style>;

// ValueError in Python.
inline void require(bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument(message);
}

inline void require_shape(const pybind11::array& array, const std::vector<std::size_t>& shape,
                          const char* name) {
    bool ok = array.ndim() == static_cast<pybind11::ssize_t>(shape.size());
    for (std::size_t i = 0; ok && i < shape.size(); ++i) {
        ok = array.shape(static_cast<pybind11::ssize_t>(i)) ==
             static_cast<pybind11::ssize_t>(shape[i]);
    }
    if (ok) return;
    std::string wanted;
    for (const std::size_t extent : shape) {
        if (!wanted.empty()) wanted += ", ";
        wanted += std::to_string(extent);
    }
    throw std::invalid_argument(std::string(name) + " must have shape (" + wanted + ")");
}

}  // namespace fhe::bindings
