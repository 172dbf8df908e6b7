#include "ring/threads.hpp"

#include <latch>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace fhe::ring {

void require_threads(int count) {
    std::latch end(1);
    std::vector<std::thread> started;
    bool failed = false;
    started.reserve(static_cast<std::size_t>(count));
    try {
        while (static_cast<int>(started.size()) < count - 1) {
            started.emplace_back([&end] { end.wait(); });
        }
    } catch (const std::system_error&) {
        failed = true;
    }
    end.count_down();
    for (std::thread& thread : started) thread.join();
    if (failed) {
        throw TooFewThreads("only " + std::to_string(started.size() + 1) + " of " +
                            std::to_string(count) +
                            " threads can be started, because the system or the container limits "
                            "them; choose fewer (--threads, or threads= in Python)");
    }
}

}  // namespace fhe::ring
