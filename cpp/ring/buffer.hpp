// Large arrays that are used again and again: a pool of blocks, the first GiB of them on huge
// pages, so that results do not cost a page fault per 4 KiB each time. Blocks return to the pool
// when their last owner lets go. Ciphertexts shrink from level to level, so a block also serves
// requests of down to an eighth of its size; otherwise blocks of every level would pile up and push
// each other out.
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
    // Unused blocks go back to the operating system, those that were unused longest first, when
    // they are more than `idle_limit` bytes and, with the used ones, more than were ever used at a
    // time: so a working set of any size is kept between its steps, and nothing beyond what it
    // took. clears: blocks that held secrets are cleared before they go back, as the C library may
    // hand them on.
    explicit BufferPool(std::size_t idle_limit, bool clears = false)
        : idle_limit_(idle_limit), clears_(clears) {}
    ~BufferPool();
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    // Uninitialised words, 64-byte aligned; throws std::bad_alloc.
    Block acquire(std::size_t words);
    void release(Block block) noexcept;
    std::size_t idle_bytes() const;

  private:
    using Idle = std::list<Block>;

    void forget(std::multimap<std::size_t, Idle::iterator>::iterator entry);
    void shrink() noexcept;  // to what may be idle now
    void give_back(Block block) const noexcept;

    mutable std::mutex mutex_;
    Idle idle_;  // unused longest first
    std::multimap<std::size_t, Idle::iterator> by_size_;
    std::size_t idle_bytes_ = 0;
    std::size_t used_bytes_ = 0, most_used_bytes_ = 0;
    std::size_t idle_limit_;
    bool clears_;
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
