#include "ring/buffer.hpp"

#include <string.h>
#include <sys/mman.h>

#include <algorithm>
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

// So much is on huge pages, which is more than a face alone takes; beyond that only the working
// buffers are. A batch touches many times as much for the first time, and where a virtual machine
// has its memory from its host page by page, a huge page takes six times as long as the same memory
// in small ones (benchmarks/RESULTS.md), while long rows gain nothing that could be measured.
constexpr std::size_t kHugeBytes = std::size_t{1} << 30;
constexpr std::size_t kWorking = 2 * kHugePage;

// A block may be so many times as large as what it is for: ciphertexts shrink as a plan goes on,
// and a page's first touch takes as long as several passes over it.
constexpr std::size_t kRoom = 8;

std::size_t unit(std::size_t bytes) { return bytes < kSmall ? kCacheLine : kHugePage; }
}  // namespace

BufferPool::~BufferPool() {
    for (const Block& block : idle_) give_back(block);
}

std::size_t BufferPool::idle_bytes() const {
    const std::lock_guard lock(mutex_);
    return idle_bytes_;
}

void BufferPool::forget(std::multimap<std::size_t, Idle::iterator>::iterator entry) {
    idle_bytes_ -= entry->first;
    idle_.erase(entry->second);
    by_size_.erase(entry);
}

void BufferPool::give_back(Block block) const noexcept {
    if (clears_) explicit_bzero(block.data, block.bytes);
    std::free(block.data);
}

void BufferPool::shrink() noexcept {
    while (idle_bytes_ > std::max(idle_limit_, most_used_bytes_ - used_bytes_)) {
        const Block oldest = idle_.front();
        auto entry = by_size_.lower_bound(oldest.bytes);
        while (entry->second != idle_.begin()) ++entry;
        forget(entry);
        give_back(oldest);
    }
}

Block BufferPool::acquire(std::size_t words) {
    const std::size_t wanted = words * sizeof(std::uint64_t) + (words == 0);
    const std::size_t bytes = (wanted + unit(wanted) - 1) / unit(wanted) * unit(wanted);
    bool huge = bytes >= kHugePage;
    {
        const std::lock_guard lock(mutex_);
        const auto found = by_size_.lower_bound(bytes);
        if (found != by_size_.end() && found->first / kRoom <= bytes) {
            const Block block = *found->second;
            forget(found);
            used_bytes_ += block.bytes;
            most_used_bytes_ = std::max(most_used_bytes_, used_bytes_);
            return block;
        }
        used_bytes_ += bytes;
        most_used_bytes_ = std::max(most_used_bytes_, used_bytes_);
        shrink();
        huge = huge && (bytes <= kWorking || used_bytes_ + idle_bytes_ <= kHugeBytes);
    }
    void* data = std::aligned_alloc(unit(bytes), bytes);
    if (data == nullptr) {
        const std::lock_guard lock(mutex_);
        used_bytes_ -= bytes;
        throw std::bad_alloc();
    }
    if (huge) madvise(data, bytes, MADV_HUGEPAGE);  // a hint: failure costs only time
    return {static_cast<std::uint64_t*>(data), bytes};
}

void BufferPool::release(Block block) noexcept {
    const std::lock_guard lock(mutex_);
    used_bytes_ -= block.bytes;
    try {
        idle_.push_back(block);
        by_size_.emplace(block.bytes, std::prev(idle_.end()));
        idle_bytes_ += block.bytes;
        shrink();
    } catch (const std::bad_alloc&) {
        if (!idle_.empty() && idle_.back().data == block.data) idle_.pop_back();
        give_back(block);
    }
}

}  // namespace fhe::ring
