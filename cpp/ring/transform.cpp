#include "ring/transform.hpp"

#include <algorithm>
#include <cstring>
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
constexpr std::size_t kParts = 4;               // of the last rows
constexpr std::size_t kStrip = 64;              // positions that are summed before the next ones
constexpr std::size_t kLine = kernels::kBlock;  // words of a cache line
constexpr std::size_t kStepsInLine = 2 * kLine;
constexpr std::size_t kLinesAtOnce = 8;  // of weights, which are written side by side
constexpr std::size_t kPad =
    kLine;  // words between scratch rows: no two share all their cache sets

// What does not depend on the limb, found once for all threads.
struct Preparation {
    MaskOrder order;
    SumPlan sums[2];                  // for limbs, for specials
    std::vector<std::size_t> babies;  // by rotation: a key's tile then serves all inputs at once
    std::map<const std::uint32_t*, BlockMap> maps;  // by permutation
    std::vector<const BlockMap*> moves;             // of each baby step, or null
    // What is masked when that many baby steps are there, in their order; the last one is needed.
    std::vector<std::vector<const MaskedTerms*>> masked_after;
    std::size_t tile, strip;
    std::vector<std::size_t> sources;  // [n / tile][babies in their order]: BlockMap::source
    // The weights of the slots, kLine slots side by side: [slots / kLine][period][kLine].
    std::deque<Buffer> weights;

    Preparation(const Context& context, const LinearTransform& t)
        : order(t), babies(t.babies.size()), masked_after(t.babies.size()) {
        const std::size_t n = context.n();
        for (const BabyStep& baby : t.babies) {
            if (!vanishes(baby)) maps.try_emplace(baby.permutation, baby.permutation, n);
            moves.push_back(vanishes(baby) ? nullptr : &maps.at(baby.permutation));
        }
        std::vector<bool> skipped(t.babies.size());
        sums[0] = plan_sums(t, order, skipped);
        for (std::size_t b = 0; b < skipped.size(); ++b) skipped[b] = vanishes(t.babies[b]);
        sums[1] = plan_sums(t, order, skipped);
        std::iota(babies.begin(), babies.end(), 0);
        std::stable_sort(babies.begin(), babies.end(), [&](std::size_t a, std::size_t b) {
            return t.babies[a].key.data < t.babies[b].key.data;
        });
        std::vector<std::size_t> place(babies.size());
        for (std::size_t i = 0; i < babies.size(); ++i) place[babies[i]] = i;
        for (const MaskedTerms& group : order.groups) {
            std::size_t last = 0;
            for (const std::size_t i : group.terms) last = std::max(last, place[t.terms[i].baby]);
            masked_after[last].push_back(&group);
        }
        tile = std::min(n, kMaxTile);
        while (tile > kStrip && tile * 2 * order.rows > kScratchWords) tile /= 2;
        strip = std::min({kStrip, n / t.period, tile});
        for (std::size_t start = 0; start < n; start += tile) {
            for (const std::size_t b : babies) {
                sources.push_back(moves[b] == nullptr ? start : moves[b]->source(start, tile));
            }
        }
        for (const SumPlan& plan : sums) arrange_weights(context, plan, t);
    }

    void arrange_weights(const Context& context, const SumPlan& plan, const LinearTransform& t) {
        const std::size_t lines = (plan.slots.size() + kLine - 1) / kLine;
        weights.emplace_back(context.pool(), lines * kLine * t.period);
        std::uint64_t* const data = weights.back().data();
        const std::vector<std::int64_t> zeros(t.period);
        parallel_for(context.threads(), lines, [&](std::size_t line, std::size_t) {
            const std::int64_t* rows[kLine];
            for (std::size_t k = 0; k < kLine; ++k) {
                const std::size_t slot = line * kLine + k;
                const bool used = slot < plan.slots.size() && plan.slots[slot] >= 0;
                rows[k] = used ? t.weights + static_cast<std::size_t>(plan.slots[slot]) * t.period
                               : zeros.data();
            }
            std::uint64_t* to = data + line * kLine * t.period;
            for (std::size_t i = 0; i < t.period; ++i, to += kLine) {
                for (std::size_t k = 0; k < kLine; ++k) {
                    to[k] = static_cast<std::uint64_t>(rows[k][i]);
                }
            }
        });
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
          transformed_(context.scratch(kLinesAtOnce * kLine * t.period)),
          masks_(context.scratch(
              static_cast<std::size_t>(std::count(t.kept.begin(), t.kept.end(), nullptr)) * n_)),
          mask_rows_(t.masks.size()),
          scratch_(context.scratch(2 * prepared.order.rows * stride_)),
          partial_(
              context.scratch(std::max(prepared.sums[0].count, prepared.sums[1].count) * strip_)) {
        for (const bool special : {false, true}) {
            for (const SumGroup& group : prepared.sums[special].groups) {
                std::vector<const std::uint64_t*>& rows = rows_[special].emplace_back();
                for (const std::size_t row : group.rows) rows.push_back(scratch(row, 0));
            }
        }
    }

    // The values [begin, end) of a row.
    void run(const std::vector<std::uint64_t*>& outs, std::size_t row, std::size_t begin,
             std::size_t end) {
        if (!started_ || row != row_) {
            row_ = row;
            started_ = true;
            transform_weights();
            transform_masks();
        }
        for (std::size_t start = begin; start < end; start += tile_) {
            for (std::size_t i = 0; i < prepared_.babies.size(); ++i) {
                look_ahead(i, start);
                rotate(i, start);
                for (const MaskedTerms* group : prepared_.masked_after[i]) mask(*group, start);
            }
            for (std::size_t poly = 0; poly < 2; ++poly) {
                sum(outs, poly, start);
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
    const std::uint64_t* mask_row(std::size_t mask) const { return mask_rows_[mask]; }

    // Weights of this limb in the order in which they are read, those of one position side by side:
    // [period][slots], times 2^52 as the sums take them.
    void transform_weights() {
        const std::size_t slots = sums().slots.size();
        const std::size_t words = kLine * t_.period;
        const std::uint64_t* from = prepared_.weights[special()].data();
        for (std::size_t first = 0; first < slots; first += kLinesAtOnce * kLine) {
            const std::size_t count = std::min(kLinesAtOnce * kLine, slots - first);
            for (std::size_t done = 0; done < count; done += kLine, from += words) {
                transform_line(transformed_.data() + done * t_.period, from);
            }
            write_lines(weights_.data() + first, count);
        }
    }

    // The residues of eight weights, which stand side by side.
    void transform_line(std::uint64_t* line, const std::uint64_t* from) {
        const std::size_t words = kLine * t_.period;
        const Modulus& m = modulus();
        if (t_.largest_weight < m.q) {
            kernels().lift(line, from, words, m);
        } else {
            reduce_signed(kernels(), line, reinterpret_cast<const std::int64_t*>(from), words, m);
        }
        context_.ntt_forward_block(line, t_.period, t_.rows[row_]);
        kernels().multiply_scalar(line, line, ShoupFactor(m.r52, m), words, m);
    }

    // `count` weights to where they are read, from the lines of eight that they stand in.
    void write_lines(std::uint64_t* to, std::size_t count) const {
        const std::size_t words = kLine * t_.period;
        const std::uint64_t* from = transformed_.data();
        const std::size_t whole = count / kLine, rest = count % kLine;
        for (std::size_t i = 0; i < t_.period; ++i, from += kLine, to += sums().slots.size()) {
            for (std::size_t line = 0; line < whole; ++line) {  // unrolled: nearly always the case
                std::memcpy(to + line * kLine, from + line * words,
                            kLine * sizeof(*to));  // inlined
            }
            std::copy(from + whole * words, from + whole * words + rest, to + whole * kLine);
        }
    }

    // Where the residues of the masks are: those that are not kept are made here.
    void transform_masks() {
        std::uint64_t* values = masks_.data();
        for (std::size_t i = 0; i < t_.masks.size(); ++i) {
            if (t_.kept[i] != nullptr) {
                mask_rows_[i] = t_.kept[i]->row(context_, t_.rows[row_]);
                continue;
            }
            mask_rows_[i] = values;
            KeptRows::embed(context_, values, t_.masks[i], t_.rows[row_]);
            values += n_;
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
        const std::size_t at = source(i + 1, start);
        for (std::size_t d = 0; d < t_.digit_count; ++d) ahead_.push_back(digit(next, d) + at);
        const std::uint32_t* const steps = map(prepared_.babies[i + 1]).steps(at);
        for (std::size_t j = 0; j < tile_ / kernels::kBlock; j += kStepsInLine) {
            __builtin_prefetch(steps + j);
        }
        if (next.key.data != now.key.data) ahead_key_ = key(next, at);
    }

    const BlockMap& map(std::size_t baby) const { return *prepared_.moves[baby]; }

    // Of the tile at `start` for baby step number i, in their order.
    std::size_t source(std::size_t i, std::size_t start) const {
        return prepared_.sources[start / tile_ * prepared_.babies.size() + i];
    }

    const std::uint64_t* digit(const BabyStep& baby, std::size_t d) const {
        const TransformInput& input = t_.inputs[baby.input];
        if (t_.own_rows.covers(d, row_)) return input.polynomials[1] + row_ * n_;
        return input.digits + (d * t_.rows.size() + row_) * n_;
    }

    const std::uint64_t* key(const BabyStep& baby, std::size_t position) const {
        return baby.key.at(baby.key.stored[row_], position, n_);
    }

    // The tile of P * rotation(ciphertext), for baby step number i.
    void rotate(std::size_t i, std::size_t start) {
        const std::size_t b = prepared_.babies[i];
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
        const BlockMap& moves = map(b);
        const std::size_t at = source(i, start);
        digits_.clear();
        for (std::size_t d = 0; d < t_.digit_count; ++d) digits_.push_back(digit(baby, d) + at);
        std::uint64_t* targets[] = {scratch(b, 0), scratch(b, 1)};
        kernels().key_product(targets,
                              {t_.digit_count,
                               digits_.data(),
                               key(baby, at),
                               baby.key.digits,
                               {special() ? nullptr : values(0) + at, nullptr},
                               special() ? 0 : key_factor(t_.p_mod_q[row_], modulus()),
                               {nullptr, nullptr},
                               moves.steps(at),
                               moves.patterns(),
                               ahead_.data(),
                               ahead_.size(),
                               ahead_key_},
                              tile_, modulus());
    }

    // Terms that are masked before they are summed.
    void mask(const MaskedTerms& group, std::size_t start) {
        chosen_masks_.clear();
        chosen_.clear();
        for (const std::size_t i : group.terms) {
            const Term& term = t_.terms[i];
            if (special() && Preparation::vanishes(t_.babies[term.baby])) continue;
            chosen_.push_back(term.baby);
            chosen_masks_.push_back(mask_row(static_cast<std::size_t>(term.mask)) + start);
        }
        if (chosen_.empty()) return;
        for (const std::size_t poly : {0, 1}) {
            parts_.clear();
            for (const std::size_t baby : chosen_) parts_.push_back(scratch(baby, poly));
            kernels().scaled_dot_product(scratch(group.row, poly), parts_.data(),
                                         chosen_masks_.data(), parts_.size(), tile_, modulus());
        }
    }

    void sum(const std::vector<std::uint64_t*>& outs, std::size_t poly, std::size_t start) {
        const std::size_t row = (poly * t_.rows.size() + row_) * n_;
        for (std::size_t offset = 0; offset < tile_; offset += strip_) {
            const std::size_t at = start + offset;
            for (std::size_t g = 0; g < sums().groups.size(); ++g) {
                sum_group(g, outs, row + at, poly, at, offset);
            }
            for (std::size_t o = 0; o < t_.outputs.size(); ++o) {
                add_masked(o, outs[o] + row + at, at);
            }
        }
    }

    // place: in an output; at: position in the row; offset: in the tile
    void sum_group(std::size_t g, const std::vector<std::uint64_t*>& outs, std::size_t place,
                   std::size_t poly, std::size_t at, std::size_t offset) {
        const SumGroup& group = sums().groups[g];
        const std::vector<const std::uint64_t*>& rows = rows_[special()][g];
        const std::uint64_t* weights =
            weights_.data() + at / constant_ * sums().slots.size() + group.first_slot;
        const std::size_t from = offset + poly * prepared_.order.rows * stride_;
        std::uint64_t* targets[kernels::kSumsAtOnce];
        const Modulus* moduli[kernels::kSumsAtOnce];
        for (std::size_t i = 0; i < group.targets.size(); ++i) {
            const std::size_t number = group.targets[i];
            targets[i] = number < t_.outputs.size() ? outs[number] + place
                                                    : partial_.data() + number * strip_;
            moduli[i] = &modulus();
        }
        const bool masked = group.first_slot >= sums().masked_from;
        if (group.targets.size() == 1) {
            const auto run = masked ? kernels().weighted_sum_lazy : kernels().weighted_sum;
            run(targets[0], rows.data(), from, weights, rows.size(), strip_, modulus());
        } else {
            const auto run = masked ? kernels().weighted_sums_lazy : kernels().weighted_sums;
            run(targets, rows.data(), from, weights, rows.size(), strip_, moduli);
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
        kernels().scaled_dot_product(total, parts_.data(), chosen_masks_.data(), parts_.size(),
                                     strip_, modulus());
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
    bool started_ = false;
    Buffer weights_;
    Buffer transformed_;  // lines of eight weights
    Buffer masks_;        // those that are not kept
    std::vector<const std::uint64_t*> mask_rows_;
    Buffer scratch_;
    Buffer partial_;  // a strip of every sum that is masked later
    // Kept for their memory.
    std::vector<const std::uint64_t*> digits_, ahead_, parts_, chosen_masks_;
    std::vector<std::size_t> chosen_;
    const std::uint64_t* ahead_key_ = nullptr;
    std::vector<std::vector<const std::uint64_t*>> rows_[2];  // what each group sums
};

// Values of a row that one thread forms at a time.
struct Part {
    std::size_t row, begin, end;
};

// Whole rows, as who starts one transforms its weights; only the last ones in parts, so that no
// thread waits long for another one.
std::vector<Part> parts_of(std::size_t rows, std::size_t n, std::size_t threads, std::size_t tile) {
    std::size_t count = 1;
    while (threads > 1 && count < kParts && n / (2 * count) >= tile) count *= 2;
    const std::size_t divided = std::min(rows, threads + rows % threads);
    std::vector<Part> parts;
    for (std::size_t row = 0; row < rows; ++row) {
        const std::size_t size = row + divided < rows ? n : n / count;
        for (std::size_t begin = 0; begin < n; begin += size) {
            parts.push_back({row, begin, begin + size});
        }
    }
    return parts;
}

}  // namespace

void accumulate(const Context& context, const std::vector<std::uint64_t*>& outs,
                const LinearTransform& transform) {
    const std::size_t n = context.n();
    const Preparation prepared(context, transform);
    for (KeptRows* mask : transform.kept) {
        if (mask != nullptr) mask->prepare(context, transform.rows);
    }
    std::deque<LimbWorker> workers;
    const auto threads = static_cast<std::size_t>(context.threads());
    while (workers.size() < threads) workers.emplace_back(context, transform, prepared);
    const std::vector<Part> parts = parts_of(transform.rows.size(), n, threads, prepared.tile);
    parallel_for(context.threads(), parts.size(), [&](std::size_t i, std::size_t thread) {
        workers[thread].run(outs, parts[i].row, parts[i].begin, parts[i].end);
    });
}

}  // namespace fhe::ring
