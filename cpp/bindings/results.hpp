// What bindings that compute with a ring's context share.
#pragma once

#include <pybind11/numpy.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "bindings/arrays.hpp"
#include "ring/context.hpp"
#include "ring/forks.hpp"

namespace fhe::bindings {

// Around a computation. Ends in the other order: nobody who waits for the GIL keeps a fork waiting.
struct Released {
    pybind11::gil_scoped_release gil;
    ring::Running running;
};

inline void require_index(const Index& index, std::size_t n) {
    require_shape(index, {n}, "a permutation");
    require(std::all_of(index.data(), index.data() + n, [n](std::uint32_t i) { return i < n; }),
            "a permutation names a place beyond n");
}

// An array on a block of the context's pool, which it keeps alive.
inline Words make(const ring::Context& context, const std::vector<std::size_t>& shape) {
    std::size_t words = 1;
    for (const std::size_t extent : shape) words *= extent;
    auto buffer = std::make_unique<ring::Buffer>(context.pool(), words);
    std::uint64_t* data = buffer->data();
    const pybind11::capsule owner(buffer.release(),
                                  [](void* p) { delete static_cast<ring::Buffer*>(p); });
    return Words(std::vector<pybind11::ssize_t>(shape.begin(), shape.end()), data, owner);
}

}  // namespace fhe::bindings
