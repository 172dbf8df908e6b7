// Loops over limbs or tiles on threads.
#pragma once

#include <omp.h>

#include <cstddef>
#include <exception>
#include <mutex>

namespace fhe::ring {

// body(i, thread) for i from 0 to count - 1, thread below `threads`. What a body throws is thrown
// again after the loop, the first of several: an exception that leaves a parallel region ends the
// process, and memory may run out anywhere. Whoever is free takes the next i: beside other
// processes the threads do not advance equally.
template <typename Body>
void parallel_for(int threads, std::size_t count, const Body& body) {
    std::exception_ptr failure;
    std::mutex mutex;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (std::size_t i = 0; i < count; ++i) {
        try {
            body(i, static_cast<std::size_t>(omp_get_thread_num()));
        } catch (...) {
            const std::lock_guard lock(mutex);
            if (failure == nullptr) failure = std::current_exception();
        }
    }
    if (failure != nullptr) std::rethrow_exception(failure);
}

}  // namespace fhe::ring
