#include "ring/context.hpp"

#include <algorithm>
#include <bit>
#include <iterator>
#include <set>
#include <stdexcept>

#include "ring/parallel.hpp"

namespace fhe::ring {

std::uint64_t inverse_mod(std::uint64_t a, std::uint64_t q) {
    std::uint64_t result = 1;
    std::uint64_t base = a % q;
    for (std::uint64_t e = q - 2; e != 0; e >>= 1) {  // Fermat
        if (e & 1) result = multiply_mod(result, base, q);
        base = multiply_mod(base, base, q);
    }
    return result;
}

void reduce_signed(const KernelTable& kernels, std::uint64_t* out, const std::int64_t* values,
                   std::size_t count, const Modulus& m) {
    constexpr std::size_t kTile = 256;
    constexpr int kLowBits = 26;
    constexpr std::uint64_t kLow = std::uint64_t{1} << kLowBits;
    constexpr std::int64_t kBias = std::int64_t{1} << 50;  // makes values non-negative
    std::uint64_t bias[kTile];
    std::fill(std::begin(bias), std::end(bias), static_cast<std::uint64_t>(kBias) % m.q);
    for (std::size_t start = 0; start < count; start += kTile) {
        const std::size_t part = std::min(kTile, count - start);
        std::uint64_t* target = out + start;
        std::uint64_t all = 0;
        for (std::size_t i = 0; i < part; ++i) {
            target[i] =
                static_cast<std::uint64_t>(values[start + i]) + static_cast<std::uint64_t>(kBias);
            all |= target[i];
        }
        if (all < 2 * static_cast<std::uint64_t>(kBias)) {
            kernels.reduce(target, target, part, m);
            kernels.subtract(target, target, bias, part, m);
            continue;
        }
        std::uint64_t high[kTile];  // values = high * 2^26 + low: both fit the kernels
        for (std::size_t i = 0; i < part; ++i) {
            high[i] = static_cast<std::uint64_t>(kBias + (values[start + i] >> kLowBits));
            target[i] = static_cast<std::uint64_t>(values[start + i]) & (kLow - 1);
        }
        kernels.reduce(high, high, part, m);
        kernels.subtract(high, high, bias, part, m);
        kernels.reduce(target, target, part, m);
        kernels.multiply_scalar_add(target, high, ShoupFactor(kLow % m.q, m), part, m);
    }
}

namespace {
// Below this ring dimension a loop over limbs is shorter than waking a thread.
constexpr std::size_t kMinParallel = 8192;
constexpr std::size_t kMaxRingDimension = std::size_t{1} << 17;
constexpr std::size_t kMinLength = 8;  // of a transform
constexpr std::size_t kTile = 1024;    // values that a plaintext is added in
}  // namespace

Kind kind_by_name(const std::string& name) {
    if (name == "standard") return Kind::standard;
    if (name == "real") return Kind::real;
    throw std::invalid_argument("ring must be \"standard\" or \"real\", not \"" + name + "\"");
}

std::size_t root_order(Kind kind, std::size_t n) { return kind == Kind::real ? 4 * n : 2 * n; }

Context::Context(Kind kind, std::size_t n, const std::vector<std::uint64_t>& moduli, int threads,
                 const KernelTable& kernels, const std::shared_ptr<BufferPool>& pool)
    : kind_(kind),
      n_(n),
      threads_(n < kMinParallel ? 1 : threads),
      kernels_(&kernels),
      pool_(pool) {
    if (!std::has_single_bit(n) || n < 16 || n > kMaxRingDimension) {
        throw std::invalid_argument("ring dimension must be a power of two in [16, 131072]");
    }
    if (threads < 1) throw std::invalid_argument("threads must be at least 1");
    if (std::set<std::uint64_t>(moduli.begin(), moduli.end()).size() != moduli.size()) {
        throw std::invalid_argument("moduli must be distinct");
    }
    for (const std::uint64_t q : moduli) {
        tables_.push_back(std::make_unique<NttTables>(root_order(kind, n) / 2, q));
    }
}

std::deque<Buffer> Context::scratch_each(std::size_t words) const {
    std::deque<Buffer> all;
    for (int thread = 0; thread < threads_; ++thread) all.emplace_back(pool_, words);
    return all;
}

void Context::ntt_forward(std::uint64_t* row, std::size_t length, int index) const {
    const auto kernel = kind_ == Kind::real ? kernels_->real_ntt_forward : kernels_->ntt_forward;
    kernel(row, length, tables(index));
}

void Context::ntt_inverse(std::uint64_t* out, const std::uint64_t* row, int index,
                          std::uint64_t factor) const {
    const auto kernel = kind_ == Kind::real ? kernels_->real_ntt_inverse : kernels_->ntt_inverse;
    kernel(out, row, n_, tables(index), factor);
}

void Context::ntt_forward_block(std::uint64_t* rows, std::size_t length, int index) const {
    const auto kernel =
        kind_ == Kind::real ? kernels_->real_ntt_forward_block : kernels_->ntt_forward_block;
    kernel(rows, length, tables(index));
}

void Context::ntt_forward(std::uint64_t* data, const Rows& rows) const {
    parallel_for(threads_, rows.size(),
                 [&](std::size_t r, std::size_t) { ntt_forward(data + r * n_, n_, rows[r]); });
}

void Context::ntt_inverse(std::uint64_t* data, const Rows& rows) const {
    parallel_for(threads_, rows.size(), [&](std::size_t r, std::size_t) {
        ntt_inverse(data + r * n_, data + r * n_, rows[r]);
    });
}

void Context::pointwise(Pointwise kernel, std::uint64_t* out, const std::uint64_t* a,
                        const std::uint64_t* b, const Rows& rows) const {
    parallel_for(threads_, rows.size(), [&](std::size_t r, std::size_t) {
        kernel(out + r * n_, a + r * n_, b + r * n_, n_, modulus(rows[r]));
    });
}

void Context::multiply_scalars(std::uint64_t* out, const std::uint64_t* a,
                               const std::vector<std::uint64_t>& factors, const Rows& rows) const {
    parallel_for(threads_, rows.size(), [&](std::size_t r, std::size_t) {
        const Modulus& m = modulus(rows[r]);
        kernels_->multiply_scalar(out + r * n_, a + r * n_, ShoupFactor(factors[r] % m.q, m), n_,
                                  m);
    });
}

void Context::embed_signed(std::uint64_t* out, const std::int64_t* coefficients,
                           const Rows& rows) const {
    parallel_for(threads_, rows.size(), [&](std::size_t r, std::size_t) {
        embed_row(out + r * n_, coefficients, rows[r]);
    });
}

void Context::embed_row(std::uint64_t* row, const std::int64_t* coefficients, int index) const {
    reduce_signed(*kernels_, row, coefficients, n_, modulus(index));
    ntt_forward(row, n_, index);
}

void Context::add_plain(std::uint64_t* out, const std::uint64_t* a,
                        const std::int64_t* coefficients, std::size_t size,
                        const Rows& rows) const {
    // Where the plaintext has few coefficients its transform has as few values, each of them in
    // constant places in a row.
    const std::size_t length = std::max(size, kMinLength);
    const std::size_t constant = n_ / length;
    const std::size_t tile = std::min(n_, kTile);
    std::vector<std::int64_t> spread(length, 0);
    for (std::size_t i = 0; i < size; ++i) spread[i * (length / size)] = coefficients[i];
    const std::deque<Buffer> scratch = scratch_each(length + tile);
    parallel_for(threads_, 2 * rows.size(), [&](std::size_t r, std::size_t thread) {
        std::uint64_t* row = out + r * n_;
        const std::uint64_t* in = a + r * n_;
        if (r >= rows.size()) {
            std::copy(in, in + n_, row);
            return;
        }
        const Modulus& m = modulus(rows[r]);
        std::uint64_t* values = scratch[thread].data();
        std::uint64_t* repeated = values + length;
        reduce_signed(*kernels_, values, spread.data(), length, m);
        ntt_forward(values, length, rows[r]);
        for (std::size_t start = 0; start < n_; start += tile) {
            if (constant < tile || start % constant == 0) {
                for (std::size_t i = 0; i < tile; ++i) {
                    repeated[i] = values[(start + i) / constant];
                }
            }
            kernels_->add(row + start, in + start, repeated, tile, m);
        }
    });
}

void Context::multiply_plain(std::uint64_t* out, const std::uint64_t* a, std::size_t polys,
                             const std::int64_t* coefficients, const Rows& rows) const {
    const std::deque<Buffer> scratch = scratch_each(n_);
    parallel_for(threads_, rows.size(), [&](std::size_t r, std::size_t thread) {
        std::uint64_t* plain = scratch[thread].data();
        embed_row(plain, coefficients, rows[r]);
        for (std::size_t p = 0; p < polys; ++p) {
            const std::size_t at = (p * rows.size() + r) * n_;
            kernels_->multiply(out + at, a + at, plain, n_, modulus(rows[r]));
        }
    });
}

void Context::permute(std::uint64_t* out, const std::uint64_t* in, const std::uint32_t* index,
                      std::size_t rows) const {
    parallel_for(threads_, rows, [&](std::size_t r, std::size_t) {
        kernels_->permute(out + r * n_, in + r * n_, index, n_);
    });
}

std::vector<std::uint32_t> galois_permutation(Kind kind, std::size_t n,
                                              std::uint64_t galois_element) {
    if (!std::has_single_bit(n) || n > kMaxRingDimension) {
        throw std::invalid_argument("ring dimension must be a power of two, at most 131072");
    }
    // Position i holds the value at the power step * bitrev(i) + 1 of the root of unity.
    const std::uint64_t order = root_order(kind, n);
    const std::uint64_t step = order / n;
    if (galois_element % step != 1 || galois_element >= order) {
        throw std::invalid_argument(kind == Kind::real
                                        ? "galois_element must be 1 mod 4 and below 4n"
                                        : "galois_element must be odd and below 2n");
    }
    const int bits = std::countr_zero(n);
    const auto reverse = [bits](std::uint64_t x) {
        std::uint64_t r = 0;
        for (int i = 0; i < bits; ++i) r |= ((x >> i) & 1) << (bits - 1 - i);
        return r;
    };
    std::vector<std::uint32_t> index(n);
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint64_t exponent = (step * reverse(i) + 1) * galois_element % order;
        index[i] = static_cast<std::uint32_t>(reverse(exponent / step));
    }
    return index;
}

}  // namespace fhe::ring
