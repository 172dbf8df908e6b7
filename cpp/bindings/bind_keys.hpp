#pragma once

#include <pybind11/pybind11.h>

#include "bindings/arrays.hpp"

namespace fhe::bindings {

void bind_keys(pybind11::module_& m);

// A key [rows][n / strip][digits][2][strip] in memory, as ring::KeyView has it.
void require_key_memory(const Words& key, std::size_t n);

}  // namespace fhe::bindings
