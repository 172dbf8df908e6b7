#include "matching/blocks.hpp"

#include <algorithm>
#include <bit>
#include <memory>
#include <stdexcept>
#include <string>

#include "matching/packing.hpp"
#include "ring/parallel.hpp"

namespace fhe::matching {

namespace {

using kernels::kMaxTerms;
using kernels::kPackedBytes;
using kernels::kStrip;

constexpr std::size_t kPackedStrip = kStrip * kPackedBytes;
// Of a probe, that stay in the second cache while all blocks pass: smaller tiles read blocks in
// shorter runs, which takes longer (benchmarks/RESULTS.md).
constexpr std::size_t kTileBytes = std::size_t{768} << 10;
constexpr std::size_t kTilesPerThread = 8;  // at least: threads do not advance equally

// One large piece of memory, on huge pages; given back with its owner.
ring::Buffer reserve(std::size_t bytes) {
    return ring::Buffer(std::make_shared<ring::BufferPool>(0), bytes / sizeof(std::uint64_t));
}

std::size_t tile_strips(std::size_t features, std::size_t strips, int threads) {
    const std::size_t cached = kTileBytes / (features * 2 * kStrip * sizeof(std::uint64_t));
    const std::size_t shared = strips / (kTilesPerThread * static_cast<std::size_t>(threads));
    return std::max<std::size_t>(1, std::min(cached, shared));
}

}  // namespace

void require_extent(std::size_t features, std::size_t n) {
    if (features < 1 || features > kMaxTerms) {
        throw std::invalid_argument("features must be from 1 to " + std::to_string(kMaxTerms));
    }
    if (!std::has_single_bit(n) || n < kStrip || n > (std::size_t{1} << 17)) {
        throw std::invalid_argument("n must be a power of two in [16, 131072]");
    }
}

BlockMemory::BlockMemory(std::size_t features, std::size_t n)
    : features_((require_extent(features, n), features)),
      n_(n),
      missing_(features),
      present_(features),
      memory_(reserve(bytes())) {}

std::size_t BlockMemory::bytes() const { return features_ * 2 * n_ * kPackedBytes; }

const std::uint8_t* BlockMemory::strip(std::size_t number) const {
    return data() + number * features_ * 2 * kPackedStrip;
}

void BlockMemory::set(std::size_t k, const std::uint8_t* body, const std::uint64_t* uniform) {
    const std::size_t stride = features_ * 2 * kPackedStrip;
    std::uint8_t* out = data() + k * 2 * kPackedStrip;
    for (std::size_t i = 0; i < n_; i += kStrip, out += stride) {
        std::copy(body + i * kPackedBytes, body + (i + kStrip) * kPackedBytes, out);
        pack(out + kPackedStrip, uniform + i, kStrip);
    }
    missing_ -= !present_[k];
    present_[k] = true;
}

ProbeTiles::ProbeTiles(std::size_t features, std::size_t n,
                       const std::shared_ptr<ring::BufferPool>& pool)
    : features_((require_extent(features, n), features)), n_(n), memory_(pool, features * 2 * n) {}

void ProbeTiles::set(std::size_t k, const std::uint64_t* constant) {
    std::uint64_t* out = memory_.data() + k * 2 * kStrip;
    for (std::size_t i = 0; i < n_; i += kStrip, out += features_ * 2 * kStrip) {
        std::copy(constant + i, constant + i + kStrip, out);
        std::copy(constant + n_ + i, constant + n_ + i + kStrip, out + kStrip);
    }
}

const std::uint64_t* ProbeTiles::strip(std::size_t number) const {
    return memory_.data() + number * features_ * 2 * kStrip;
}

void search(const ring::Context& context, std::uint64_t* out, const ProbeTiles& probe,
            const std::vector<const BlockMemory*>& blocks) {
    const std::size_t n = probe.n();
    const std::size_t strips = n / kStrip;
    const std::size_t tile = tile_strips(probe.features(), strips, context.threads());
    const std::size_t tiles = (strips + tile - 1) / tile;
    ring::parallel_for(context.threads(), tiles, [&](std::size_t number, std::size_t) {
        const std::size_t first = number * tile;
        const std::size_t count = std::min(tile, strips - first);
        std::vector<std::uint64_t*> sums;
        std::vector<const std::uint8_t*> packed;
        for (std::size_t b = 0; b < blocks.size(); ++b) {
            packed.push_back(blocks[b]->strip(first));
            for (std::size_t k = 0; k < 3; ++k) {
                sums.push_back(out + (b * 3 + k) * n + first * kStrip);
            }
        }
        context.kernels().packed_products(sums.data(), probe.strip(first), packed.data(),
                                          blocks.size(), probe.features(), count,
                                          context.modulus(0));
    });
}

}  // namespace fhe::matching
