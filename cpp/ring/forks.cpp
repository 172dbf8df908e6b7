#include "ring/forks.hpp"

#include <omp.h>
#include <pthread.h>

#include <condition_variable>
#include <mutex>
#include <new>

namespace fhe::ring {
namespace {

// A lock for readers would do, but POSIX may let them starve whoever wants to fork.
struct Gate {
    std::mutex mutex;
    std::condition_variable changed;
    int running = 0;
    bool forking = false;
};

Gate& gate() {
    // Never destroyed: threads may still compute while the process ends.
    static Gate& only = *new Gate;
    return only;
}

void before_fork() {
    std::unique_lock lock(gate().mutex);
    gate().changed.wait(lock, [] { return !gate().forking; });
    gate().forking = true;
    gate().changed.wait(lock, [] { return gate().running == 0; });
    lock.release();  // held over the fork
    // Ends the pool of this thread, the only one that the child has; the next region makes a new
    // one. GCC's runtime would wait for the pool's threads, which the child does not have.
    omp_pause_resource_all(omp_pause_hard);
}

void in_parent() {
    gate().forking = false;
    gate().mutex.unlock();
    gate().changed.notify_all();
}

void in_child() {
    // Threads that waited do not exist here.
    new (&gate()) Gate;
}

}  // namespace

Running::Running() {
    std::unique_lock lock(gate().mutex);
    gate().changed.wait(lock, [] { return !gate().forking; });
    ++gate().running;
}

Running::~Running() {
    const std::lock_guard lock(gate().mutex);
    if (--gate().running == 0 && gate().forking) gate().changed.notify_all();
}

void handle_forks() {
    static const int registered = pthread_atfork(before_fork, in_parent, in_child);
    static_cast<void>(registered);
}

}  // namespace fhe::ring
