#include "ring/buffer.hpp"

#include <sys/mman.h>

#include <cstdlib>
#include <new>

namespace fhe::ring {

namespace {
constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t unit(std::size_t bytes) { return bytes < kHugePage ? kCacheLine : kHugePage; }
}  // namespace

BufferPool::~BufferPool() {
    for (const auto& [bytes, data] : idle_) std::free(data);
}

Block BufferPool::acquire(std::size_t words) {
    const std::size_t wanted = words * sizeof(std::uint64_t) + (words == 0);
    const std::size_t bytes = (wanted + unit(wanted) - 1) / unit(wanted) * unit(wanted);
    {
        const std::lock_guard lock(mutex_);
        const auto found = idle_.lower_bound(bytes);
        if (found != idle_.end() && found->first <= bytes + bytes / 4) {
            const Block block{found->second, found->first};
            idle_bytes_ -= block.bytes;
            idle_.erase(found);
            return block;
        }
    }
    void* data = std::aligned_alloc(unit(bytes), bytes);
    if (data == nullptr) throw std::bad_alloc();
    if (bytes >= kHugePage) madvise(data, bytes, MADV_HUGEPAGE);  // a hint: failure costs only time
    return {static_cast<std::uint64_t*>(data), bytes};
}

void BufferPool::release(Block block) noexcept {
    const std::lock_guard lock(mutex_);
    if (idle_bytes_ + block.bytes <= idle_limit_) {
        try {
            idle_.emplace(block.bytes, block.data);
            idle_bytes_ += block.bytes;
            return;
        } catch (const std::bad_alloc&) {  // falls through: the block is freed
        }
    }
    std::free(block.data);
}

}  // namespace fhe::ring
