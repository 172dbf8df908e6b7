// AVX-512 IFMA kernels: eight lanes of 52 x 52 bit products (vpmadd52luq / vpmadd52huq).
#include "kernels/kernels.hpp"
#include "kernels/targets.hpp"

#if defined(__AVX512F__) && defined(__AVX512DQ__) && defined(__AVX512IFMA__)

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns about the deliberately undefined operands inside its own intrinsics (PR 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include "kernels/simd_kernels.hpp"

namespace fhe::kernels {
namespace {

struct Ifma {
    using Vec = __m512i;
    static constexpr std::size_t kLanes = 8;
    static constexpr std::size_t kSumWidth = 8;
    static constexpr std::size_t kTailVectors = 8;
    static constexpr std::size_t kPassColumns = 2;
    static constexpr std::size_t kPackedVectors = 2;
    static constexpr std::size_t kPackedBlocks = 2;
    static constexpr bool kManyRegisters = true;

    static const KernelTable& shorter() {
        const KernelTable* table = compiled_avx2();  // implied by AVX-512
        return table != nullptr ? *table : *scalar();
    }

    static Vec load(const Word* p) { return _mm512_loadu_si512(p); }
    static void store(Word* p, Vec v) { _mm512_storeu_si512(p, v); }
    static Vec splat(Word value) { return _mm512_set1_epi64(static_cast<long long>(value)); }
    static Vec mask52() { return splat((Word{1} << kWordBits) - 1); }
    static Vec low_product(Vec a, Vec b) {
        return _mm512_madd52lo_epu64(_mm512_setzero_si512(), a, b);
    }
    static Vec high_product(Vec a, Vec b) {
        return _mm512_madd52hi_epu64(_mm512_setzero_si512(), a, b);
    }
    // The smaller of x and y, or y where x is negative; x in (-2^52, 2^62), y in [0, 2^62). As
    // doubles, those from 0 on are in their order and negative ones no numbers, for which this
    // minimum takes y. That of integers would do, but Zen 4 has it where it has the products, and
    // nowhere else.
    static Vec unless_negative(Vec x, Vec y) {
        return _mm512_castpd_si512(_mm512_min_pd(_mm512_castsi512_pd(x), _mm512_castsi512_pd(y)));
    }
    // x - bound where x >= bound.
    static Vec subtract_if_above(Vec x, Vec bound) {
        return unless_negative(_mm512_sub_epi64(x, bound), x);
    }

    using Real = __m512d;
    static Real real(double x) { return _mm512_set1_pd(x); }
    // The mantissa of 2^52 + x is x.
    static Real to_real(Vec x) {
        const Real two52 = _mm512_set1_pd(0x1p52);
        return _mm512_sub_pd(_mm512_castsi512_pd(_mm512_or_si512(x, _mm512_castpd_si512(two52))),
                             two52);
    }
    static Vec to_word(Real x) {
        const Real two52 = _mm512_set1_pd(0x1p52);
        return _mm512_xor_si512(_mm512_castpd_si512(_mm512_add_pd(x, two52)),
                                _mm512_castpd_si512(two52));
    }
    static Real plus_product(Real sum, Real a, Real b) {
        return _mm512_add_pd(sum, _mm512_mul_pd(a, b));
    }

    struct Scalar {
        Vec value, quotient;
        Scalar(ShoupFactor factor, const Modulus&)
            : value(splat(factor.value)), quotient(splat(factor.quotient)) {}
        Scalar(Vec v, Vec v_quotient) : value(v), quotient(v_quotient) {}
    };

    // Shoup product in [0, 2q) for y < 2^52 (higher bits of y are ignored). The subtraction of
    // estimate * q is the addition of estimate * (2^52 - q) modulo 2^52.
    static Vec shoup_lazy(Vec y, const Scalar& w, Vec minus_q) {
        return _mm512_and_si512(shoup_dirty(y, w, minus_q), mask52());
    }
    // The same plus, perhaps, 2^52: good enough as a factor of another product.
    static Vec shoup_dirty(Vec y, const Scalar& w, Vec minus_q) {
        const Vec estimate = high_product(y, w.quotient);
        return _mm512_madd52lo_epu64(low_product(y, w.value), estimate, minus_q);
    }

    struct Field {
        Vec q, q2, minus_q, barrett;
        Scalar one;
        __m128i low_shift, high_shift;

        explicit Field(const Modulus& m)
            : q(splat(m.q)),
              q2(splat(2 * m.q)),
              minus_q(splat((Word{1} << kWordBits) - m.q)),
              barrett(splat(m.barrett)),
              one(splat(1), splat(m.one_shoup)),
              low_shift(_mm_cvtsi32_si128(m.bits - 2)),
              high_shift(_mm_cvtsi32_si128(kWordBits + 2 - m.bits)) {}

        Vec once(Vec x) const { return subtract_if_above(x, q); }          // from [0, 2q)
        Vec twice(Vec x) const { return once(subtract_if_above(x, q2)); }  // from [0, 4q)

        // a * b in [0, 4q): Barrett; see multiply_one in scalar.cpp for the bound.
        Vec multiply_lazy(Vec a, Vec b) const {
            const Vec low = low_product(a, b);
            const Vec high = high_product(a, b);
            const Vec top = _mm512_or_si512(_mm512_srl_epi64(low, low_shift),
                                            _mm512_sll_epi64(high, high_shift));
            const Vec estimate = high_product(top, barrett);
            return _mm512_and_si512(_mm512_madd52lo_epu64(low, estimate, minus_q), mask52());
        }

        Vec add(Vec a, Vec b) const { return once(_mm512_add_epi64(a, b)); }
        Vec subtract(Vec a, Vec b) const {
            const Vec difference = _mm512_sub_epi64(a, b);  // wraps when negative
            return unless_negative(difference, _mm512_add_epi64(difference, q));
        }
        Vec multiply(Vec a, Vec b) const { return twice(multiply_lazy(a, b)); }
        Vec multiply_add(Vec out, Vec a, Vec b) const { return add(out, multiply(a, b)); }
        Vec multiply_scalar(Vec a, const Scalar& w) const {
            return once(shoup_lazy(a, w, minus_q));
        }
        Vec multiply_scalar_add(Vec out, Vec a, const Scalar& w) const {
            return twice(_mm512_add_epi64(out, shoup_lazy(a, w, minus_q)));  // below 3q
        }
        Vec subtract_multiply_scalar(Vec a, Vec b, const Scalar& w) const {
            return multiply_scalar(_mm512_add_epi64(_mm512_sub_epi64(a, b), q), w);
        }
        Vec reduce(Vec a) const { return once(shoup_lazy(a, one, minus_q)); }
        // (-q, q) in two's complement to [0, q)
        Vec lift_word(Vec a) const { return unless_negative(a, _mm512_add_epi64(a, q)); }
    };

    using Operand = Vec;
    struct Sum {
        Vec low, high;  // up to 4096 halves: below 2^64 and, as products are below 2^100, 2^60
    };
    static Operand operand(Vec x) { return x; }
    static Operand broadcast(Word w) { return splat(w); }
    static Operand plus(Operand x, Operand y) { return _mm512_add_epi64(x, y); }
    static Sum zero() { return {_mm512_setzero_si512(), _mm512_setzero_si512()}; }
    static Sum accumulate(Sum sum, Operand x, Operand y) {
        return {_mm512_madd52lo_epu64(sum.low, x, y), _mm512_madd52hi_epu64(sum.high, x, y)};
    }

    struct Summing {
        Field field;
        Scalar r52, r104;
        bool has_top;  // high, and the carry from low, may exceed 52 bits

        Summing(const Modulus& m, std::size_t terms)
            : field(m),
              r52(splat(m.r52), splat(m.r52_shoup)),
              r104(splat(m.r104), splat(m.r104_shoup)),
              has_top(terms > 15) {}

        // low + 2^52 middle + 2^104 top, three words of 52 bits. The first two Shoup products, each
        // below 2q, are summed modulo 2^52 in one go.
        Vec finish(Sum sum) const {
            const Vec middle = _mm512_add_epi64(sum.high, _mm512_srli_epi64(sum.low, kWordBits));
            const Vec estimate1 = high_product(sum.low, field.one.quotient);
            const Vec estimate2 = high_product(middle, r52.quotient);
            Vec r = _mm512_madd52lo_epu64(sum.low, estimate1, field.minus_q);
            r = _mm512_madd52lo_epu64(r, middle, r52.value);
            r = _mm512_madd52lo_epu64(r, estimate2, field.minus_q);
            r = _mm512_and_si512(r, mask52());
            if (has_top) {
                const Vec top = _mm512_srli_epi64(middle, kWordBits);
                r = _mm512_add_epi64(r, shoup_lazy(top, r104, field.minus_q));  // below 6q
                r = subtract_if_above(r, field.q2);
            }
            return field.twice(r);
        }
    };

    // Sums of products divided by 2^52: the multiple of q that makes their lowest word zero is
    // taken from them, and what is left of the higher ones is the quotient. bound: of the sum by
    // 2^52 q, which is terms / 4 where no factor is above 2^50, as q is below 2^50.
    template <std::size_t bound>
    struct Dividing {
        Field field;
        Vec inverse, wide;

        Dividing(const Modulus& m, std::size_t)
            : field(m), inverse(splat(m.inverse52)), wide(splat(m.wide)) {}

        // What the higher words leave, below min(bound, 3) times q.
        Vec higher(Sum sum) const {
            const Vec high = _mm512_add_epi64(sum.high, _mm512_srli_epi64(sum.low, kWordBits));
            if constexpr (bound <= 4) return high;
            // Below 2^12 q: the shift and the rounding of `wide` cost the estimate less than 2.
            const Vec estimate = high_product(_mm512_srli_epi64(high, 10), wide);
            return _mm512_and_si512(_mm512_madd52lo_epu64(high, estimate, field.minus_q), mask52());
        }
        Vec lower(Sum sum) const { return high_product(low_product(sum.low, inverse), field.q); }

        Vec finish(Sum sum) const {
            Vec high = higher(sum);
            if constexpr (bound > 1) high = field.twice(high);
            return field.subtract(high, lower(sum));
        }
        // Below 4q.
        Vec finish_lazy(Sum sum) const {
            Vec high = higher(sum);
            if constexpr (bound == 4) high = subtract_if_above(high, field.q2);
            return _mm512_sub_epi64(_mm512_add_epi64(high, field.q), lower(sum));
        }
    };

    struct ScaledProduct : Dividing<1> {
        explicit ScaledProduct(const Modulus& m) : Dividing<1>(m, 1) {}
        Vec operator()(Vec a, Vec b) const {
            const Sum product{low_product(a, b), high_product(a, b)};
            return field.subtract(product.high, lower(product));
        }
    };

    template <std::size_t bound>
    struct KeySums : Dividing<bound> {
        using Sum = Ifma::Sum;
        using Dividing<bound>::Dividing;
        static Sum zero() { return Ifma::zero(); }
        static Sum zero_product() { return Ifma::zero(); }
        static Sum accumulate(Sum sum, Operand x, Operand y) { return Ifma::accumulate(sum, x, y); }
    };

    // Harvey's lazy butterflies: values in [0, 4q) forward and [0, 2q) inverse between layers.
    struct Ntt {
        using Vec = __m512i;
        using Twiddle = Scalar;
        Vec q, q2, minus_q;
        Scalar scale, scaled_root;
        // roots[half + i] = root * roots[i], where half = length / 2 and root is the primitive
        // 2 length-th root: the last layer takes its twiddles from the first half of the table and
        // multiplies by root, which costs less than to fetch the second half.
        std::size_t half;
        Scalar root;

        Ntt(const Modulus& m, Roots roots, std::size_t length)
            : q(splat(m.q)),
              q2(splat(2 * m.q)),
              minus_q(splat((Word{1} << kWordBits) - m.q)),
              scale(q, q),
              scaled_root(q, q),
              half(length / 2),
              root(broadcast(roots, half)) {}

        void set_scale(ShoupFactor inverse_length, ShoupFactor times_root) {
            scale = {splat(inverse_length.value), splat(inverse_length.quotient)};
            scaled_root = {splat(times_root.value), splat(times_root.quotient)};
        }

        template <bool>
        static Vec load(const Word* p) {
            return Ifma::load(p);
        }
        static void store(Word* p, Vec v) { Ifma::store(p, v); }
        static Twiddle broadcast(Roots roots, std::size_t k) {
            return {splat(roots.values[k]), splat(roots.quotients[k])};
        }
        void forward_settle(Vec&) const {}
        void inverse_settle(Vec&) const {}

        // x + w y modulo 2^52, where x is below 2q; above 52 bits, anything.
        Vec plus_product(Vec x, Vec y, const Twiddle& w) const {
            const Vec estimate = high_product(y, w.quotient);
            return _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(x, y, w.value), estimate, minus_q);
        }
        // x, y in [0, 4q) to [0, 4q), of y only its 52 lowest bits. factors: of what comes out only
        // those are right, which is all that is read of a factor.
        template <bool factors>
        void forward_butterfly(Vec& x, Vec& y, const Twiddle& w) const {
            const Vec u = subtract_if_above(x, q2);
            x = plus_product(u, y, w);
            if constexpr (!factors) x = _mm512_and_si512(x, mask52());
            y = _mm512_sub_epi64(_mm512_madd52lo_epu64(q2, u, splat(2)), x);  // 2u + 2q - x
        }
        // x and -y, which stands in place of y, in [0, 2q), to the sum and the product in [0, 2q).
        // The signs that this wants agree in all layers: those of the inputs, by inverse_load.
        void inverse_butterfly(Vec& x, Vec& y, const Twiddle& w) const {
            y = shoup_lazy(add(x, y), w, minus_q);
        }
        // The butterflies of the last layer, with the twiddle w * root.
        void forward_butterfly_root(Vec& x, Vec& y, const Twiddle& w) const {
            y = shoup_dirty(y, root, minus_q);
            forward_butterfly<false>(x, y, w);
        }
        void inverse_butterfly_root(Vec& x, Vec& y, const Twiddle& w) const {
            y = shoup_lazy(shoup_dirty(add(x, y), root, minus_q), w, minus_q);
        }
        // x becomes the sum of x and y, in [0, 2q); their difference in [0, 4q) is returned.
        Vec add(Vec& x, Vec minus_y) const {
            const Vec difference = _mm512_add_epi64(x, minus_y);
            const Vec sum = _mm512_sub_epi64(x, minus_y);  // wraps when negative
            x = unless_negative(sum, _mm512_add_epi64(sum, q2));
            return difference;
        }
        // `count` vectors of the inputs of an inverse, the first of them number k, counted as nodes
        // are; count is a power of two and divides k. Entry i is negated where i, without the first
        // 1, has an odd number of ones. The sum of two entries and the product then have the sign
        // of the first, which is right for the next layer: there, too, the second one of a pair has
        // the other sign, and the whole has none.
        template <std::size_t count>
        void inverse_load(Vec* x, const Word* p, std::size_t k) const {
            constexpr unsigned kOdd = 0x96;  // lanes 1, 2, 4 and 7
            const auto odd = static_cast<__mmask8>(__builtin_parityll(k) != 0 ? kOdd : ~kOdd);
            const auto even = static_cast<__mmask8>(~odd);
            for (std::size_t j = 0; j < count; ++j) {
                const __mmask8 negated = __builtin_parityll(j) != 0 ? even : odd;
                x[j] = Ifma::load(p + j * kLanes);
                x[j] = _mm512_mask_sub_epi64(x[j], negated, q, x[j]);
            }
        }
        Vec forward_finish(Vec x) const { return subtract_if_above(subtract_if_above(x, q2), q); }
        Vec lazy_sum(Vec x, Vec minus_y) const {
            const Vec sum = _mm512_sub_epi64(_mm512_add_epi64(x, q2), minus_y);
            return shoup_lazy(sum, scale, minus_q);
        }
        Vec lazy_difference(Vec x, Vec minus_y) const {
            return shoup_lazy(_mm512_add_epi64(x, minus_y), scaled_root, minus_q);
        }
        Vec scaled_sum(Vec x, Vec y) const { return subtract_if_above(lazy_sum(x, y), q); }
        Vec scaled_difference(Vec x, Vec y) const {
            return subtract_if_above(lazy_difference(x, y), q);
        }

        // -w, which is not 0
        Twiddle minus(const Twiddle& w) const {
            return {_mm512_sub_epi64(q, w.value), _mm512_sub_epi64(mask52(), w.quotient)};
        }
        // Of the real ring: x + w y and 2 x, below 4q, from below 2q.
        Vec folded(Vec x, Vec y, const Twiddle& w) const {
            return _mm512_and_si512(plus_product(x, y, w), mask52());
        }
        static Vec doubled(Vec x) { return _mm512_add_epi64(x, x); }
        static Vec reversed(Vec x) {
            return _mm512_permutexvar_epi64(_mm512_setr_epi64(7, 6, 5, 4, 3, 2, 1, 0), x);
        }

        // Twiddles for 2, 4 or 8 consecutive nodes from k, spread over groups of lanes.
        static Vec spread2(const Word* p) {
            return _mm512_permutexvar_epi64(
                _mm512_setr_epi64(0, 0, 0, 0, 1, 1, 1, 1),
                _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
        }
        static Vec spread4(const Word* p) {
            return _mm512_permutexvar_epi64(
                _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3),
                _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
        }
        static Twiddle two(Roots r, std::size_t k) {
            return {spread2(r.values + k), spread2(r.quotients + k)};
        }
        static Twiddle four(Roots r, std::size_t k) {
            return {spread4(r.values + k), spread4(r.quotients + k)};
        }
        static Twiddle eight(Roots r, std::size_t k) {
            return {Ifma::load(r.values + k), Ifma::load(r.quotients + k)};
        }

        // Exchange so that the legs of each layer face each other (an involution each).
        static void exchange_halves(Vec& x, Vec& y) {
            const Vec u = _mm512_shuffle_i64x2(x, y, 0x44);
            y = _mm512_shuffle_i64x2(x, y, 0xee);
            x = u;
        }
        static void exchange_pairs(Vec& x, Vec& y) {
            const Vec u =
                _mm512_permutex2var_epi64(x, _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), y);
            y = _mm512_permutex2var_epi64(x, _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), y);
            x = u;
        }
        static void exchange_single(Vec& x, Vec& y) {
            const Vec u = _mm512_unpacklo_epi64(x, y);
            y = _mm512_unpackhi_epi64(x, y);
            x = u;
        }

        static void interleave(Vec& x, Vec& y) {
            const Vec u =
                _mm512_permutex2var_epi64(x, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), y);
            y = _mm512_permutex2var_epi64(x, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), y);
            x = u;
        }
        static void deinterleave(Vec& x, Vec& y) {
            const Vec u =
                _mm512_permutex2var_epi64(x, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), y);
            y = _mm512_permutex2var_epi64(x, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15), y);
            x = u;
        }

        // The layers with legs of 4, 2 and 1 lanes; each vector is a node, numbered from k.
        template <std::size_t vectors>
        void forward_within(Vec* x, std::size_t k, Roots roots) const {
            for (std::size_t i = 0; i < vectors; i += 2) {
                exchange_halves(x[i], x[i + 1]);
                forward_butterfly<false>(x[i], x[i + 1], two(roots, k + i));
            }
            for (std::size_t i = 0; i < vectors; i += 2) {
                exchange_pairs(x[i], x[i + 1]);
                forward_butterfly<false>(x[i], x[i + 1], four(roots, 2 * (k + i)));
            }
            for (std::size_t i = 0; i < vectors; i += 2) {
                exchange_single(x[i], x[i + 1]);
                forward_butterfly_root(x[i], x[i + 1], eight(roots, 4 * (k + i) - half));
            }
            for (std::size_t i = 0; i < vectors; i += 2) interleave(x[i], x[i + 1]);
        }
        template <std::size_t vectors>
        void inverse_within(Vec* x, std::size_t k, Roots roots) const {
            for (std::size_t i = 0; i < vectors; i += 2) {
                deinterleave(x[i], x[i + 1]);
                inverse_butterfly_root(x[i], x[i + 1], eight(roots, 4 * (k + i) - half));
            }
            for (std::size_t i = 0; i < vectors; i += 2) {
                exchange_single(x[i], x[i + 1]);
                inverse_butterfly(x[i], x[i + 1], four(roots, 2 * (k + i)));
            }
            for (std::size_t i = 0; i < vectors; i += 2) {
                exchange_pairs(x[i], x[i + 1]);
                inverse_butterfly(x[i], x[i + 1], two(roots, k + i));
            }
            for (std::size_t i = 0; i < vectors; i += 2) exchange_halves(x[i], x[i + 1]);
        }
    };

    static void permute_block(Word* out, const Word* in, const Word* pattern) {
        const Vec block[] = {load(in)};
        place_block(out, block, pattern);
    }
    static void place_block(Word* out, const Vec* block, const Word* pattern) {
        static_assert(kBlock == kLanes);
        store(out, _mm512_permutexvar_epi64(load(pattern), block[0]));
    }

    // Three words of 16 bits to every lane; the fourth is cleared.
    static Vec unpack(const std::uint8_t* p) {
        const Vec words = _mm512_set_epi16(0, 23, 22, 21, 0, 20, 19, 18, 0, 17, 16, 15, 0, 14, 13,
                                           12, 0, 11, 10, 9, 0, 8, 7, 6, 0, 5, 4, 3, 0, 2, 1, 0);
        return _mm512_maskz_permutexvar_epi16(0x77777777, words, _mm512_maskz_loadu_epi64(0x3f, p));
    }
};

constexpr KernelTable kTable = make_table<Ifma>("avx512ifma");

}  // namespace

const KernelTable* compiled_avx512ifma() { return &kTable; }

}  // namespace fhe::kernels

#else

namespace fhe::kernels {
const KernelTable* compiled_avx512ifma() { return nullptr; }
}  // namespace fhe::kernels

#endif
