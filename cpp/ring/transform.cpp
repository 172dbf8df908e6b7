#include "ring/transform.hpp"

#include <algorithm>

namespace fhe::ring {

namespace {

constexpr std::size_t kScratchWords = std::size_t{112} * 1024;  // 896 KiB: stays in the L2 cache
constexpr std::size_t kMaxTile = 1024;
constexpr std::size_t kStrip = 64;  // a strip of every term stays in the L1 cache
constexpr std::size_t kLine = 8;    // words of a cache line
constexpr std::size_t kPad =
    kLine;  // words between scratch rows: no two share all their cache sets

// One accumulator's sum: which scratch rows, and which weights.
struct Sum {
    std::vector<const std::uint64_t*> rows;  // tiles in the scratch
    std::vector<std::uint32_t> weights;      // indices into a block of weights
    bool consecutive = true;                 // weights are w, w + 1, w + 2, ...
};

// Everything that one thread needs to work on one limb, one polynomial and one tile at a time.
class LimbWorker {
  public:
    LimbWorker(const Context& context, const LinearTransform& t)
        : context_(context),
          t_(t),
          n_(context.n()),
          constant_(n_ / t.period),
          tile_(choose_tile()),
          stride_(tile_ + kPad),
          strip_(std::min({kStrip, constant_, tile_})),
          weights_(context.scratch(t.weight_count * t.period)),
          transformed_(kLine * t.period),
          masks_(context.scratch(t.masks.size() * n_)),
          scratch_(context.scratch(scratch_rows() * stride_)),
          index_(tile_) {
        // Rows: babies, then masked terms, then one for a product before its permutation.
        std::size_t next = t.babies.size();
        for (const Term& term : t.terms) term_row_.push_back(term.mask < 0 ? term.baby : next++);
        for (const bool special : {false, true}) {
            for (const std::vector<Entry>& entries : t.outputs) {
                sums_[special].push_back(make_sum(entries, special));
            }
        }
    }

    void run(std::uint64_t* out, std::size_t row) {
        row_ = row;
        transform_weights();
        transform_masks();
        for (std::size_t start = 0; start < n_; start += tile_) {
            for (std::size_t poly = 0; poly < 2; ++poly) {
                for (std::size_t b = 0; b < t_.babies.size(); ++b) rotate(b, poly, start);
                for (std::size_t i = 0; i < t_.terms.size(); ++i) mask(i, start);
                sum(out, poly, start);
            }
        }
    }

  private:
    bool special() const { return row_ >= t_.limbs; }
    const Modulus& modulus() const { return context_.modulus(t_.rows[row_]); }
    const KernelTable& kernels() const { return context_.kernels(); }
    std::uint64_t* scratch(std::size_t row) const { return scratch_.data() + row * stride_; }

    // P * x vanishes modulo the specials, so an unrotated input has no part there.
    bool vanishes(std::size_t baby) const { return t_.babies[baby].permutation == nullptr; }

    std::size_t scratch_rows() const { return t_.babies.size() + t_.terms.size() + 1; }

    // Not below n / period: rotations by whole groups then map every tile to itself, and the digits
    // of a tile are read from memory once for all of them.
    std::size_t choose_tile() const {
        std::size_t tile = std::min(n_, kMaxTile);
        while (tile > std::max<std::size_t>(constant_, kStrip) &&
               tile * scratch_rows() > kScratchWords) {
            tile /= 2;
        }
        return tile;
    }

    Sum make_sum(const std::vector<Entry>& entries, bool special_row) const {
        Sum sum;
        for (const Entry& entry : entries) {
            if (special_row && vanishes(t_.terms[entry.term].baby)) continue;
            sum.consecutive &= sum.weights.empty() || entry.weight == sum.weights.back() + 1;
            sum.rows.push_back(scratch(term_row_[entry.term]));
            sum.weights.push_back(entry.weight);
        }
        return sum;
    }

    // Weights of this limb, the values of one block side by side: [period][weight_count]. Done for
    // a cache line of weights at a time, so that the transposition writes whole lines.
    void transform_weights() {
        const NttTables& tables = context_.tables(t_.rows[row_]);
        for (std::size_t first = 0; first < t_.weight_count; first += kLine) {
            const std::size_t count = std::min(kLine, t_.weight_count - first);
            reduce_signed(kernels(), transformed_.data(), t_.weights + first * t_.period,
                          count * t_.period, modulus());
            for (std::size_t w = 0; w < count; ++w) {
                kernels().ntt_forward(transformed_.data() + w * t_.period, t_.period, tables);
            }
            for (std::size_t i = 0; i < t_.period; ++i) {
                std::uint64_t* line = weights_.data() + i * t_.weight_count + first;
                for (std::size_t w = 0; w < count; ++w) line[w] = transformed_[w * t_.period + i];
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

    // The tile of P * rotation(ciphertext).
    void rotate(std::size_t b, std::size_t poly, std::size_t start) {
        const BabyStep& baby = t_.babies[b];
        const TransformInput& input = t_.inputs[baby.input];
        const std::uint64_t* values = input.polynomials[poly] + row_ * n_;
        if (vanishes(b)) {
            if (special()) return;
            kernels().multiply_scalar(scratch(b), values + start,
                                      ShoupFactor(t_.p_mod_q[row_], modulus()), tile_, modulus());
            return;
        }
        const std::size_t source = source_block(baby.permutation, start, tile_, index_.data());
        const std::size_t key_row = stored_row(row_, t_.limbs, baby.key.key_limbs);
        digits_.resize(t_.digit_count);
        keys_.resize(t_.digit_count);
        for (std::size_t d = 0; d < t_.digit_count; ++d) {
            digits_[d] = input.digits + (d * t_.rows.size() + row_) * n_ + source;
            keys_[d] = baby.key.row(d, poly, key_row, n_) + source;
        }
        std::uint64_t* product = scratch(scratch_rows() - 1);
        kernels().dot_product(product, digits_.data(), keys_.data(), t_.digit_count, tile_,
                              modulus());
        if (poly == 0 && !special()) {
            kernels().multiply_scalar_add(product, values + source,
                                          ShoupFactor(t_.p_mod_q[row_], modulus()), tile_,
                                          modulus());
        }
        kernels().gather(scratch(b), product, index_.data(), tile_);
    }

    void mask(std::size_t i, std::size_t start) {
        const Term& term = t_.terms[i];
        if (term.mask < 0 || (special() && vanishes(term.baby))) return;
        const std::uint64_t* mask = masks_.data() + static_cast<std::size_t>(term.mask) * n_;
        kernels().multiply(scratch(term_row_[i]), scratch(term.baby), mask + start, tile_,
                           modulus());
    }

    void sum(std::uint64_t* out, std::size_t poly, std::size_t start) {
        for (std::size_t offset = 0; offset < tile_; offset += strip_) {
            const std::uint64_t* block =
                weights_.data() + (start + offset) / constant_ * t_.weight_count;
            for (std::size_t o = 0; o < t_.outputs.size(); ++o) {
                std::uint64_t* target =
                    out + ((o * 2 + poly) * t_.rows.size() + row_) * n_ + start + offset;
                const Sum& sum = sums_[special()][o];
                const std::size_t terms = sum.rows.size();
                if (terms == 0) {
                    std::fill(target, target + strip_, 0);
                    continue;
                }
                const std::uint64_t* weights = block + sum.weights[0];
                if (!sum.consecutive) {
                    gathered_.resize(terms);
                    for (std::size_t e = 0; e < terms; ++e) gathered_[e] = block[sum.weights[e]];
                    weights = gathered_.data();
                }
                kernels().weighted_sum(target, sum.rows.data(), offset, weights, terms, strip_,
                                       modulus());
            }
        }
    }

    const Context& context_;
    const LinearTransform& t_;
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
    std::vector<std::uint32_t> index_;
    std::vector<std::size_t> term_row_;
    std::vector<Sum> sums_[2];  // for limbs, for specials
    std::vector<const std::uint64_t*> digits_, keys_;
    std::vector<std::uint64_t> gathered_;
};

}  // namespace

void accumulate(const Context& context, std::uint64_t* out, const LinearTransform& transform) {
#pragma omp parallel num_threads(context.threads())
    {
        LimbWorker worker(context, transform);
#pragma omp for schedule(dynamic)
        for (std::size_t r = 0; r < transform.rows.size(); ++r) worker.run(out, r);
    }
}

}  // namespace fhe::ring
