#include <pybind11/pybind11.h>

#include "bindings/bind_kernels.hpp"
#include "bindings/bind_keys.hpp"
#include "bindings/bind_matching.hpp"
#include "bindings/bind_ring.hpp"

PYBIND11_MODULE(_native, m) {
    m.doc() = "RNS arithmetic for CKKS: public data only, except where the client calls it.";
    bind_kernels(m);
    fhe::bindings::bind_keys(m);
    fhe::bindings::bind_ring(m);
    fhe::bindings::bind_matching(m);
}
