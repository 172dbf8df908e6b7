// The part of GCC's OpenMP runtime that the extension uses, on std::thread, for the thread
// sanitizer only. libgomp synchronises with raw futexes, which the sanitizer cannot see, so with it
// every loop would look like a race. Here all synchronisation goes through primitives it knows.
//
// The entry points are those that GCC's -fopenmp emits; a construct that needs another one fails
// when the extension is loaded, with the name that is missing.
#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#pragma GCC visibility push(hidden)

namespace {

using Unsigned = unsigned long long;

// One `for` that the threads of a team share.
struct Loop {
    Unsigned next;
    Unsigned end;
    Unsigned step;
};

struct Team {
    explicit Team(unsigned threads) : size(threads) {}
    const unsigned size;
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Loop> loops;  // in the order of the program; a deque keeps addresses
    unsigned waiting = 0;
    unsigned barriers = 0;
};

struct Member {
    Team* team = nullptr;
    unsigned number = 0;
    std::size_t loops = 0;  // that this thread has begun
    Loop* loop = nullptr;
};

thread_local Member self;

void barrier() {
    Team* const team = self.team;
    if (team == nullptr) return;
    std::unique_lock lock(team->mutex);
    const unsigned passed = team->barriers;
    if (++team->waiting == team->size) {
        team->waiting = 0;
        ++team->barriers;
        team->changed.notify_all();
    } else {
        team->changed.wait(lock, [&] { return team->barriers != passed; });
    }
}

bool take(Unsigned* first, Unsigned* last) {
    const std::lock_guard lock(self.team->mutex);
    Loop& loop = *self.loop;
    if (loop.next >= loop.end) return false;
    *first = loop.next;
    *last = std::min(loop.end, loop.next + loop.step);
    loop.next = *last;
    return true;
}

bool start(Unsigned first, Unsigned last, Unsigned step, Unsigned* from, Unsigned* to) {
    {
        const std::lock_guard lock(self.team->mutex);
        if (self.team->loops.size() == self.loops) self.team->loops.push_back({first, last, step});
        self.loop = &self.team->loops[self.loops++];
    }
    return take(from, to);
}

}  // namespace

extern "C" {

void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned) {
    const Member before = self;
    Team team(std::max(threads, 1U));
    std::vector<std::thread> others;
    for (unsigned number = 1; number < team.size; ++number) {
        others.emplace_back([&team, number, body, data] {
            self = Member{&team, number, 0, nullptr};
            body(data);
        });
    }
    self = Member{&team, 0, 0, nullptr};
    body(data);
    for (std::thread& other : others) other.join();
    self = before;
}

int omp_get_thread_num() { return static_cast<int>(self.number); }
int omp_get_num_threads() { return self.team == nullptr ? 1 : static_cast<int>(self.team->size); }

void GOMP_barrier() { barrier(); }

// Loops that count up with any step of one, which is how all of ours are written.
bool GOMP_loop_ull_nonmonotonic_dynamic_start(bool, Unsigned first, Unsigned last, Unsigned,
                                              Unsigned chunk, Unsigned* from, Unsigned* to) {
    return start(first, last, chunk, from, to);
}
bool GOMP_loop_ull_nonmonotonic_dynamic_next(Unsigned* from, Unsigned* to) {
    return take(from, to);
}
bool GOMP_loop_nonmonotonic_dynamic_start(long first, long last, long, long chunk, long* from,
                                          long* to) {
    Unsigned a = 0;
    Unsigned b = 0;
    const bool more = start(static_cast<Unsigned>(first), static_cast<Unsigned>(last),
                            static_cast<Unsigned>(chunk), &a, &b);
    *from = static_cast<long>(a);
    *to = static_cast<long>(b);
    return more;
}
bool GOMP_loop_nonmonotonic_dynamic_next(long* from, long* to) {
    Unsigned a = 0;
    Unsigned b = 0;
    const bool more = take(&a, &b);
    *from = static_cast<long>(a);
    *to = static_cast<long>(b);
    return more;
}
void GOMP_loop_end() { barrier(); }
void GOMP_loop_end_nowait() {}

}  // extern "C"

#pragma GCC visibility pop
