#include "ring/linear.hpp"

#include <algorithm>

namespace fhe::ring {

namespace {

constexpr std::size_t kMinTile = 64;
constexpr std::size_t kMaxTile = 1024;
constexpr std::size_t kScratchWords = std::size_t{160} * 1024;  // 1.25 MiB: stays in the L2 cache

// Row of a longer chain that holds row `row` of a chain of `limbs` limbs and then specials.
std::size_t stored_row(std::size_t row, std::size_t limbs, std::size_t stored_limbs) {
    return row < limbs ? row : stored_limbs + (row - limbs);
}

// Everything that one thread needs to work on one limb.
class LimbWorker {
public:
    LimbWorker(const Context& context, const LinearTransform& t)
        : context_(context), t_(t), n_(context.n()), weights_(t.weight_count * t.period),
          transformed_(t.period) {
        std::size_t masked = 0;
        for (const Term& term : t.terms) masked += term.mask != nullptr;
        tile_ = std::min(n_, kMaxTile);
        while (tile_ > kMinTile && tile_ * 2 * (t.babies.size() + masked) > kScratchWords) tile_ /= 2;
        babies_.resize(t.babies.size() * 2 * tile_);
        masked_.resize(masked * 2 * tile_);
        unpermuted_.resize(2 * tile_);
        index_.resize(tile_);
        term_rows_.resize(t.terms.size() * 2);
    }

    void run(std::uint64_t* out, std::size_t row) {
        row_ = row;
        const NttTables& tables = context_.tables(t_.rows[row]);
        for (std::size_t w = 0; w < t_.weight_count; ++w) {
            const std::int64_t* coefficients = t_.weights + w * t_.period;
            for (std::size_t i = 0; i < t_.period; ++i) {
                transformed_[i] = reduce_signed(coefficients[i], tables.modulus.q);
            }
            context_.kernels().ntt_forward(transformed_.data(), t_.period, tables);
            for (std::size_t i = 0; i < t_.period; ++i) {
                weights_[i * t_.weight_count + w] = transformed_[i];
            }
        }
        for (std::size_t start = 0; start < n_; start += tile_) {
            for (std::size_t b = 0; b < t_.babies.size(); ++b) rotate(b, start);
            mask(start);
            for (std::size_t o = 0; o < t_.outputs.size(); ++o) {
                for (std::size_t poly = 0; poly < 2; ++poly) {
                    sum(out + ((o * 2 + poly) * t_.rows.size() + row) * n_, o, poly, start);
                }
            }
        }
    }

private:
    const Modulus& modulus() const { return context_.modulus(t_.rows[row_]); }

    // The tile of P * rotation(ciphertext) in both polynomials. A Galois element maps aligned blocks
    // of the bit-reversed order to aligned blocks, so the source is one block of the same size.
    void rotate(std::size_t b, std::size_t start) {
        const BabyStep& baby = t_.babies[b];
        const TransformInput& input = t_.inputs[baby.input];
        const bool is_limb = row_ < t_.limbs;
        if (baby.permutation == nullptr) {
            if (!is_limb) return;  // P * x vanishes modulo the specials
            const ShoupFactor p(t_.p_mod_q[row_], modulus());
            for (std::size_t poly = 0; poly < 2; ++poly) {
                context_.kernels().multiply_scalar(
                    baby_tile(b, poly), input.ciphertext + (poly * t_.limbs + row_) * n_ + start, p,
                    tile_, modulus());
            }
            return;
        }
        const std::size_t source = baby.permutation[start] & ~(tile_ - 1);
        for (std::size_t i = 0; i < tile_; ++i) {
            index_[i] = baby.permutation[start + i] & static_cast<std::uint32_t>(tile_ - 1);
        }
        digit_tiles_.resize(t_.digit_count);
        key_tiles_.resize(t_.digit_count);
        for (std::size_t poly = 0; poly < 2; ++poly) {
            for (std::size_t d = 0; d < t_.digit_count; ++d) {
                digit_tiles_[d] = input.digits + (d * t_.rows.size() + row_) * n_ + source;
                key_tiles_[d] =
                    baby.key.row(d, poly, stored_row(row_, t_.limbs, baby.key.key_limbs), n_) + source;
            }
            std::uint64_t* product = unpermuted_.data() + poly * tile_;
            context_.kernels().dot_product(product, digit_tiles_.data(), key_tiles_.data(),
                                           t_.digit_count, tile_, modulus());
            if (poly == 0 && is_limb) {
                context_.kernels().multiply_scalar_add(product, input.ciphertext + row_ * n_ + source,
                                                       ShoupFactor(t_.p_mod_q[row_], modulus()), tile_,
                                                       modulus());
            }
            context_.kernels().gather(baby_tile(b, poly), product, index_.data(), tile_);
        }
    }

    void mask(std::size_t start) {
        std::uint64_t* next = masked_.data();
        for (std::size_t i = 0; i < t_.terms.size(); ++i) {
            const Term& term = t_.terms[i];
            const bool vanishes =
                t_.babies[term.baby].permutation == nullptr && row_ >= t_.limbs;
            for (std::size_t poly = 0; poly < 2; ++poly) {
                const std::uint64_t* rotated = baby_tile(term.baby, poly);
                if (vanishes) {
                    term_rows_[2 * i + poly] = nullptr;
                } else if (term.mask == nullptr) {
                    term_rows_[2 * i + poly] = rotated;
                } else {
                    const std::size_t mask_row = stored_row(row_, t_.limbs, term.mask_limbs);
                    context_.kernels().multiply(next, rotated, term.mask + mask_row * n_ + start,
                                                tile_, modulus());
                    term_rows_[2 * i + poly] = next;
                    next += tile_;
                }
            }
        }
    }

    void sum(std::uint64_t* out, std::size_t o, std::size_t poly, std::size_t start) {
        const std::size_t constant = n_ / t_.period;  // values over which a weight does not change
        const std::size_t step = std::min(tile_, constant);
        sum_rows_.clear();
        sum_indices_.clear();
        for (const Entry& entry : t_.outputs[o]) {
            const std::uint64_t* values = term_rows_[2 * entry.term + poly];
            if (values == nullptr) continue;
            sum_rows_.push_back(values);
            sum_indices_.push_back(entry.weight);
        }
        if (sum_rows_.empty()) {
            std::fill(out + start, out + start + tile_, 0);
            return;
        }
        sum_weights_.resize(sum_rows_.size());
        for (std::size_t offset = 0; offset < tile_; offset += step) {
            const std::uint64_t* block =
                weights_.data() + (start + offset) / constant * t_.weight_count;
            for (std::size_t e = 0; e < sum_rows_.size(); ++e) {
                sum_weights_[e] = block[sum_indices_[e]];
            }
            context_.kernels().weighted_sum(out + start + offset, sum_rows_.data(),
                                            sum_weights_.data(), sum_rows_.size(), step, modulus());
            for (const std::uint64_t*& values : sum_rows_) values += step;
        }
    }

    std::uint64_t* baby_tile(std::size_t baby, std::size_t poly) {
        return babies_.data() + (baby * 2 + poly) * tile_;
    }

    const Context& context_;
    const LinearTransform& t_;
    std::size_t n_;
    std::size_t tile_ = 0;
    std::size_t row_ = 0;
    std::vector<std::uint64_t> weights_;  // [period blocks][weight_count]: one block side by side
    std::vector<std::uint64_t> transformed_, babies_, masked_, unpermuted_;
    std::vector<std::uint32_t> index_, sum_indices_;
    std::vector<const std::uint64_t*> term_rows_, digit_tiles_, key_tiles_, sum_rows_;
    std::vector<std::uint64_t> sum_weights_;
};

}  // namespace

void key_inner_product(const Context& context, std::uint64_t* out, const std::uint64_t* digits,
                       std::size_t digit_count, std::size_t limbs, const Rows& rows,
                       const KeyView& key) {
    const std::size_t n = context.n();
#pragma omp parallel for num_threads(context.threads()) schedule(dynamic)
    for (std::size_t r = 0; r < rows.size(); ++r) {
        std::vector<const std::uint64_t*> a(digit_count);
        std::vector<const std::uint64_t*> b(digit_count);
        for (std::size_t poly = 0; poly < 2; ++poly) {
            for (std::size_t d = 0; d < digit_count; ++d) {
                a[d] = digits + (d * rows.size() + r) * n;
                b[d] = key.row(d, poly, stored_row(r, limbs, key.key_limbs), n);
            }
            context.kernels().dot_product(out + (poly * rows.size() + r) * n, a.data(), b.data(),
                                          digit_count, n, context.modulus(rows[r]));
        }
    }
}

void accumulate(const Context& context, std::uint64_t* out, const LinearTransform& transform) {
#pragma omp parallel num_threads(context.threads())
    {
        LimbWorker worker(context, transform);
#pragma omp for schedule(dynamic)
        for (std::size_t r = 0; r < transform.rows.size(); ++r) worker.run(out, r);
    }
}

}  // namespace fhe::ring
