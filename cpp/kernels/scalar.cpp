// Portable kernels: the reference the vector versions must agree with bit for bit.
// Harvey 2014, "Faster arithmetic for number-theoretic transforms" (lazy butterflies);
// Barrett 1986 and Shoup (NTL) for the products.
#include "kernels/kernels.hpp"
#include "kernels/wide.hpp"

namespace fhe::kernels {
namespace {

using Word = std::uint64_t;

constexpr Word kWordMask = (Word{1} << kWordBits) - 1;

Word low(Wide value) { return static_cast<Word>(value) & kWordMask; }

Word subtract_if_above(Word x, Word bound) { return x >= bound ? x - bound : x; }

// x < 2^52 to [0, 2q).
Word reduce_lazy(Word x, const Modulus& m) { return shoup_lazy(x, 1, m.one_shoup, m.q); }

// a * b to [0, q). The estimate is below the quotient by less than 2.5 (1/2 from the first shift,
// 1 from the rounding of m.barrett, 1 from the second shift), so the remainder is below 4q.
Word multiply_one(Word a, Word b, const Modulus& m) {
    const Wide product = static_cast<Wide>(a) * b;
    const Word top = static_cast<Word>(product >> (m.bits - 2));  // below 2^52
    const Word estimate = static_cast<Word>(static_cast<Wide>(top) * m.barrett >> kWordBits);
    const Word r = static_cast<Word>(product) - estimate * m.q;
    return subtract_if_above(subtract_if_above(r, 2 * m.q), m.q);
}

// A sum of up to 4096 products below 2^102: three words of 52 bits, each to [0, 2q), sum below 6q.
Word reduce_sum(Wide sum, const Modulus& m) {
    const Word r = reduce_lazy(low(sum), m) +
                   shoup_lazy(low(sum >> kWordBits), m.r52, m.r52_shoup, m.q) +
                   shoup_lazy(low(sum >> (2 * kWordBits)), m.r104, m.r104_shoup, m.q);
    return subtract_if_above(subtract_if_above(subtract_if_above(r, 4 * m.q), 2 * m.q), m.q);
}

// The same over 2^52.
Word reduce_scaled(Wide sum, const Modulus& m) {
    return multiply_one(reduce_sum(sum, m), m.over52, m);
}

// The layers below node `top` of the tree of twiddles, for `width` transforms side by side. Values
// stay in [0, 4q): the first input is brought to [0, 2q), the product is in [0, 2q).
void forward_layers(Word* a, std::size_t length, std::size_t top, std::size_t width,
                    const NttTables& tables) {
    const Word q = tables.modulus.q;
    for (std::size_t blocks = 1, t = length / 2; t >= 1; blocks *= 2, t /= 2) {
        for (std::size_t block = 0; block < blocks; ++block) {
            const Word w = tables.roots[top * blocks + block];
            const Word w_shoup = tables.roots_shoup[top * blocks + block];
            Word* x = a + 2 * t * block * width;
            Word* y = x + t * width;
            for (std::size_t j = 0; j < t * width; ++j) {
                const Word u = subtract_if_above(x[j], 2 * q);
                const Word v = shoup_lazy(y[j], w, w_shoup, q);
                x[j] = u + v;
                y[j] = u + 2 * q - v;
            }
        }
    }
    for (std::size_t j = 0; j < length * width; ++j) {
        a[j] = subtract_if_above(subtract_if_above(a[j], 2 * q), q);
    }
}

// Values stay in [0, 2q); the last layer also multiplies by factor / (top length).
void inverse_layers(Word* a, std::size_t length, std::size_t top, const NttTables& tables,
                    Word factor) {
    const Modulus& m = tables.modulus;
    const Word q = m.q;
    for (std::size_t blocks = length / 2, t = 1; blocks >= 2; blocks /= 2, t *= 2) {
        for (std::size_t block = 0; block < blocks; ++block) {
            const Word w = tables.inverse_roots[top * blocks + block];
            const Word w_shoup = tables.inverse_roots_shoup[top * blocks + block];
            Word* x = a + 2 * t * block;
            Word* y = x + t;
            for (std::size_t j = 0; j < t; ++j) {
                const Word u = x[j];
                const Word v = y[j];
                x[j] = subtract_if_above(u + v, 2 * q);
                y[j] = shoup_lazy(u + 2 * q - v, w, w_shoup, q);
            }
        }
    }
    const ShoupFactor scale = over_length(factor, top * length, m);
    const ShoupFactor scaled_root(multiply_mod(scale.value, tables.inverse_roots[top], q), m);
    for (std::size_t j = 0; j < length / 2; ++j) {
        const Word u = a[j];
        const Word v = a[j + length / 2];
        a[j] = subtract_if_above(shoup_lazy(u + v, scale.value, scale.quotient, q), q);
        a[j + length / 2] = subtract_if_above(
            shoup_lazy(u + 2 * q - v, scaled_root.value, scaled_root.quotient, q), q);
    }
}

void ntt_forward(Word* a, std::size_t length, const NttTables& tables) {
    forward_layers(a, length, 1, 1, tables);
}

void copy(Word* out, const Word* a, std::size_t length) {
    if (out == a) return;
    for (std::size_t i = 0; i < length; ++i) out[i] = a[i];
}

void ntt_inverse(Word* out, const Word* a, std::size_t length, const NttTables& tables,
                 Word factor) {
    copy(out, a, length);
    inverse_layers(out, length, 1, tables, factor);
}

void ntt_forward_block(Word* a, std::size_t length, const NttTables& tables) {
    forward_layers(a, length, 1, kBlock, tables);
}

// Entries j and length - j, of `width` words each, from 1 on, to x_j - w x_(length - j).
void fold(Word* a, std::size_t length, std::size_t width, Word w, Word w_shoup, Word q) {
    const auto times_root = [&](Word x) {
        return subtract_if_above(shoup_lazy(x, w, w_shoup, q), q);
    };
    for (std::size_t j = 1; j <= length / 2; ++j) {
        for (std::size_t k = 0; k < width; ++k) {
            Word& low = a[j * width + k];
            Word& high = a[(length - j) * width + k];
            const Word x = low;
            const Word y = high;
            low = subtract_if_above(x + q - times_root(y), q);
            high = subtract_if_above(y + q - times_root(x), q);
        }
    }
}

void real_ntt_forward(Word* a, std::size_t length, const NttTables& tables) {
    fold(a, length, 1, tables.roots[1], tables.roots_shoup[1], tables.modulus.q);
    forward_layers(a, length, 2, 1, tables);
}

void real_ntt_forward_block(Word* a, std::size_t length, const NttTables& tables) {
    fold(a, length, kBlock, tables.roots[1], tables.roots_shoup[1], tables.modulus.q);
    forward_layers(a, length, 2, kBlock, tables);
}

void real_ntt_inverse(Word* out, const Word* a, std::size_t length, const NttTables& tables,
                      Word factor) {
    const Word q = tables.modulus.q;
    copy(out, a, length);
    inverse_layers(out, length, 2, tables, factor);
    out[0] = subtract_if_above(2 * out[0], q);
    fold(out, length, 1, tables.inverse_roots[1], tables.inverse_roots_shoup[1], q);
}

void add(Word* out, const Word* a, const Word* b, std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) out[i] = subtract_if_above(a[i] + b[i], m.q);
}

void subtract(Word* out, const Word* a, const Word* b, std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) out[i] = subtract_if_above(a[i] + m.q - b[i], m.q);
}

void multiply(Word* out, const Word* a, const Word* b, std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) out[i] = multiply_one(a[i], b[i], m);
}

void multiply_add(Word* out, const Word* a, const Word* b, std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = subtract_if_above(out[i] + multiply_one(a[i], b[i], m), m.q);
    }
}

void multiply_scalar(Word* out, const Word* a, ShoupFactor w, std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = subtract_if_above(shoup_lazy(a[i], w.value, w.quotient, m.q), m.q);
    }
}

void multiply_scalar_add(Word* out, const Word* a, ShoupFactor w, std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) {
        const Word sum = out[i] + shoup_lazy(a[i], w.value, w.quotient, m.q);  // below 3q
        out[i] = subtract_if_above(subtract_if_above(sum, 2 * m.q), m.q);
    }
}

void subtract_multiply_scalar(Word* out, const Word* a, const Word* b, ShoupFactor w, std::size_t n,
                              const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) {
        out[i] = subtract_if_above(shoup_lazy(a[i] + m.q - b[i], w.value, w.quotient, m.q), m.q);
    }
}

void lift(Word* out, const Word* a, std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) out[i] = a[i] + (a[i] >> 63) * m.q;
}

void reduce(Word* out, const Word* a, std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) out[i] = subtract_if_above(reduce_lazy(a[i], m), m.q);
}

void dot_product(Word* out, const Word* const* a, const Word* const* b, std::size_t terms,
                 std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) {
        Wide sum = 0;
        for (std::size_t t = 0; t < terms; ++t) sum += static_cast<Wide>(a[t][i]) * b[t][i];
        out[i] = reduce_sum(sum, m);
    }
}

void scaled_dot_product(Word* out, const Word* const* a, const Word* const* b, std::size_t terms,
                        std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) {
        Wide sum = 0;
        for (std::size_t t = 0; t < terms; ++t) sum += static_cast<Wide>(a[t][i]) * b[t][i];
        out[i] = reduce_scaled(sum, m);
    }
}

void weighted_sum(Word* out, const Word* const* x, std::size_t offset, const Word* w,
                  std::size_t terms, std::size_t n, const Modulus& m) {
    // Eight neighbours at a time, so that each cache line of x is fetched once.
    constexpr std::size_t kStrip = 8;
    for (std::size_t i = 0; i < n; i += kStrip) {
        const std::size_t count = n - i < kStrip ? n - i : kStrip;
        Wide sums[kStrip] = {};
        for (std::size_t t = 0; t < terms; ++t) {
            for (std::size_t s = 0; s < count; ++s) {
                sums[s] += static_cast<Wide>(x[t][offset + i + s]) * w[t];
            }
        }
        for (std::size_t s = 0; s < count; ++s) out[i + s] = reduce_scaled(sums[s], m);
    }
}

void weighted_sums(Word* const* out, const Word* const* x, std::size_t offset, const Word* w,
                   std::size_t terms, std::size_t n, const Modulus* const* m) {
    for (std::size_t i = 0; i < n; ++i) {
        Wide sums[kSumsAtOnce] = {};
        for (std::size_t t = 0; t < terms; ++t) {
            const Wide value = x[t][offset + i];
            for (std::size_t k = 0; k < kSumsAtOnce; ++k) sums[k] += value * w[t * kSumsAtOnce + k];
        }
        for (std::size_t k = 0; k < kSumsAtOnce; ++k) out[k][i] = reduce_scaled(sums[k], *m[k]);
    }
}

void rounded_sum(Word* out, const Word* const* x, std::size_t offset, const double* factors,
                 std::size_t terms, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        double sum = 0;
        for (std::size_t t = 0; t < terms; ++t) {
            sum += static_cast<double>(x[t][offset + i]) * factors[t];
        }
        // What 2^52 is added to is rounded to the nearest integer, the even one of two.
        out[i] = static_cast<Word>((sum + 0x1p52) - 0x1p52);
    }
}

void permute(Word* out, const Word* in, const std::uint32_t* index, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = in[index[i]];
}

void key_product(Word* const* out, const KeyProduct& job, std::size_t n, const Modulus& m) {
    const std::size_t strip = n < kKeyStrip ? n : kKeyStrip;
    for (std::size_t i = 0; i < n; i += kBlock) {
        const std::uint32_t step = job.steps == nullptr ? 0 : job.steps[i / kBlock];
        const std::size_t target =
            job.steps == nullptr ? i : (step / kBlock & (n / kBlock - 1)) * kBlock;
        const Word* const keys = job.key + i / strip * strip * 2 * job.key_terms + i % strip;
        for (std::size_t k = 0; k < 2; ++k) {
            Word values[kBlock];
            for (std::size_t j = 0; j < kBlock; ++j) {
                Wide sum = 0;
                if (job.addends[k] != nullptr) {
                    sum = static_cast<Wide>(job.addends[k][i + j]) * job.factor;
                }
                for (std::size_t t = 0; t < job.terms; ++t) {
                    sum += static_cast<Wide>(job.digits[t][i + j]) * keys[(2 * t + k) * strip + j];
                }
                values[j] = reduce_scaled(sum, m);
            }
            for (std::size_t j = 0; j < kBlock; ++j) {
                const std::size_t from = job.steps == nullptr ? j : job.patterns[step % kBlock][j];
                const Word base = job.bases[k] == nullptr ? 0 : job.bases[k][target + j];
                out[k][target + j] = subtract_if_above(base + values[from], m.q);
            }
        }
    }
}

Word unpack(const std::uint8_t* p) {
    Word value = 0;
    for (std::size_t i = 0; i < kPackedBytes; ++i) value |= Word{p[i]} << (8 * i);
    return value;
}

void packed_products(Word* const* out, const Word* plain, const std::uint8_t* const* packed,
                     std::size_t blocks, std::size_t terms, std::size_t strips, const Modulus& m) {
    for (std::size_t b = 0; b < blocks; ++b, out += 3) {
        const Word* p = plain;
        const std::uint8_t* q = packed[b];
        for (std::size_t strip = 0; strip < strips; ++strip) {
            Wide sums[3][kStrip] = {};
            for (std::size_t t = 0; t < terms; ++t) {
                for (std::size_t i = 0; i < kStrip; ++i) {
                    const Wide p0 = p[i];
                    const Wide p1 = p[kStrip + i];
                    const Word t0 = unpack(q + kPackedBytes * i);
                    const Word t1 = unpack(q + kPackedBytes * (kStrip + i));
                    sums[0][i] += p0 * t0;
                    sums[1][i] += p0 * t1 + p1 * t0;
                    sums[2][i] += p1 * t1;
                }
                p += 2 * kStrip;
                q += 2 * kStrip * kPackedBytes;
            }
            for (std::size_t k = 0; k < 3; ++k) {
                for (std::size_t i = 0; i < kStrip; ++i) {
                    out[k][strip * kStrip + i] = reduce_sum(sums[k][i], m);
                }
            }
        }
    }
}

}  // namespace

const KernelTable* scalar() {
    static constexpr KernelTable kTable = {
        "scalar",
        ntt_forward,
        ntt_inverse,
        real_ntt_forward,
        real_ntt_inverse,
        ntt_forward_block,
        real_ntt_forward_block,
        add,
        subtract,
        multiply,
        multiply_add,
        multiply_scalar,
        multiply_scalar_add,
        subtract_multiply_scalar,
        lift,
        reduce,
        dot_product,
        scaled_dot_product,
        weighted_sum,
        weighted_sums,
        weighted_sum,
        weighted_sums,
        rounded_sum,
        permute,
        key_product,
        packed_products,
    };
    return &kTable;
}

}  // namespace fhe::kernels
