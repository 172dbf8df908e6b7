// Large arrays that are used again and again: a pool of blocks on huge pages, so that a result does
// not cost a page fault per 4 KiB. Blocks return to the pool when their last owner lets go.
// Ciphertexts shrink from level to level, so a block also serves requests of down to half its size;
// otherwise blocks of every level would pile up and push each other out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>

namespace fhe::ring {

struct Block {
    std::uint64_t* data;
    std::size_t bytes;
};

class BufferPool {
  public:
    // Unused blocks beyond `idle_bytes` in total go back to the operating system, those that were
    // unused longest first.
    explicit BufferPool(std::size_t idle_bytes) : idle_limit_(idle_bytes) {}
    ~BufferPool();
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    // Uninitialised words, 64-byte aligned; throws std::bad_alloc.
    Block acquire(std::size_t words);
    void release(Block block) noexcept;

  private:
    using Idle = std::list<Block>;

    void forget(std::multimap<std::size_t, Idle::iterator>::iterator entry);

    std::mutex mutex_;
    Idle idle_;  // unused longest first
    std::multimap<std::size_t, Idle::iterator> by_size_;
    std::size_t idle_bytes_ = 0;
    std::size_t idle_limit_;
};

// A block for the lifetime of the object.
class Buffer {
  public:
    Buffer(std::shared_ptr<BufferPool> pool, std::size_t words)
        : pool_(std::move(pool)), block_(pool_->acquire(words)) {}
    ~Buffer() { pool_->release(block_); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    std::uint64_t* data() const { return block_.data; }

  private:
    std::shared_ptr<BufferPool> pool_;
    Block block_;
};

}  // namespace fhe::ring
