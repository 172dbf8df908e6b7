#include "ring/basis.hpp"

#include <algorithm>

#include "ring/parallel.hpp"

namespace fhe::ring {

namespace {

constexpr std::size_t kTile = 512;  // coefficients; a digit's tile stays in the first caches
constexpr std::size_t kAtOnce = kernels::kSumsAtOnce;
constexpr std::size_t kMaxConversions = 1024;  // kept by a context: more than any plan uses

// Words between rows of coefficients: tiles of neighbouring rows share no cache sets.
std::size_t stride_of(const Context& context) { return context.n() + std::min(context.n(), kTile); }

// Of the moduli of all rows but rows[skip], modulo q.
std::uint64_t product_of(const Context& context, const Rows& rows, std::uint64_t q,
                         std::size_t skip = static_cast<std::size_t>(-1)) {
    std::uint64_t product = 1;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (i != skip) product = multiply_mod(product, context.modulus(rows[i]).q % q, q);
    }
    return product;
}

}  // namespace

BaseConversion::BaseConversion(const Context& context, Rows from, Rows to,
                               const Factors& from_factors, const Factors& to_factors)
    : from_(std::move(from)), to_(std::move(to)) {
    const auto punctured = [&](std::size_t skip, std::uint64_t q) {
        return product_of(context, from_, q, skip);
    };
    for (std::size_t i = 0; i < from_.size(); ++i) {
        const std::uint64_t d = context.modulus(from_[i]).q;
        const std::uint64_t inverse = inverse_mod(punctured(i, d), d);
        scales_.push_back(from_factors.empty() ? inverse
                                               : multiply_mod(inverse, from_factors[i], d));
        inverses_.push_back(1.0 / static_cast<double>(d));
    }
    const std::size_t terms = from_.size() + 1;
    for (std::size_t t = 0; t < to_.size(); ++t) {
        const std::uint64_t q = context.modulus(to_[t]).q;
        // The kernels that sum take weights times 2^52.
        const std::uint64_t form = context.modulus(to_[t]).r52;
        const std::uint64_t factor =
            to_factors.empty() ? form : multiply_mod(to_factors[t], form, q);
        const bool together = t < to_.size() / kAtOnce * kAtOnce;
        const std::size_t stride = together ? kAtOnce : 1;
        if (!together || t % kAtOnce == 0) weights_.emplace_back(terms * stride);
        std::uint64_t* w = weights_.back().data() + (together ? t % kAtOnce : 0);
        for (std::size_t i = 0; i < from_.size(); ++i) {
            w[i * stride] = multiply_mod(punctured(i, q), factor, q);
        }
        w[from_.size() * stride] = multiply_mod(q - punctured(from_.size(), q), factor, q);
    }
}

std::shared_ptr<const BaseConversion> BaseConversion::get(const Context& context, const Rows& from,
                                                          const Rows& to,
                                                          const Factors& from_factors,
                                                          const Factors& to_factors) {
    const std::lock_guard lock(context.conversions_mutex_);
    if (context.conversions_.size() >= kMaxConversions) context.conversions_.clear();
    auto& found = context.conversions_[{from, to, from_factors, to_factors}];
    if (found == nullptr) {
        found = std::make_shared<const BaseConversion>(context, from, to, from_factors, to_factors);
    }
    return found;
}

void BaseConversion::apply(const Context& context, const std::uint64_t* scaled, std::size_t stride,
                           const std::vector<std::uint64_t*>& out_rows) const {
    const std::size_t n = context.n();
    const std::size_t tile = std::min(n, kTile);
    const std::size_t count = from_.size();
    const KernelTable& kernels = context.kernels();
    const std::deque<Buffer> quotients = context.scratch_each(tile);
    std::vector<std::vector<const std::uint64_t*>> tiles(
        quotients.size(), std::vector<const std::uint64_t*>(count + 1));
    parallel_for(context.threads(), n / tile, [&](std::size_t number, std::size_t thread) {
        const std::size_t start = number * tile;
        std::uint64_t* const quotient = quotients[thread].data();
        std::vector<const std::uint64_t*>& rows = tiles[thread];
        for (std::size_t i = 0; i < count; ++i) rows[i] = scaled + i * stride + start;
        rows[count] = quotient;
        const std::uint64_t* const* const x = rows.data();
        kernels.rounded_sum(quotient, x, 0, inverses_.data(), count, tile);
        std::size_t t = 0;
        for (const std::vector<std::uint64_t>& weights : weights_) {
            if (weights.size() == count + 1) {
                kernels.weighted_sum(out_rows[t] + start, x, 0, weights.data(), count + 1, tile,
                                     context.modulus(to_[t]));
                ++t;
                continue;
            }
            std::uint64_t* out[kAtOnce];
            const Modulus* moduli[kAtOnce];
            for (std::size_t k = 0; k < kAtOnce; ++k, ++t) {
                out[k] = out_rows[t] + start;
                moduli[k] = &context.modulus(to_[t]);
            }
            kernels.weighted_sums(out, x, 0, weights.data(), count + 1, tile, moduli);
        }
    });
}

void extend(const Context& context, std::uint64_t* out, const std::uint64_t* c, const Rows& own,
            std::size_t digit_limbs, std::size_t digits, const Rows& specials) {
    const std::size_t n = context.n();
    const std::size_t limbs = own.size();
    const std::size_t total = limbs + specials.size();
    struct Digit {
        std::size_t first;  // of its limbs
        std::shared_ptr<const BaseConversion> conversion;
        std::vector<std::uint64_t*> targets;
    };
    std::vector<Digit> all;
    std::vector<std::uint64_t> scales;
    std::vector<std::pair<std::uint64_t*, int>> pending;  // extended rows still to be transformed
    for (std::size_t d = 0; d < digits; ++d) {
        const std::size_t first = d * digit_limbs;
        const std::size_t last = d + 1 == digits ? limbs : first + digit_limbs;
        const Rows from(own.begin() + static_cast<std::ptrdiff_t>(first),
                        own.begin() + static_cast<std::ptrdiff_t>(last));
        Rows to;
        std::vector<std::uint64_t*> targets;
        for (std::size_t r = 0; r < total; ++r) {
            if (r >= first && r < last) continue;
            to.push_back(r < limbs ? own[r] : specials[r - limbs]);
            targets.push_back(out + (d * total + r) * n);
            pending.emplace_back(targets.back(), to.back());
        }
        const auto conversion = BaseConversion::get(context, from, to);
        for (std::size_t i = 0; i < from.size(); ++i) scales.push_back(conversion->scale(i));
        all.push_back({first, conversion, std::move(targets)});
    }
    const std::size_t stride = stride_of(context);
    const Buffer coefficients = context.scratch(limbs * stride);
    parallel_for(context.threads(), limbs, [&](std::size_t r, std::size_t) {
        context.ntt_inverse(coefficients.data() + r * stride, c + r * n, own[r], scales[r]);
    });
    for (const Digit& digit : all) {
        digit.conversion->apply(context, coefficients.data() + digit.first * stride, stride,
                                digit.targets);
    }
    parallel_for(context.threads(), pending.size(), [&](std::size_t i, std::size_t) {
        context.ntt_forward(pending[i].first, n, pending[i].second);
    });
}

void decompose(const Context& context, std::uint64_t* out, const std::uint64_t* c, const Rows& own,
               std::size_t digit_limbs, std::size_t digits, const Rows& specials) {
    const std::size_t n = context.n();
    const std::size_t total = own.size() + specials.size();
    extend(context, out, c, own, digit_limbs, digits, specials);
    parallel_for(context.threads(), own.size(), [&](std::size_t r, std::size_t) {
        const std::size_t d = std::min(r / digit_limbs, digits - 1);
        std::copy(c + r * n, c + (r + 1) * n, out + (d * total + r) * n);
    });
}

namespace {

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

}  // namespace

// Which rows of x go where, and by what they are multiplied: see divide_and_round.
struct Division {
    Rows dropped;
    std::vector<std::size_t> dropped_at;  // places in x
    std::vector<std::size_t> kept_at;     // for each wanted row, its place in x, or kNone
    BaseConversion::Factors from_factors, to_factors;
    std::vector<std::uint64_t> quotients;  // k A / D for each wanted row that x has
    std::shared_ptr<const BaseConversion> conversion;

    Division(const Context& context, const Rows& rows, const Rows& wanted,
             const std::vector<std::uint64_t>& factors) {
        const auto place = [](const Rows& in, int row) {
            const auto found = std::find(in.begin(), in.end(), row);
            return found == in.end() ? kNone : static_cast<std::size_t>(found - in.begin());
        };
        Rows added;
        for (const int row : wanted) {
            kept_at.push_back(place(rows, row));
            if (kept_at.back() == kNone) added.push_back(row);
        }
        const auto multiplier = [&](std::size_t at) {  // k A
            const std::uint64_t q = context.modulus(rows[at]).q;
            const std::uint64_t product = product_of(context, added, q);
            return factors.empty() ? product : multiply_mod(product, factors[at] % q, q);
        };
        bool plain = true;
        for (std::size_t at = 0; at < rows.size(); ++at) {
            plain = plain && multiplier(at) == 1;
            if (place(wanted, rows[at]) != kNone) continue;
            dropped.push_back(rows[at]);
            dropped_at.push_back(at);
            from_factors.push_back(multiplier(at));
        }
        for (std::size_t t = 0; t < wanted.size(); ++t) {
            const std::uint64_t q = context.modulus(wanted[t]).q;
            const std::uint64_t inverse = inverse_mod(product_of(context, dropped, q), q);
            const bool kept = kept_at[t] != kNone;
            const std::uint64_t factor = kept ? multiplier(kept_at[t]) : 0;
            to_factors.push_back(kept ? inverse_mod(factor, q) : q - inverse);
            quotients.push_back(multiply_mod(factor, inverse, q));
        }
        if (plain && added.empty()) {
            from_factors.clear();
            to_factors.clear();
        }
        conversion = BaseConversion::get(context, dropped, wanted, from_factors, to_factors);
    }

    // The context's own, as for conversions: many inverses take longer than a small division.
    static std::shared_ptr<const Division> get(const Context& context, const Rows& rows,
                                               const Rows& wanted,
                                               const std::vector<std::uint64_t>& factors) {
        const std::tuple key{rows, wanted, factors};
        {
            const std::lock_guard lock(context.conversions_mutex_);
            const auto found = context.divisions_.find(key);
            if (found != context.divisions_.end()) return found->second;
        }
        const auto made = std::make_shared<const Division>(context, rows, wanted, factors);
        const std::lock_guard lock(context.conversions_mutex_);
        if (context.divisions_.size() >= kMaxConversions) context.divisions_.clear();
        return context.divisions_.try_emplace(key, made).first->second;
    }
};

void divide_and_round(const Context& context, std::uint64_t* out, const std::uint64_t* x,
                      std::size_t polys, const Rows& rows, const Rows& wanted,
                      const std::vector<std::uint64_t>& factors) {
    const std::size_t n = context.n();
    const auto known = Division::get(context, rows, wanted, factors);
    const Division& division = *known;
    const std::size_t dropped = division.dropped.size();
    const std::size_t stride = stride_of(context);
    const Buffer remainders = context.scratch(polys * dropped * stride);
    parallel_for(context.threads(), polys * dropped, [&](std::size_t i, std::size_t) {
        const std::size_t poly = i / dropped, r = i % dropped;
        context.ntt_inverse(remainders.data() + i * stride,
                            x + (poly * rows.size() + division.dropped_at[r]) * n,
                            division.dropped[r], division.conversion->scale(r));
    });
    for (std::size_t poly = 0; poly < polys; ++poly) {
        std::vector<std::uint64_t*> targets;
        for (std::size_t r = 0; r < wanted.size(); ++r) {
            targets.push_back(out + (poly * wanted.size() + r) * n);
        }
        division.conversion->apply(context, remainders.data() + poly * dropped * stride, stride,
                                   targets);
    }
    parallel_for(context.threads(), polys * wanted.size(), [&](std::size_t i, std::size_t) {
        const std::size_t poly = i / wanted.size(), r = i % wanted.size();
        const Modulus& m = context.modulus(wanted[r]);
        std::uint64_t* row = out + i * n;
        context.ntt_forward(row, n, wanted[r]);
        if (division.kept_at[r] == kNone) return;
        const std::uint64_t* kept = x + (poly * rows.size() + division.kept_at[r]) * n;
        context.kernels().subtract_multiply_scalar(row, kept, row,
                                                   ShoupFactor(division.quotients[r], m), n, m);
    });
}

}  // namespace fhe::ring
