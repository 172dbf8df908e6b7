// What both files of bindings say of numpy arrays.
#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <stdexcept>
#include <string>

namespace fhe::bindings {

using Words = pybind11::array_t<std::uint64_t, pybind11::array::c_style>;
using Index = pybind11::array_t<std::uint32_t, pybind11::array::c_style>;

// ValueError in Python.
inline void require(bool condition, const std::string& message) {
    if (!condition) throw std::invalid_argument(message);
}

}  // namespace fhe::bindings
