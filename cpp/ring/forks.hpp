// Forks of the process: what a child finds must work. A child has one thread, so it must not wait
// for the threads of a pool, nor for a lock that another thread held.
#pragma once

namespace fhe::ring {

// Held while a computation runs: a fork waits for its end, and it waits for a fork.
class Running {
  public:
    Running();
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
};

// Registers what happens at a fork; once for the process.
void handle_forks();

}  // namespace fhe::ring
