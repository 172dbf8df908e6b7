// Python access to the kernel table, for tests and benchmarks.
#pragma once

#include <pybind11/pybind11.h>

// Adds the submodule `kernels` to m.
void bind_kernels(pybind11::module_& m);
