#include "ring/buffer.hpp"

#include <sys/mman.h>

#include <cstdlib>
#include <iterator>
#include <new>

namespace fhe::ring {

namespace {
constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Working buffers of a thread get a huge page as well: their rows lie in more small pages than the
// processor keeps translations for.
constexpr std::size_t kSmall = kHugePage / 8;

std::size_t unit(std::size_t bytes) { return bytes < kSmall ? kCacheLine : kHugePage; }
}  // namespace

BufferPool::~BufferPool() {
    for (const Block& block : idle_) std::free(block.data);
}

void BufferPool::forget(std::multimap<std::size_t, Idle::iterator>::iterator entry) {
    idle_bytes_ -= entry->first;
    idle_.erase(entry->second);
    by_size_.erase(entry);
}

Block BufferPool::acquire(std::size_t words) {
    const std::size_t wanted = words * sizeof(std::uint64_t) + (words == 0);
    const std::size_t bytes = (wanted + unit(wanted) - 1) / unit(wanted) * unit(wanted);
    {
        const std::lock_guard lock(mutex_);
        const auto found = by_size_.lower_bound(bytes);
        if (found != by_size_.end() && found->first / 2 <= bytes) {
            const Block block = *found->second;
            forget(found);
            return block;
        }
    }
    void* data = std::aligned_alloc(unit(bytes), bytes);
    if (data == nullptr) throw std::bad_alloc();
    if (bytes >= kHugePage) madvise(data, bytes, MADV_HUGEPAGE);  // a hint: failure costs only time
    return {static_cast<std::uint64_t*>(data), bytes};
}

void BufferPool::release(Block block) noexcept {
    if (block.bytes > idle_limit_) {
        std::free(block.data);
        return;
    }
    const std::lock_guard lock(mutex_);
    while (idle_bytes_ + block.bytes > idle_limit_) {
        const Block oldest = idle_.front();
        auto entry = by_size_.lower_bound(oldest.bytes);
        while (entry->second != idle_.begin()) ++entry;
        forget(entry);
        std::free(oldest.data);
    }
    try {
        idle_.push_back(block);
        by_size_.emplace(block.bytes, std::prev(idle_.end()));
        idle_bytes_ += block.bytes;
    } catch (const std::bad_alloc&) {
        if (!idle_.empty() && idle_.back().data == block.data) idle_.pop_back();
        std::free(block.data);
    }
}

}  // namespace fhe::ring
