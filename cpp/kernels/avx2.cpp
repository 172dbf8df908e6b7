// AVX2 + FMA kernels. There is no wide integer product, so residues (below 2^50) are handled as
// doubles, where p = a * b and fma(a, b, -p) are the exact product in two parts, and
//   a * b - round(a * b / q) * q
// is computed exactly once the (slightly wrong) quotient is known. Dekker 1971; van der Hoeven,
// Lecerf, Quintin 2016, "Modular SIMD arithmetic in Mathemagix".
#include "kernels/kernels.hpp"
#include "kernels/targets.hpp"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

#include "kernels/simd_kernels.hpp"

namespace fhe::kernels {
namespace {

struct Avx2 {
    using Vec = __m256i;
    using Real = __m256d;
    static constexpr std::size_t kLanes = 4;
    static constexpr std::size_t kSumWidth = 4;
    static constexpr std::size_t kTailVectors = 4;
    static constexpr std::size_t kPassColumns = 1;
    static constexpr std::size_t kPackedVectors = 1;
    static constexpr std::size_t kPackedBlocks = 1;
    static constexpr bool kManyRegisters = false;

    static const KernelTable& shorter() { return *scalar(); }

    static Vec load(const Word* p) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    }
    static void store(Word* p, Vec v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
    static Vec splat(Word value) { return _mm256_set1_epi64x(static_cast<long long>(value)); }
    static Real two52() { return _mm256_set1_pd(0x1p52); }
    static Real real(double x) { return _mm256_set1_pd(x); }

    // Integers below 2^52 to doubles and back: the mantissa of 2^52 + x is x.
    static Real to_real(Vec x) {
        return _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(x, _mm256_castpd_si256(two52()))),
                             two52());
    }
    static Vec to_word(Real x) {
        return _mm256_xor_si256(_mm256_castpd_si256(_mm256_add_pd(x, two52())),
                                _mm256_castpd_si256(two52()));
    }
    static Real plus_product(Real sum, Real a, Real b) {
        return _mm256_add_pd(sum, _mm256_mul_pd(a, b));
    }
    static Real round_product(Real a, Real b) {  // round(a * b) for |a * b| <= 2^51
        const Real magic = _mm256_set1_pd(0x1.8p52);
        return _mm256_sub_pd(_mm256_fmadd_pd(a, b, magic), magic);
    }

    // A factor w with |w| <= q / 2, and w / q to within 2^-55 (2^-53 for Ntt::twiddle).
    struct Scalar {
        Real value, over_q;
        Scalar(Real v, Real v_over_q) : value(v), over_q(v_over_q) {}
        Scalar(ShoupFactor factor, const Modulus& m) : Scalar(factor.value, m) {}
        Scalar(Word factor, const Modulus& m) {
            const double q = static_cast<double>(m.q);
            const double w = static_cast<double>(factor);
            const double centred = 2 * factor > m.q ? w - q : w;
            value = _mm256_set1_pd(centred);
            over_q = _mm256_set1_pd(centred / q);
        }
    };

    // The arithmetic of one modulus on doubles that hold integers.
    struct Arithmetic {
        Real q, inverse_q;

        explicit Arithmetic(const Modulus& m)
            : q(_mm256_set1_pd(static_cast<double>(m.q))),
              inverse_q(_mm256_set1_pd(1.0 / static_cast<double>(m.q))) {}

        // |x| <= 2^52 to |x| <= q / 2 and a little: the quotient is off by 1/2 and a little.
        Real centre(Real x) const { return _mm256_fnmadd_pd(round_product(x, inverse_q), q, x); }
        // (-q, q) to [0, q)
        Real lift(Real x) const {
            const Real negative = _mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_LT_OQ);
            return _mm256_add_pd(x, _mm256_and_pd(negative, q));
        }
        // a * b - quotient * q for a result below 2q in size. Exact: the product's two parts are
        // integers, the low one below 2^49, so every difference is an integer below 2^53.
        Real product_minus(Real a, Real b, Real quotient) const {
            const Real high = _mm256_mul_pd(a, b);
            const Real low = _mm256_fmsub_pd(a, b, high);
            return _mm256_add_pd(_mm256_fnmadd_pd(quotient, q, high), low);
        }
        // a, b in [0, q): the quotient is off by at most 1/2 + 1/4, so the result is in (-q, q).
        Real multiply(Real a, Real b) const {
            return product_minus(a, b, round_product(_mm256_mul_pd(a, b), inverse_q));
        }
        // |y| <= 2^52: |result| <= q (1/2 + |y| e), where e is the error of w.over_q.
        Real multiply(Real y, const Scalar& w) const {
            return product_minus(y, w.value, round_product(y, w.over_q));
        }
    };

    struct Field : Arithmetic {
        Vec int_q;

        explicit Field(const Modulus& m) : Arithmetic(m), int_q(splat(m.q)) {}

        // x + q where x is negative, for x in [-q, q)
        Vec lift_word(Vec x) const {
            const Vec negative = _mm256_cmpgt_epi64(_mm256_setzero_si256(), x);
            return _mm256_add_epi64(x, _mm256_and_si256(negative, int_q));
        }
        Vec finish(Real x) const { return to_word(lift(x)); }

        Vec add(Vec a, Vec b) const {
            return lift_word(_mm256_sub_epi64(_mm256_add_epi64(a, b), int_q));
        }
        Vec subtract(Vec a, Vec b) const { return lift_word(_mm256_sub_epi64(a, b)); }
        Vec multiply(Vec a, Vec b) const {
            return finish(Arithmetic::multiply(to_real(a), to_real(b)));
        }
        Vec multiply_add(Vec out, Vec a, Vec b) const { return add(out, multiply(a, b)); }
        Vec multiply_scalar(Vec a, const Scalar& w) const {
            return finish(Arithmetic::multiply(to_real(a), w));
        }
        Vec multiply_scalar_add(Vec out, Vec a, const Scalar& w) const {
            return add(out, multiply_scalar(a, w));
        }
        Vec subtract_multiply_scalar(Vec a, Vec b, const Scalar& w) const {
            return finish(Arithmetic::multiply(_mm256_sub_pd(to_real(a), to_real(b)), w));
        }
        Vec reduce(Vec a) const { return finish(centre(to_real(a))); }
    };

    // Products below 2^102 of integers in two parts of 51 bits: adding 2^103 to the product rounds
    // it to a multiple of 2^51 that can be read off the mantissa; what is left, at most 2^50 in
    // size, is read off the mantissa of 1.5 * 2^52 + rest. Both bit patterns are summed as
    // integers (modulo 2^64), their constant parts removed at the end.
    using Operand = Real;
    struct Sum {
        Vec low, high;
    };
    static Operand operand(Vec x) { return to_real(x); }
    // As a vector: the conversion of one word takes longer than the products with it.
    static Operand broadcast(Word w) { return to_real(splat(w)); }
    static Operand plus(Operand x, Operand y) { return _mm256_add_pd(x, y); }
    static Sum zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
    static Sum accumulate(Sum sum, Operand x, Operand y) {
        const Real high = _mm256_fmadd_pd(x, y, _mm256_set1_pd(0x1p103));
        const Real rest = _mm256_sub_pd(_mm256_set1_pd(0x1p103 + 0x1.8p52), high);
        const Real low = _mm256_fmadd_pd(x, y, rest);
        return {_mm256_add_epi64(sum.low, _mm256_castpd_si256(low)),
                _mm256_add_epi64(sum.high, _mm256_castpd_si256(high))};
    }

    // The parts of a sum of products without the constants. The sum of the low parts is within 2^62
    // of zero; 2^62 is added to make it positive.
    struct Parts {
        Vec low_offset, high_offset;

        explicit Parts(std::size_t terms)
            : low_offset(splat((Word{1} << 62) - terms * 0x4338000000000000)),
              high_offset(splat(0 - terms * 0x4660000000000000)) {}

        Vec low(Sum sum) const { return _mm256_add_epi64(sum.low, low_offset); }
        Vec high(Sum sum) const { return _mm256_add_epi64(sum.high, high_offset); }
        static Real lower(Vec x) { return to_real(_mm256_and_si256(x, splat(0xffffffff))); }
        static Real upper(Vec x) { return to_real(_mm256_srli_epi64(x, 32)); }
    };

    struct Summing {
        Arithmetic arithmetic;
        Parts parts;
        Scalar r32, r51, r83;
        Real correction;

        Summing(const Modulus& m, std::size_t terms)
            : arithmetic(m),
              parts(terms),
              r32(m.pieces[0], m),
              r51(m.pieces[1], m),
              r83(m.pieces[2], m),
              correction(_mm256_set1_pd(static_cast<double>((Word{1} << 62) % m.q))) {}

        // low + 2^51 high by 32-bit pieces.
        Vec finish(Sum sum) const {
            const Vec low = parts.low(sum);
            const Vec high = parts.high(sum);
            Real r = _mm256_sub_pd(Parts::lower(low), correction);
            r = _mm256_add_pd(r, arithmetic.multiply(Parts::upper(low), r32));
            r = _mm256_add_pd(r, arithmetic.multiply(Parts::lower(high), r51));
            r = _mm256_add_pd(r, arithmetic.multiply(Parts::upper(high), r83));
            return to_word(arithmetic.lift(arithmetic.centre(r)));
        }
    };

    // Sums divided by 2^52, by pieces of 51 bits, of which a sum below 2^102 (bound 1) has two:
    // its upper one then stays below 2^52, with what Parts adds. Nothing is gained by laziness.
    template <std::size_t bound>
    struct Dividing {
        Arithmetic arithmetic;
        Parts parts;
        Scalar r0, r51, r102;  // 2^0, 2^51 and 2^102 over 2^52
        Real correction;

        Dividing(const Modulus& m, std::size_t terms)
            : arithmetic(m),
              parts(terms),
              r0(m.over52, m),
              r51((m.q + 1) / 2, m),
              r102((Word{1} << 50) % m.q, m),
              correction(_mm256_set1_pd(0x1p10)) {}

        Vec finish(Sum sum) const {
            constexpr int kBits = 51;
            const Vec mask = splat((Word{1} << kBits) - 1);
            const Vec low = parts.low(sum);
            const Vec high = _mm256_add_epi64(parts.high(sum), _mm256_srli_epi64(low, kBits));
            Real r = arithmetic.multiply(to_real(_mm256_and_si256(low, mask)), r0);
            if constexpr (bound == 1) {
                r = _mm256_add_pd(r, arithmetic.multiply(to_real(high), r51));
            } else {
                const Real middle = to_real(_mm256_and_si256(high, mask));
                const Real top = to_real(_mm256_srli_epi64(high, kBits));
                r = _mm256_add_pd(r, arithmetic.multiply(middle, r51));
                r = _mm256_add_pd(r, arithmetic.multiply(top, r102));
            }
            r = _mm256_sub_pd(r, correction);
            return to_word(arithmetic.lift(arithmetic.centre(r)));
        }
        Vec finish_lazy(Sum sum) const { return finish(sum); }
    };

    struct ScaledProduct {
        Field field;
        Scalar over52;

        explicit ScaledProduct(const Modulus& m) : field(m), over52(m.over52, m) {}
        Vec operator()(Vec a, Vec b) const {
            const Arithmetic& modular = field;
            const Real product = modular.multiply(modular.centre(to_real(a)), to_real(b));
            return field.finish(modular.multiply(product, over52));
        }
    };

    template <std::size_t bound>
    struct KeySums : Dividing<bound> {
        using Sum = Avx2::Sum;
        using Dividing<bound>::Dividing;
        static Sum zero() { return Avx2::zero(); }
        static Sum zero_product() { return {splat(0x4338000000000000), splat(0x4660000000000000)}; }
        static Sum accumulate(Sum sum, Operand x, Operand y) { return Avx2::accumulate(sum, x, y); }
    };

    // Butterflies on doubles between layers. Sums are left alone while |x| <= 4q < 2^52.
    struct Ntt : Arithmetic {
        using Vec = __m256d;
        using Twiddle = Scalar;
        Real half_q;
        Scalar scale, scaled_root;

        Ntt(const Modulus& m, Roots, std::size_t)
            : Arithmetic(m),
              half_q(_mm256_mul_pd(q, _mm256_set1_pd(0.5))),
              scale(q, q),
              scaled_root(q, q),
              modulus_(m) {}

        void set_scale(ShoupFactor inverse_length, ShoupFactor times_root) {
            scale = Scalar(inverse_length, modulus_);
            scaled_root = Scalar(times_root, modulus_);
        }

        template <bool words>
        static Vec load(const Word* p) {
            if constexpr (words) return to_real(Avx2::load(p));
            return _mm256_castsi256_pd(Avx2::load(p));
        }
        static void store(Word* p, Vec v) { Avx2::store(p, _mm256_castpd_si256(v)); }

        Twiddle twiddle(Real w) const {
            const Real large = _mm256_cmp_pd(w, half_q, _CMP_GT_OQ);
            const Real centred = _mm256_sub_pd(w, _mm256_and_pd(large, q));
            return {centred, _mm256_mul_pd(centred, inverse_q)};
        }
        Twiddle broadcast(Roots roots, std::size_t k) const {
            return twiddle(to_real(splat(roots.values[k])));
        }

        // Forward, radix 4 from |x| <= 2.5q: the legs that are not multiplied are brought to q/2
        // first; two layers then add at most q and 0.75q.
        void forward_settle(Vec& x) const { x = centre(x); }
        template <bool factors>
        void forward_butterfly(Vec& x, Vec& y, const Twiddle& w) const {
            const Real v = multiply(y, w);
            y = _mm256_sub_pd(x, v);
            x = _mm256_add_pd(x, v);
        }
        __m256i forward_finish(Vec x) const { return to_word(lift(centre(x))); }

        // Inverse, radix 4 from |x| <= q: sums reach 2q, then 4q; products are at most q. The sums
        // of the second layer (one of two sums, one of two products) are brought to q/2.
        template <std::size_t count>
        static void inverse_load(Vec* x, const Word* p, std::size_t) {
            for (std::size_t j = 0; j < count; ++j) x[j] = load<true>(p + j * kLanes);
        }
        void inverse_settle(Vec& x) const { x = centre(x); }
        void inverse_butterfly(Vec& x, Vec& y, const Twiddle& w) const {
            const Real difference = _mm256_sub_pd(x, y);
            x = _mm256_add_pd(x, y);
            y = multiply(difference, w);
        }
        Vec lazy_sum(Vec x, Vec y) const { return multiply(_mm256_add_pd(x, y), scale); }
        Vec lazy_difference(Vec x, Vec y) const {
            return multiply(_mm256_sub_pd(x, y), scaled_root);
        }
        __m256i scaled_sum(Vec x, Vec y) const { return to_word(lift(lazy_sum(x, y))); }
        __m256i scaled_difference(Vec x, Vec y) const {
            return to_word(lift(lazy_difference(x, y)));
        }

        static Twiddle minus(const Twiddle& w) {
            const Real sign = _mm256_set1_pd(-0.0);
            return {_mm256_xor_pd(w.value, sign), _mm256_xor_pd(w.over_q, sign)};
        }
        // Of the real ring: x + w y and 2 x, at most 2q in size, from at most q.
        Vec folded(Vec x, Vec y, const Twiddle& w) const {
            return _mm256_add_pd(x, multiply(y, w));
        }
        static Vec doubled(Vec x) { return _mm256_add_pd(x, x); }
        static Vec reversed(Vec x) { return _mm256_permute4x64_pd(x, 0x1b); }

        Twiddle two(Roots roots, std::size_t k) const {
            const Real pair = _mm256_castpd128_pd256(_mm_castsi128_pd(
                _mm_loadu_si128(reinterpret_cast<const __m128i*>(roots.values + k))));
            return twiddle(to_real(_mm256_castpd_si256(_mm256_permute4x64_pd(pair, 0x50))));
        }
        Twiddle four(Roots roots, std::size_t k) const {
            return twiddle(to_real(Avx2::load(roots.values + k)));
        }
        static void exchange_halves(Vec& x, Vec& y) {
            const Vec u = _mm256_permute2f128_pd(x, y, 0x20);
            y = _mm256_permute2f128_pd(x, y, 0x31);
            x = u;
        }
        static void exchange_single(Vec& x, Vec& y) {
            const Vec u = _mm256_unpacklo_pd(x, y);
            y = _mm256_unpackhi_pd(x, y);
            x = u;
        }

        // The layers with legs of 2 and 1 lanes; each vector is a node, numbered from k.
        template <std::size_t vectors>
        void forward_within(Vec* x, std::size_t k, Roots roots) const {
            for (std::size_t i = 0; i < vectors; i += 2) {
                exchange_halves(x[i], x[i + 1]);
                forward_butterfly<false>(x[i], x[i + 1], two(roots, k + i));
                exchange_single(x[i], x[i + 1]);
                forward_butterfly<false>(x[i], x[i + 1], four(roots, 2 * (k + i)));
                exchange_single(x[i], x[i + 1]);
                exchange_halves(x[i], x[i + 1]);
            }
        }
        template <std::size_t vectors>
        void inverse_within(Vec* x, std::size_t k, Roots roots) const {
            for (std::size_t i = 0; i < vectors; i += 2) {
                exchange_halves(x[i], x[i + 1]);
                exchange_single(x[i], x[i + 1]);
                inverse_butterfly(x[i], x[i + 1], four(roots, 2 * (k + i)));
                exchange_single(x[i], x[i + 1]);
                inverse_butterfly(x[i], x[i + 1], two(roots, k + i));
                exchange_halves(x[i], x[i + 1]);
            }
        }

      private:
        const Modulus& modulus_;
    };

    static void permute_block(Word* out, const Word* in, const Word* pattern) {
        for (std::size_t i = 0; i < kBlock; ++i) out[i] = in[pattern[i]];
    }
    static void place_block(Word* out, const Vec* block, const Word* pattern) {
        Word words[kBlock];
        for (std::size_t v = 0; v < kBlock / kLanes; ++v) store(words + v * kLanes, block[v]);
        permute_block(out, words, pattern);
    }

    // The second half is read from byte 8 on, so that it ends with the last byte of the residues.
    static Vec unpack(const std::uint8_t* p) {
        const auto half = [](const std::uint8_t* from) {
            return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
        };
        const Vec bytes =
            _mm256_setr_epi8(0, 1, 2, 3, 4, 5, -1, -1, 6, 7, 8, 9, 10, 11, -1, -1,  //
                             4, 5, 6, 7, 8, 9, -1, -1, 10, 11, 12, 13, 14, 15, -1, -1);
        return _mm256_shuffle_epi8(_mm256_set_m128i(half(p + 8), half(p)), bytes);
    }
};

// At most four products below 2^100: both parts of their sum are integers that a double holds.
template <>
struct Avx2::KeySums<1> {
    struct Sum {
        Real low, high;  // at most 2^52 in size; a multiple of 2^51
    };
    Arithmetic arithmetic;
    Scalar r0, r51;  // 2^0 and 2^51 over 2^52

    KeySums(const Modulus& m, std::size_t)
        : arithmetic(m), r0(m.over52, m), r51((m.q + 1) / 2, m) {}

    static Sum zero() { return {_mm256_setzero_pd(), _mm256_setzero_pd()}; }
    static Sum zero_product() { return zero(); }
    static Sum accumulate(Sum sum, Operand x, Operand y) {
        const Real magic = _mm256_set1_pd(0x1p103);
        const Real minus_high = _mm256_sub_pd(magic, _mm256_fmadd_pd(x, y, magic));
        return {_mm256_add_pd(sum.low, _mm256_fmadd_pd(x, y, minus_high)),
                _mm256_sub_pd(sum.high, minus_high)};
    }
    Vec finish(Sum sum) const {
        const Real high = _mm256_mul_pd(sum.high, _mm256_set1_pd(0x1p-51));
        const Real r =
            _mm256_add_pd(arithmetic.multiply(sum.low, r0), arithmetic.multiply(high, r51));
        return to_word(arithmetic.lift(arithmetic.centre(r)));
    }
};

constexpr KernelTable kTable = make_table<Avx2>("avx2");

}  // namespace

const KernelTable* compiled_avx2() { return &kTable; }

}  // namespace fhe::kernels

#else

namespace fhe::kernels {
const KernelTable* compiled_avx2() { return nullptr; }
}  // namespace fhe::kernels

#endif
