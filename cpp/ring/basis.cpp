#include "ring/basis.hpp"

#include <algorithm>
#include <numeric>

namespace fhe::ring {

namespace {
constexpr std::size_t kTile = 2048;  // coefficients; a digit's tile stays in the L2 cache
}

BaseConversion::BaseConversion(const Context& context, Rows from, Rows to)
    : context_(context), from_(std::move(from)), to_(std::move(to)) {
    const auto punctured = [&](std::size_t skip, std::uint64_t q) {
        std::uint64_t product = 1;
        for (std::size_t i = 0; i < from_.size(); ++i) {
            if (i != skip) product = multiply_mod(product, context_.modulus(from_[i]).q % q, q);
        }
        return product;
    };
    for (std::size_t i = 0; i < from_.size(); ++i) {
        const std::uint64_t d = context_.modulus(from_[i]).q;
        punctured_inverse_.push_back(inverse_mod(punctured(i, d), d));
    }
    for (const int target : to_) {
        const std::uint64_t q = context_.modulus(target).q;
        std::vector<std::uint64_t> w;
        for (std::size_t i = 0; i < from_.size(); ++i) w.push_back(punctured(i, q));
        w.push_back((q - product_modulo(q)) % q);
        weights_.push_back(std::move(w));
    }
}

std::uint64_t BaseConversion::product_modulo(std::uint64_t q) const {
    std::uint64_t product = 1;
    for (const int i : from_) product = multiply_mod(product, context_.modulus(i).q % q, q);
    return product;
}

void BaseConversion::apply(std::uint64_t* coefficients,
                           const std::vector<std::uint64_t*>& out_rows) const {
    const std::size_t n = context_.n();
    const std::size_t tile = std::min(n, kTile);
    const std::size_t count = from_.size();
    const KernelTable& kernels = context_.kernels();
#pragma omp parallel for num_threads(context_.threads()) schedule(static)
    for (std::size_t start = 0; start < n; start += tile) {
        std::vector<const std::uint64_t*> x(count + 1);
        std::vector<double> sum(tile, 0.5);
        std::vector<std::uint64_t> quotient(tile);
        for (std::size_t i = 0; i < count; ++i) {
            const Modulus& m = context_.modulus(from_[i]);
            std::uint64_t* row = coefficients + i * n + start;
            kernels.multiply_scalar(row, row, ShoupFactor(punctured_inverse_[i], m), tile, m);
            const double inverse = 1.0 / static_cast<double>(m.q);
            for (std::size_t j = 0; j < tile; ++j) {
                sum[j] += static_cast<double>(static_cast<std::int64_t>(row[j])) * inverse;
            }
            x[i] = row;
        }
        for (std::size_t j = 0; j < tile; ++j)
            quotient[j] = static_cast<std::uint64_t>(static_cast<std::int64_t>(sum[j]));
        x[count] = quotient.data();
        for (std::size_t t = 0; t < to_.size(); ++t) {
            kernels.weighted_sum(out_rows[t] + start, x.data(), 0, weights_[t].data(), count + 1,
                                 tile, context_.modulus(to_[t]));
        }
    }
}

void decompose(const Context& context, std::uint64_t* out, const std::uint64_t* c, int limbs,
               int digit_limbs, const Rows& specials) {
    const std::size_t n = context.n();
    const std::size_t total = static_cast<std::size_t>(limbs) + specials.size();
    const int digits = (limbs + digit_limbs - 1) / digit_limbs;

    Rows own(static_cast<std::size_t>(limbs));
    std::iota(own.begin(), own.end(), 0);
    const Buffer coefficients = context.scratch(static_cast<std::size_t>(limbs) * n);
#pragma omp parallel for num_threads(context.threads()) schedule(dynamic)
    for (std::size_t r = 0; r < own.size(); ++r) {
        std::copy(c + r * n, c + (r + 1) * n, coefficients.data() + r * n);
        context.kernels().ntt_inverse(coefficients.data() + r * n, n, context.tables(own[r]));
    }

    std::vector<std::pair<std::uint64_t*, int>> pending;  // extended rows still to be transformed
    for (int d = 0; d < digits; ++d) {
        const int first = d * digit_limbs;
        const int last = std::min(limbs, first + digit_limbs);
        std::uint64_t* digit = out + static_cast<std::size_t>(d) * total * n;
        Rows from(own.begin() + first, own.begin() + last);
        Rows to;
        std::vector<std::uint64_t*> targets;
        for (std::size_t r = 0; r < total; ++r) {
            const int limb = static_cast<int>(r);
            if (limb >= first && limb < last) continue;
            to.push_back(limb < limbs ? limb : specials[r - static_cast<std::size_t>(limbs)]);
            targets.push_back(digit + r * n);
            pending.emplace_back(targets.back(), to.back());
        }
        BaseConversion(context, from, to)
            .apply(coefficients.data() + static_cast<std::size_t>(first) * n, targets);
    }
    const std::size_t rows = own.size() + pending.size();
#pragma omp parallel for num_threads(context.threads()) schedule(dynamic)
    for (std::size_t i = 0; i < rows; ++i) {
        if (i < pending.size()) {
            context.kernels().ntt_forward(pending[i].first, n, context.tables(pending[i].second));
            continue;
        }
        const std::size_t r = i - pending.size();  // a limb of its own digit is known already
        const std::size_t d = r / static_cast<std::size_t>(digit_limbs);
        std::copy(c + r * n, c + (r + 1) * n, out + (d * total + r) * n);
    }
}

void divide_and_round(const Context& context, std::uint64_t* out, const std::uint64_t* x,
                      const Rows& rows, std::size_t dropped) {
    const std::size_t n = context.n();
    const std::size_t kept = rows.size() - dropped;
    const Rows to(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(kept));
    const Rows from(rows.begin() + static_cast<std::ptrdiff_t>(kept), rows.end());
    const BaseConversion conversion(context, from, to);

    const Buffer remainder = context.scratch(dropped * n);
    std::copy(x + kept * n, x + rows.size() * n, remainder.data());
    context.ntt_inverse(remainder.data(), from);
    std::vector<std::uint64_t*> targets;
    for (std::size_t r = 0; r < kept; ++r) targets.push_back(out + r * n);
    conversion.apply(remainder.data(), targets);
#pragma omp parallel for num_threads(context.threads()) schedule(dynamic)
    for (std::size_t r = 0; r < kept; ++r) {
        const Modulus& m = context.modulus(to[r]);
        const ShoupFactor inverse(inverse_mod(conversion.product_modulo(m.q), m.q), m);
        context.kernels().ntt_forward(out + r * n, n, context.tables(to[r]));
        context.kernels().subtract_multiply_scalar(out + r * n, x + r * n, out + r * n, inverse, n,
                                                   m);
    }
}

}  // namespace fhe::ring
