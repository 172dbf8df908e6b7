#pragma once

#include <pybind11/pybind11.h>

namespace fhe::bindings {
void bind_matching(pybind11::module_& m);
}
