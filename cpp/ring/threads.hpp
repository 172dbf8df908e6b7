// Whether the system lets threads start, asked before OpenMP does: its runtime ends the process.
#pragma once

#include <stdexcept>

namespace fhe::ring {

// Fewer threads can be started than were asked for; the text says how many.
struct TooFewThreads : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Starts count - 1 threads beside the calling one, at the same time, and ends them again.
// Throws TooFewThreads.
void require_threads(int count);

}  // namespace fhe::ring
