// A gallery's blocks in memory, a probe, and the search: the products of both, summed.
//
// Ciphertext k of a block holds number k of up to n templates, one in each coefficient; constant k
// of a probe encrypts number k of a face. The sum over k of their products holds the inner product
// with template i in coefficient i. Everything is in NTT order of one limb, so positions never mix,
// and is kept strip by strip: a search reads a block once, from its first byte to its last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "ring/context.hpp"

namespace fhe::matching {

// Throws std::invalid_argument outside what the kernels take: features from 1 to kMaxTerms, n a
// power of two from 16 to 131072.
void require_extent(std::size_t features, std::size_t n);

// features ciphertexts of n packed residues and as many, [strips][features][2][kStrip].
class BlockMemory {
  public:
    BlockMemory(std::size_t features, std::size_t n);  // throws as require_extent; bad_alloc

    // Ciphertext k: its first polynomial packed, its second as words below 2^48.
    void set(std::size_t k, const std::uint8_t* body, const std::uint64_t* uniform);

    std::size_t features() const { return features_; }
    std::size_t n() const { return n_; }
    std::size_t bytes() const;
    std::size_t missing() const { return missing_; }  // ciphertexts that were never set
    const std::uint8_t* strip(std::size_t number) const;

  private:
    std::uint8_t* data() const { return reinterpret_cast<std::uint8_t*>(memory_.data()); }

    std::size_t features_, n_;
    std::size_t missing_;
    std::vector<bool> present_;
    ring::Buffer memory_;
};

// The constants of a probe as words, [strips][features][2][kStrip].
class ProbeTiles {
  public:
    // Throws as require_extent; bad_alloc.
    ProbeTiles(std::size_t features, std::size_t n, const std::shared_ptr<ring::BufferPool>& pool);

    // Constant k: [2][n], below 2^48. Different constants may be set side by side; all have to be
    // before a search.
    void set(std::size_t k, const std::uint64_t* constant);

    std::size_t features() const { return features_; }
    std::size_t n() const { return n_; }
    const std::uint64_t* strip(std::size_t number) const;

  private:
    std::size_t features_, n_;
    ring::Buffer memory_;
};

// out [blocks][3][n]: (d0, d1, d2) of every block modulo the context's first modulus. Complete
// blocks with the features and the n of the probe, which is the context's.
void search(const ring::Context& context, std::uint64_t* out, const ProbeTiles& probe,
            const std::vector<const BlockMemory*>& blocks);

}  // namespace fhe::matching
