#include "ring/transform.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <numeric>

#include "ring/block_map.hpp"
#include "ring/parallel.hpp"
#include "ring/sums.hpp"

namespace fhe::ring {

namespace {

constexpr std::size_t kScratchWords = std::size_t{112} * 1024;  // 896 KiB: stays in the L2 cache
constexpr std::size_t kMaxTile = 1024;
constexpr std::size_t kStrip = 64;  // positions that are summed before the next ones
constexpr std::size_t kLine = 8;    // words of a cache line
constexpr std::size_t kPad =
    kLine;  // words between scratch rows: no two share all their cache sets

// What does not depend on the limb, found once for all threads.
struct Preparation {
    MaskOrder order;
    SumPlan sums[2];                  // for limbs, for specials
    std::vector<std::size_t> babies;  // by rotation: a key's tile then serves all inputs at once
    std::map<const std::uint32_t*, BlockMap> maps;  // by permutation
    std::size_t tile, strip;

    Preparation(std::size_t n, const LinearTransform& t) : order(t), babies(t.babies.size()) {
        for (const BabyStep& baby : t.babies) {
            if (!vanishes(baby)) maps.try_emplace(baby.permutation, baby.permutation, n);
        }
        std::vector<bool> skipped(t.babies.size());
        sums[0] = plan_sums(t, order, skipped);
        for (std::size_t b = 0; b < skipped.size(); ++b) skipped[b] = vanishes(t.babies[b]);
        sums[1] = plan_sums(t, order, skipped);
        std::iota(babies.begin(), babies.end(), 0);
        std::stable_sort(babies.begin(), babies.end(), [&](std::size_t a, std::size_t b) {
            return t.babies[a].key.data < t.babies[b].key.data;
        });
        tile = std::min(n, kMaxTile);
        while (tile > kStrip && tile * 2 * order.rows > kScratchWords) tile /= 2;
        strip = std::min({kStrip, n / t.period, tile});
    }

    // P * x vanishes modulo the specials, so an unrotated input has no part there.
    static bool vanishes(const BabyStep& baby) { return baby.permutation == nullptr; }
};

// Everything that one thread needs to work on one limb, one polynomial and one tile at a time.
class LimbWorker {
  public:
    LimbWorker(const Context& context, const LinearTransform& t, const Preparation& prepared)
        : context_(context),
          t_(t),
          prepared_(prepared),
          n_(context.n()),
          constant_(n_ / t.period),
          tile_(prepared.tile),
          stride_(tile_ + kPad),
          strip_(prepared.strip),
          weights_(context.scratch(
              std::max(prepared.sums[0].slots.size(), prepared.sums[1].slots.size()) * t.period)),
          transformed_(kLine * t.period),
          masks_(context.scratch(t.masks.size() * n_)),
          scratch_(context.scratch(2 * prepared.order.rows * stride_)),
          partial_(std::max(prepared.sums[0].count, prepared.sums[1].count) * strip_) {
        for (const bool special : {false, true}) {
            for (const SumGroup& group : prepared.sums[special].groups) {
                std::vector<const std::uint64_t*>& rows = rows_[special].emplace_back();
                for (const std::size_t row : group.rows) rows.push_back(scratch(row, 0));
            }
        }
    }

    // The values [begin, end) of a row.
    void run(std::uint64_t* out, std::size_t row, std::size_t begin, std::size_t end) {
        row_ = row;
        transform_weights();
        transform_masks();
        for (std::size_t start = begin; start < end; start += tile_) {
            for (std::size_t i = 0; i < prepared_.babies.size(); ++i) {
                look_ahead(i, start);
                rotate(prepared_.babies[i], start);
            }
            for (std::size_t i = 0; i < t_.terms.size(); ++i) mask(i, start);
            for (std::size_t poly = 0; poly < 2; ++poly) {
                sum(out + (poly * t_.rows.size() + row_) * n_, poly, start);
            }
        }
    }

  private:
    bool special() const { return row_ >= t_.limbs; }
    const SumPlan& sums() const { return prepared_.sums[special()]; }
    const Modulus& modulus() const { return context_.modulus(t_.rows[row_]); }
    const KernelTable& kernels() const { return context_.kernels(); }
    std::uint64_t* scratch(std::size_t row, std::size_t poly) const {
        return scratch_.data() + (poly * prepared_.order.rows + row) * stride_;
    }
    const std::uint64_t* mask_row(std::size_t mask) const { return masks_.data() + mask * n_; }

    // Weights of this limb in the order in which they are read, those of one position side by side:
    // [period][slots]. Done for a cache line of slots at a time, so that the transposition writes
    // whole lines.
    void transform_weights() {
        const NttTables& tables = context_.tables(t_.rows[row_]);
        const std::vector<std::ptrdiff_t>& slots = sums().slots;
        for (std::size_t first = 0; first < slots.size(); first += kLine) {
            const std::size_t count = std::min(kLine, slots.size() - first);
            for (std::size_t w = 0; w < count; ++w) {
                std::uint64_t* values = transformed_.data() + w * t_.period;
                if (slots[first + w] < 0) {
                    std::fill(values, values + t_.period, 0);
                    continue;
                }
                const auto row = static_cast<std::size_t>(slots[first + w]);
                reduce_signed(kernels(), values, t_.weights + row * t_.period, t_.period,
                              modulus());
                kernels().ntt_forward(values, t_.period, tables);
            }
            const std::uint64_t* from = transformed_.data();
            for (std::size_t i = 0; i < t_.period; ++i, ++from) {
                std::uint64_t* line = weights_.data() + i * slots.size() + first;
                if (count == kLine) {  // nearly always; unrolled
                    for (std::size_t w = 0; w < kLine; ++w) line[w] = from[w * t_.period];
                } else {
                    for (std::size_t w = 0; w < count; ++w) line[w] = from[w * t_.period];
                }
            }
        }
    }

    // Masks stay small integers between calls: transforming them here costs less than reading all
    // their residues from memory, and a thousand times less memory.
    void transform_masks() {
        const NttTables& tables = context_.tables(t_.rows[row_]);
        for (std::size_t i = 0; i < t_.masks.size(); ++i) {
            std::uint64_t* values = masks_.data() + i * n_;
            reduce_signed(kernels(), values, t_.masks[i], n_, modulus());
            kernels().ntt_forward(values, n_, tables);
        }
    }

    // What the baby step after number i reads for the first time: tiles are too short for the
    // processor to see a stream coming.
    void look_ahead(std::size_t i, std::size_t start) {
        ahead_.clear();
        ahead_key_ = nullptr;
        if (i + 1 == prepared_.babies.size()) return;
        const BabyStep& now = t_.babies[prepared_.babies[i]];
        const BabyStep& next = t_.babies[prepared_.babies[i + 1]];
        if (Preparation::vanishes(next)) return;
        const std::size_t source = map(next).source(start, tile_);
        for (std::size_t d = 0; d < t_.digit_count; ++d) {
            ahead_.push_back(digit(next, d) + source);
        }
        if (next.key.data != now.key.data) ahead_key_ = key(next, source);
    }

    const BlockMap& map(const BabyStep& baby) const { return prepared_.maps.at(baby.permutation); }

    const std::uint64_t* digit(const BabyStep& baby, std::size_t d) const {
        return t_.inputs[baby.input].digits + (d * t_.rows.size() + row_) * n_;
    }

    const std::uint64_t* key(const BabyStep& baby, std::size_t position) const {
        return baby.key.at(stored_row(row_, t_.limbs, baby.key.key_limbs), position, n_);
    }

    // The tile of P * rotation(ciphertext).
    void rotate(std::size_t b, std::size_t start) {
        const BabyStep& baby = t_.babies[b];
        const auto values = [&](std::size_t poly) {
            return t_.inputs[baby.input].polynomials[poly] + row_ * n_;
        };
        if (Preparation::vanishes(baby)) {
            if (special()) return;
            const ShoupFactor p(t_.p_mod_q[row_], modulus());
            for (const std::size_t poly : {0, 1}) {
                kernels().multiply_scalar(scratch(b, poly), values(poly) + start, p, tile_,
                                          modulus());
            }
            return;
        }
        const BlockMap& moves = map(baby);
        const std::size_t source = moves.source(start, tile_);
        digits_.clear();
        for (std::size_t d = 0; d < t_.digit_count; ++d) {
            digits_.push_back(digit(baby, d) + source);
        }
        std::uint64_t* targets[] = {scratch(b, 0), scratch(b, 1)};
        kernels().key_product(targets,
                              {t_.digit_count,
                               digits_.data(),
                               key(baby, source),
                               baby.key.digits,
                               {special() ? nullptr : values(0) + source, nullptr},
                               special() ? 0 : key_factor(t_.p_mod_q[row_], modulus()),
                               moves.steps(source),
                               moves.patterns(),
                               ahead_.data(),
                               ahead_.size(),
                               ahead_key_},
                              tile_, modulus());
    }

    void mask(std::size_t i, std::size_t start) {
        const Term& term = t_.terms[i];
        if (!prepared_.order.before(term)) return;
        if (special() && Preparation::vanishes(t_.babies[term.baby])) return;
        for (const std::size_t poly : {0, 1}) {
            kernels().multiply(scratch(prepared_.order.term_row[i], poly), scratch(term.baby, poly),
                               mask_row(static_cast<std::size_t>(term.mask)) + start, tile_,
                               modulus());
        }
    }

    // out: this polynomial's row of the first accumulator
    void sum(std::uint64_t* out, std::size_t poly, std::size_t start) {
        const std::size_t stride = 2 * t_.rows.size() * n_;
        for (std::size_t offset = 0; offset < tile_; offset += strip_) {
            std::uint64_t* target = out + start + offset;
            for (std::size_t g = 0; g < sums().groups.size(); ++g) {
                sum_group(g, target, stride, poly, start + offset, offset);
            }
            for (std::size_t o = 0; o < t_.outputs.size(); ++o) {
                add_masked(o, target + o * stride, start + offset);
            }
        }
    }

    // at: position in the row; offset: in the tile
    void sum_group(std::size_t g, std::uint64_t* out, std::size_t stride, std::size_t poly,
                   std::size_t at, std::size_t offset) {
        const SumGroup& group = sums().groups[g];
        const std::vector<const std::uint64_t*>& rows = rows_[special()][g];
        const std::uint64_t* weights =
            weights_.data() + at / constant_ * sums().slots.size() + group.first_slot;
        const std::size_t from = offset + poly * prepared_.order.rows * stride_;
        std::uint64_t* targets[kernels::kSumsAtOnce];
        const Modulus* moduli[kernels::kSumsAtOnce];
        for (std::size_t i = 0; i < group.targets.size(); ++i) {
            const std::size_t number = group.targets[i];
            targets[i] = number < t_.outputs.size() ? out + number * stride
                                                    : partial_.data() + number * strip_;
            moduli[i] = &modulus();
        }
        if (group.targets.size() == 1) {
            kernels().weighted_sum(targets[0], rows.data(), from, weights, rows.size(), strip_,
                                   modulus());
        } else {
            kernels().weighted_sums(targets, rows.data(), from, weights, rows.size(), strip_,
                                    moduli);
        }
    }

    // The sums of accumulator o that are masked now, added to what is there.
    void add_masked(std::size_t o, std::uint64_t* target, std::size_t at) {
        const auto& parts = sums().masked[o];
        if (parts.empty()) {
            if (!sums().direct[o]) std::fill(target, target + strip_, 0);
            return;
        }
        parts_.clear();
        chosen_masks_.clear();
        for (const auto& [number, mask] : parts) {
            parts_.push_back(partial_.data() + number * strip_);
            chosen_masks_.push_back(mask_row(mask) + at);
        }
        std::uint64_t* total = sums().direct[o] ? partial_.data() + o * strip_ : target;
        kernels().dot_product(total, parts_.data(), chosen_masks_.data(), parts_.size(), strip_,
                              modulus());
        if (total != target) kernels().add(target, target, total, strip_, modulus());
    }

    const Context& context_;
    const LinearTransform& t_;
    const Preparation& prepared_;
    std::size_t n_;
    std::size_t constant_;  // consecutive values over which a weight does not change
    std::size_t tile_;
    std::size_t stride_;
    std::size_t strip_;
    std::size_t row_ = 0;
    Buffer weights_;
    std::vector<std::uint64_t> transformed_;
    Buffer masks_;  // [masks][n]
    Buffer scratch_;
    std::vector<std::uint64_t> partial_;  // a strip of every sum that is masked later
    // Kept for their memory.
    std::vector<const std::uint64_t*> digits_, ahead_, parts_, chosen_masks_;
    const std::uint64_t* ahead_key_ = nullptr;
    std::vector<std::vector<const std::uint64_t*>> rows_[2];  // what each group sums
};

}  // namespace

void accumulate(const Context& context, std::uint64_t* out, const LinearTransform& transform) {
    const std::size_t n = context.n();
    const Preparation prepared(n, transform);
    // Rows that are left over when every thread has had as many are cut, for all to share.
    const auto threads = static_cast<std::size_t>(context.threads());
    const std::size_t rows = transform.rows.size();
    const std::size_t left = rows % threads;
    std::size_t parts = 1;
    while (left > 0 && parts * left < threads && n / (2 * parts) >= prepared.tile) parts *= 2;
    const std::size_t whole = rows - left;
    std::deque<LimbWorker> workers;
    while (workers.size() < threads) workers.emplace_back(context, transform, prepared);
    parallel_for(context.threads(), whole + left * parts, [&](std::size_t i, std::size_t thread) {
        const std::size_t row = i < whole ? i : whole + (i - whole) / parts;
        const std::size_t size = i < whole ? n : n / parts;
        const std::size_t begin = i < whole ? 0 : (i - whole) % parts * size;
        workers[thread].run(out, row, begin, begin + size);
    });
}

}  // namespace fhe::ring
