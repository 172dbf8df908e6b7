// The loops shared by the vector implementations. The template parameter Simd supplies what depends
// on the instruction set:
//   Vec, kLanes, load, store        residues as 64-bit words
//   Real, real(double), to_real     doubles; those of words below 2^52, and back: to the nearest
//   plus_product, to_word           integer, the even one of two; the product is rounded by itself
//   Field(modulus)                  add ... reduce on Vec, the contract of KernelTable lane by lane
//                                   (lift_word: lift)
//   Scalar(factor, modulus)         a broadcast ShoupFactor, used by Field
//   Sum, Operand                    an accumulator of products and what it multiplies:
//                                   operand(Vec), broadcast(word), plus, accumulate,
//                                   Summing(m, exact number of terms).finish
//   Ntt(modulus, roots, length)     butterflies on Ntt::Vec, the form residues have between layers
//   shorter()                       the kernels for shorter transforms than kTail allows
//   KeySums<bound>                  sums of at most four products (bound 1) or of any number, as
//                                   Dividing has them: zero() after no product, zero_product()
//                                   after one that is zero, accumulate, finish
//   Dividing<bound>(m, exact number of terms).finish: as Summing, over 2^52; the sum is below
//                                   bound * 2^52 q. finish_lazy: the same, only below 4q
//   ScaledProduct(m)(a, b)          a * b / 2^52, a below 2^52, b reduced
//   permute_block(out, in, pattern) out[i] = in[pattern[i]], kBlock words
//   place_block(out, block, pattern) the same of kBlock words in registers
//   unpack(p)                       a vector of packed residues, reading no byte beyond them
//   kPackedVectors, kPackedBlocks   whose packed products are summed at once
//   kManyRegisters                  whether constants of a sum's end fit beside its accumulators
// Everything here is in an unnamed namespace, and no standard library template is used, so that no
// code compiled for a newer processor is ever merged by the linker with code that must run on any.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.hpp"
#include "kernels/wide.hpp"

namespace fhe::kernels {
namespace {

using Word = std::uint64_t;

struct Roots {
    const Word* values;
    const Word* quotients;
};

template <class Simd>
struct Pointwise {
    using Field = typename Simd::Field;
    static constexpr std::size_t kLanes = Simd::kLanes;

    static auto load_part(const Word* p, std::size_t count) {
        Word padded[kLanes] = {};
        for (std::size_t i = 0; i < count; ++i) padded[i] = p[i];
        return Simd::load(padded);
    }

    static void store_part(Word* p, typename Simd::Vec v, std::size_t count) {
        Word padded[kLanes];
        Simd::store(padded, v);
        for (std::size_t i = 0; i < count; ++i) p[i] = padded[i];
    }

    template <class Operation, class... In>
    static void map(Word* out, std::size_t n, Operation operation, const In*... in) {
        std::size_t i = 0;
        for (; i + kLanes <= n; i += kLanes) Simd::store(out + i, operation(Simd::load(in + i)...));
        if (i < n) store_part(out + i, operation(load_part(in + i, n - i)...), n - i);
    }

    static void add(Word* out, const Word* a, const Word* b, std::size_t n, const Modulus& m) {
        const Field f(m);
        map(out, n, [&](auto x, auto y) { return f.add(x, y); }, a, b);
    }

    static void subtract(Word* out, const Word* a, const Word* b, std::size_t n, const Modulus& m) {
        const Field f(m);
        map(out, n, [&](auto x, auto y) { return f.subtract(x, y); }, a, b);
    }

    static void multiply(Word* out, const Word* a, const Word* b, std::size_t n, const Modulus& m) {
        const Field f(m);
        map(out, n, [&](auto x, auto y) { return f.multiply(x, y); }, a, b);
    }

    static void multiply_add(Word* out, const Word* a, const Word* b, std::size_t n,
                             const Modulus& m) {
        const Field f(m);
        map(
            out, n, [&](auto o, auto x, auto y) { return f.multiply_add(o, x, y); },
            static_cast<const Word*>(out), a, b);
    }

    static void multiply_scalar(Word* out, const Word* a, ShoupFactor factor, std::size_t n,
                                const Modulus& m) {
        const Field f(m);
        const typename Simd::Scalar w(factor, m);
        map(out, n, [&](auto x) { return f.multiply_scalar(x, w); }, a);
    }

    static void multiply_scalar_add(Word* out, const Word* a, ShoupFactor factor, std::size_t n,
                                    const Modulus& m) {
        const Field f(m);
        const typename Simd::Scalar w(factor, m);
        map(
            out, n, [&](auto o, auto x) { return f.multiply_scalar_add(o, x, w); },
            static_cast<const Word*>(out), a);
    }

    static void subtract_multiply_scalar(Word* out, const Word* a, const Word* b,
                                         ShoupFactor factor, std::size_t n, const Modulus& m) {
        const Field f(m);
        const typename Simd::Scalar w(factor, m);
        map(out, n, [&](auto x, auto y) { return f.subtract_multiply_scalar(x, y, w); }, a, b);
    }

    static void lift(Word* out, const Word* a, std::size_t n, const Modulus& m) {
        const Field f(m);
        map(out, n, [&](auto x) { return f.lift_word(x); }, a);
    }

    static void reduce(Word* out, const Word* a, std::size_t n, const Modulus& m) {
        const Field f(m);
        map(out, n, [&](auto x) { return f.reduce(x); }, a);
    }
};

// How a sum of products ends: reduced, or over 2^52 and reduced, or over 2^52 and below 4q. `bound`
// as for Dividing, for sums over 2^52.
template <class Simd>
struct Reduced {
    typename Simd::Summing summing;
    Reduced(const Modulus& m, std::size_t terms) : summing(m, terms) {}
    auto operator()(typename Simd::Sum sum) const { return summing.finish(sum); }
};

template <class Simd, std::size_t bound, bool lazy>
struct Divided {
    typename Simd::template Dividing<bound> dividing;
    Divided(const Modulus& m, std::size_t terms) : dividing(m, terms) {}
    auto operator()(typename Simd::Sum sum) const {
        return lazy ? dividing.finish_lazy(sum) : dividing.finish(sum);
    }
};

constexpr std::size_t kNoBound = kMaxTerms;

// Sums of products: the accumulators of kWidth vectors stay in registers over all the terms.
template <class Simd>
struct Sums {
    using Sum = typename Simd::Sum;
    static constexpr std::size_t kLanes = Simd::kLanes;
    static constexpr std::size_t kWidth = Simd::kSumWidth;

    template <std::size_t width, class Finish, class Term>
    static void strip(Word* out, std::size_t terms, const Finish& finish, Term term) {
        Sum sums[width];
        for (Sum& sum : sums) sum = Simd::zero();
        for (std::size_t t = 0; t < terms; ++t) term(t, sums);
        for (std::size_t s = 0; s < width; ++s) Simd::store(out + s * kLanes, finish(sums[s]));
    }

    // term(t, i, load, sums): add the products of term t at positions i ... to the sums.
    template <class Finish, class Term>
    static void run(Word* out, std::size_t terms, std::size_t n, const Modulus& m, Term term) {
        const Finish finish(m, terms);
        const auto whole = [](const Word* p) { return Simd::load(p); };
        std::size_t i = 0;
        for (; i + kWidth * kLanes <= n; i += kWidth * kLanes) {
            strip<kWidth>(out + i, terms, finish,
                          [&](std::size_t t, Sum(&sums)[kWidth]) { term(t, i, whole, sums); });
        }
        for (; i + kLanes <= n; i += kLanes) {
            strip<1>(out + i, terms, finish,
                     [&](std::size_t t, Sum(&sums)[1]) { term(t, i, whole, sums); });
        }
        if (i < n) {
            const std::size_t count = n - i;
            const auto part = [&](const Word* p) { return Pointwise<Simd>::load_part(p, count); };
            Word padded[kLanes];
            strip<1>(padded, terms, finish,
                     [&](std::size_t t, Sum(&sums)[1]) { term(t, i, part, sums); });
            for (std::size_t j = 0; j < count; ++j) out[i + j] = padded[j];
        }
    }

    template <class Finish>
    static void products(Word* out, const Word* const* a, const Word* const* b, std::size_t terms,
                         std::size_t n, const Modulus& m) {
        run<Finish>(out, terms, n, m, [&](std::size_t t, std::size_t i, auto load, auto& sums) {
            const Word* x = a[t] + i;
            const Word* y = b[t] + i;
            for (Sum& sum : sums) {
                sum = Simd::accumulate(sum, Simd::operand(load(x)), Simd::operand(load(y)));
                x += kLanes;
                y += kLanes;
            }
        });
    }

    static void dot_product(Word* out, const Word* const* a, const Word* const* b,
                            std::size_t terms, std::size_t n, const Modulus& m) {
        products<Reduced<Simd>>(out, a, b, terms, n, m);
    }

    static void scaled_dot_product(Word* out, const Word* const* a, const Word* const* b,
                                   std::size_t terms, std::size_t n, const Modulus& m) {
        if (terms == 1) {
            const typename Simd::ScaledProduct product(m);
            const auto run = [&](auto x, auto y) { return product(x, y); };
            return Pointwise<Simd>::map(out, n, run, a[0], b[0]);
        }
        if (terms <= 4) return products<Divided<Simd, 4, false>>(out, a, b, terms, n, m);
        products<Divided<Simd, kNoBound, false>>(out, a, b, terms, n, m);
    }

    template <std::size_t width, class Load, class Store>
    static void rounded_strip(Word* out, const Word* const* x, std::size_t at,
                              const double* factors, std::size_t terms, Load load, Store store) {
        typename Simd::Real sums[width];
        for (auto& sum : sums) sum = Simd::real(0);
        for (std::size_t t = 0; t < terms; ++t) {
            const typename Simd::Real factor = Simd::real(factors[t]);
            for (std::size_t s = 0; s < width; ++s) {
                const typename Simd::Real value = Simd::to_real(load(x[t] + at + s * kLanes));
                sums[s] = Simd::plus_product(sums[s], value, factor);
            }
        }
        for (std::size_t s = 0; s < width; ++s) store(out + s * kLanes, Simd::to_word(sums[s]));
    }

    static void rounded_sum(Word* out, const Word* const* x, std::size_t offset,
                            const double* factors, std::size_t terms, std::size_t n) {
        const auto load = [](const Word* p) { return Simd::load(p); };
        const auto store = [](Word* p, auto v) { Simd::store(p, v); };
        std::size_t i = 0;
        for (; i + kWidth * kLanes <= n; i += kWidth * kLanes) {
            rounded_strip<kWidth>(out + i, x, offset + i, factors, terms, load, store);
        }
        for (; i + kLanes <= n; i += kLanes) {
            rounded_strip<1>(out + i, x, offset + i, factors, terms, load, store);
        }
        if (i < n) {
            const std::size_t count = n - i;
            rounded_strip<1>(
                out + i, x, offset + i, factors, terms,
                [&](const Word* p) { return Pointwise<Simd>::load_part(p, count); },
                [&](Word* p, auto v) { Pointwise<Simd>::store_part(p, v, count); });
        }
    }

    static void permute(Word* out, const Word* in, const std::uint32_t* index, std::size_t n) {
        constexpr auto kFirst = ~static_cast<std::uint32_t>(kBlock - 1);
        for (std::size_t i = 0; i < n; i += kBlock) {
            Word pattern[kBlock];
            for (std::size_t j = 0; j < kBlock; ++j) pattern[j] = index[i + j] % kBlock;
            Simd::permute_block(out + i, in + (index[i] & kFirst), pattern);
        }
    }

    template <class Finish>
    static void weighted(Word* out, const Word* const* x, std::size_t offset, const Word* w,
                         std::size_t terms, std::size_t n, const Modulus& m) {
        run<Finish>(out, terms, n, m, [&](std::size_t t, std::size_t i, auto load, auto& sums) {
            const Word* p = x[t] + offset + i;
            const typename Simd::Operand weight = Simd::broadcast(w[t]);
            for (Sum& sum : sums) {
                sum = Simd::accumulate(sum, Simd::operand(load(p)), weight);
                p += kLanes;
            }
        });
    }

    template <bool lazy>
    static void weighted_sum(Word* out, const Word* const* x, std::size_t offset, const Word* w,
                             std::size_t terms, std::size_t n, const Modulus& m) {
        if (terms <= 4) return weighted<Divided<Simd, 1, lazy>>(out, x, offset, w, terms, n, m);
        if (terms <= 16) return weighted<Divided<Simd, 4, lazy>>(out, x, offset, w, terms, n, m);
        weighted<Divided<Simd, kNoBound, lazy>>(out, x, offset, w, terms, n, m);
    }
};

// Key products: both polynomials of a strip stay in registers until they are stored where they go.
template <class Simd>
struct KeyProducts {
    using Field = typename Simd::Field;
    static constexpr std::size_t kLanes = Simd::kLanes;
    static constexpr std::size_t kWidth = Simd::kSumWidth / 2;  // vectors of each polynomial
    static constexpr std::size_t kBlockVectors = kBlock / kLanes;
    static_assert(kKeyStrip % (kWidth * kLanes) == 0 && kWidth % kBlockVectors == 0);

    // A null pointer of steps: nothing moves.
    static void place(Word* const* out, const typename Simd::Vec (&values)[2][kWidth],
                      std::size_t width, const KeyProduct& job, std::size_t i,
                      std::size_t last_block, const Field& field) {
        for (std::size_t s = 0; s < width; s += kBlockVectors, i += kBlock) {
            const std::uint32_t step = job.steps == nullptr ? 0 : job.steps[i / kBlock];
            const std::size_t target =
                job.steps == nullptr ? i : (step / kBlock & last_block) * kBlock;
            for (std::size_t k = 0; k < 2; ++k) {
                Word moved[kBlock];
                Word* const to = job.bases[k] == nullptr ? out[k] + target : moved;
                if (job.steps == nullptr) {
                    for (std::size_t v = 0; v < kBlockVectors; ++v) {
                        Simd::store(to + v * kLanes, values[k][s + v]);
                    }
                } else {
                    Simd::place_block(to, values[k] + s, job.patterns[step % kBlock]);
                }
                if (job.bases[k] == nullptr) continue;
                for (std::size_t j = 0; j < kBlock; j += kLanes) {
                    const auto base = Simd::load(job.bases[k] + target + j);
                    Simd::store(out[k] + target + j, field.add(Simd::load(moved + j), base));
                }
            }
        }
    }

    // width vectors from position i, whose keys begin at `key` and lie `strip` apart.
    template <std::size_t fixed, std::size_t width, class KeySums>
    static void part(Word* const* out, const KeyProduct& job, const Word* key, std::size_t strip,
                     std::size_t i, std::size_t last_block, const KeySums& dividing,
                     const Field& field) {
        const std::size_t terms = fixed != 0 ? fixed : job.terms;
        const typename Simd::Operand factor = Simd::broadcast(job.factor);
        typename KeySums::Sum sums[2][width];
        for (std::size_t k = 0; k < 2; ++k) {
            const Word* const addend = job.addends[k];
            for (std::size_t s = 0; s < width; ++s) {
                sums[k][s] = addend == nullptr
                                 ? KeySums::zero_product()
                                 : KeySums::accumulate(
                                       KeySums::zero(),
                                       Simd::operand(Simd::load(addend + i + s * kLanes)), factor);
            }
        }
        for (std::size_t t = 0; t < terms; ++t, key += 2 * strip) {
            const Word* const from = job.digits[t] + i;
            for (std::size_t s = 0; s < width; ++s) {
                const typename Simd::Operand digit = Simd::operand(Simd::load(from + s * kLanes));
                for (std::size_t k = 0; k < 2; ++k) {
                    const Word* const at = key + k * strip + s * kLanes;
                    sums[k][s] =
                        KeySums::accumulate(sums[k][s], digit, Simd::operand(Simd::load(at)));
                }
            }
        }
        typename Simd::Vec values[2][kWidth];
        for (std::size_t k = 0; k < 2; ++k) {
            for (std::size_t s = 0; s < width; ++s) values[k][s] = dividing.finish(sums[k][s]);
        }
        place(out, values, width, job, i, last_block, field);
    }

    // fixed: the number of terms where it is known when this is compiled, or 0.
    template <std::size_t fixed>
    static void with_terms(Word* const* out, const KeyProduct& job, std::size_t n,
                           const Modulus& m) {
        constexpr std::size_t kBound = fixed == 0 ? kNoBound : fixed < 4 ? 1 : 2;
        constexpr std::size_t kLine = 8;  // words
        const typename Simd::template KeySums<kBound> dividing(m, job.terms + 1);
        const Field field(m);
        const std::size_t strip = n < kKeyStrip ? n : kKeyStrip;
        const std::size_t last_block = n / kBlock - 1;
        const std::size_t key_words = 2 * job.key_terms * strip;
        const Word* key = job.key;
        const Word* ahead_key = job.ahead_key;
        for (std::size_t i = 0; i < n; i += strip, key += key_words) {
            for (std::size_t p = 0; p < job.ahead_count; ++p) {
                const Word* const ahead = job.ahead[p] + i;
                for (std::size_t j = 0; j < strip; j += kLine) __builtin_prefetch(ahead + j, 0, 2);
            }
            if (ahead_key != nullptr) {
                const std::size_t words = 2 * job.terms * strip;
                for (std::size_t j = 0; j < words; j += kLine) {
                    __builtin_prefetch(ahead_key + j, 0, 2);
                }
                ahead_key += key_words;
            }
            std::size_t j = 0;
            for (; j + kWidth * kLanes <= strip; j += kWidth * kLanes) {
                part<fixed, kWidth>(out, job, key + j, strip, i + j, last_block, dividing, field);
            }
            for (; j < strip; j += kBlock) {
                part<fixed, kBlockVectors>(out, job, key + j, strip, i + j, last_block, dividing,
                                           field);
            }
        }
    }

    static void run(Word* const* out, const KeyProduct& job, std::size_t n, const Modulus& m) {
        switch (job.terms) {
            case 1:
                return with_terms<1>(out, job, n, m);
            case 2:
                return with_terms<2>(out, job, n, m);
            case 3:
                return with_terms<3>(out, job, n, m);
            case 4:
                return with_terms<4>(out, job, n, m);
            default:
                return with_terms<0>(out, job, n, m);
        }
    }
};

// The same for kSumsAtOnce sums that share their operands: each vector of x is loaded once for all.
template <class Simd>
struct SharedSums {
    using Sum = typename Simd::Sum;
    static constexpr std::size_t kLanes = Simd::kLanes;
    static constexpr std::size_t kCount = kSumsAtOnce;
    static constexpr std::size_t kWidth = Simd::kSumWidth / kCount;

    // load(p): a vector at p; store(p, v): write it. finish: one for all sums, or one for each.
    template <std::size_t width, class Finish, std::size_t moduli, class Load, class Store>
    static void strip(Word* const* out, const Word* const* x, std::size_t offset, std::size_t i,
                      const Word* w, std::size_t terms, const Finish (&finish)[moduli], Load load,
                      Store store) {
        Sum sums[kCount][width];
        for (auto& row : sums) {
            for (Sum& sum : row) sum = Simd::zero();
        }
        for (std::size_t t = 0; t < terms; ++t, w += kCount) {
            const Word* p = x[t] + offset + i;
            typename Simd::Operand values[width];
            for (std::size_t s = 0; s < width; ++s) {
                values[s] = Simd::operand(load(p + s * kLanes));
            }
            for (std::size_t k = 0; k < kCount; ++k) {
                const typename Simd::Operand weight = Simd::broadcast(w[k]);
                for (std::size_t s = 0; s < width; ++s) {
                    sums[k][s] = Simd::accumulate(sums[k][s], values[s], weight);
                }
            }
        }
        for (std::size_t k = 0; k < kCount; ++k) {
            for (std::size_t s = 0; s < width; ++s) {
                store(out[k] + i + s * kLanes, finish[k % moduli](sums[k][s]));
            }
        }
    }

    template <class Finish, std::size_t moduli>
    static void all(Word* const* out, const Word* const* x, std::size_t offset, const Word* w,
                    std::size_t terms, std::size_t n, const Finish (&finish)[moduli]) {
        const auto load = [](const Word* p) { return Simd::load(p); };
        const auto store = [](Word* p, auto v) { Simd::store(p, v); };
        std::size_t i = 0;
        for (; i + kWidth * kLanes <= n; i += kWidth * kLanes) {
            strip<kWidth>(out, x, offset, i, w, terms, finish, load, store);
        }
        for (; i + kLanes <= n; i += kLanes) {
            strip<1>(out, x, offset, i, w, terms, finish, load, store);
        }
        if (i < n) {
            const std::size_t count = n - i;
            strip<1>(
                out, x, offset, i, w, terms, finish,
                [&](const Word* p) { return Pointwise<Simd>::load_part(p, count); },
                [&](Word* p, auto v) { Pointwise<Simd>::store_part(p, v, count); });
        }
    }

    template <class Finish>
    static void with_moduli(Word* const* out, const Word* const* x, std::size_t offset,
                            const Word* w, std::size_t terms, std::size_t n,
                            const Modulus* const* m) {
        static_assert(kCount == 4);
        if constexpr (Simd::kManyRegisters) {
            if (m[0] == m[1] && m[0] == m[2] && m[0] == m[3]) {  // fewer constants to set up
                const Finish finish[] = {Finish(*m[0], terms)};
                return all(out, x, offset, w, terms, n, finish);
            }
        }
        const Finish finish[] = {Finish(*m[0], terms), Finish(*m[1], terms), Finish(*m[2], terms),
                                 Finish(*m[3], terms)};
        all(out, x, offset, w, terms, n, finish);
    }

    template <bool lazy>
    static void run(Word* const* out, const Word* const* x, std::size_t offset, const Word* w,
                    std::size_t terms, std::size_t n, const Modulus* const* m) {
        if (terms <= 4) return with_moduli<Divided<Simd, 1, lazy>>(out, x, offset, w, terms, n, m);
        if (terms <= 16) {
            return with_moduli<Divided<Simd, 4, lazy>>(out, x, offset, w, terms, n, m);
        }
        with_moduli<Divided<Simd, kNoBound, lazy>>(out, x, offset, w, terms, n, m);
    }
};

// Node k of the transform's binary tree (root 1, children 2k and 2k+1) is a block of consecutive
// residues whose halves meet in one layer of butterflies with the twiddle roots[k]. A pass does the
// layers of a node and of its children at once (radix 4). The tail does all layers of one node of
// kTail vectors, or of two nodes of half as many (the parity of the number of layers decides):
// first those that pair whole vectors, then those within vectors. Blocks that fit the L1 cache are
// finished before the next one is touched. Butterflies of one layer stand side by side in the code,
// as the processor's window is too short to find the next independent ones.
template <class Simd>
struct Transform {
    using Ntt = typename Simd::Ntt;
    using Vec = typename Ntt::Vec;
    using Twiddle = typename Ntt::Twiddle;
    static constexpr std::size_t kLanes = Simd::kLanes;
    static constexpr std::size_t kTail = Simd::kTailVectors;
    static constexpr std::size_t kColumns = Simd::kPassColumns;
    static constexpr std::size_t kShortest = 2 * kTail * kLanes;  // one pass and the shorter tail
    static constexpr std::size_t kCached = 4096;                  // words: 32 KiB of a 48 KiB cache
    // A pass of the shortest part, whose legs it takes by halves.
    static_assert(kTail % (4 * kColumns) == 0, "half a leg must be whole columns");

    // Two layers between the four legs of columns of vectors. Where columns lie in the second half
    // of their leg, the next layer only multiplies them: all columns from `factors` on do.
    template <std::size_t factors, std::size_t columns>
    static void forward_legs(Vec (&x)[4][columns], const Twiddle& w1, const Twiddle& w2,
                             const Twiddle& w3, const Ntt& ntt) {
        for (std::size_t c = 0; c < columns; ++c) {
            ntt.forward_settle(x[0][c]);
            ntt.forward_settle(x[1][c]);
            ntt.template forward_butterfly<false>(x[0][c], x[2][c], w1);
            ntt.template forward_butterfly<true>(x[1][c], x[3][c], w1);
        }
        for (std::size_t c = 0; c < factors; ++c) {
            ntt.template forward_butterfly<false>(x[0][c], x[1][c], w2);
            ntt.template forward_butterfly<false>(x[2][c], x[3][c], w3);
        }
        for (std::size_t c = factors; c < columns; ++c) {
            ntt.template forward_butterfly<true>(x[0][c], x[1][c], w2);
            ntt.template forward_butterfly<true>(x[2][c], x[3][c], w3);
        }
    }

    template <bool first>
    static void forward_pass(Word* a, std::size_t size, std::size_t k, Roots roots,
                             const Ntt& ntt) {
        const std::size_t t = size / 4;
        const Twiddle w1 = ntt.broadcast(roots, k);
        const Twiddle w2 = ntt.broadcast(roots, 2 * k);
        const Twiddle w3 = ntt.broadcast(roots, 2 * k + 1);
        forward_columns<first, kColumns>(a, t / 2, t, w1, w2, w3, ntt);
        forward_columns<first, 0>(a + t / 2, t / 2, t, w1, w2, w3, ntt);
    }

    // The first `count` words of each leg; legs are t words apart.
    template <bool first, std::size_t factors>
    static void forward_columns(Word* a, std::size_t count, std::size_t t, const Twiddle& w1,
                                const Twiddle& w2, const Twiddle& w3, const Ntt& ntt) {
        for (Word* p = a; p != a + count; p += kColumns * kLanes) {
            Vec x[4][kColumns];
            for (std::size_t leg = 0; leg < 4; ++leg) {
                for (std::size_t c = 0; c < kColumns; ++c) {
                    x[leg][c] = ntt.template load<first>(p + leg * t + c * kLanes);
                }
            }
            forward_legs<factors>(x, w1, w2, w3, ntt);
            for (std::size_t leg = 0; leg < 4; ++leg) {
                for (std::size_t c = 0; c < kColumns; ++c) {
                    ntt.store(p + leg * t + c * kLanes, x[leg][c]);
                }
            }
        }
    }

    // The layers that pair whole vectors, for the `nodes` nodes from nodes * k that x holds.
    template <std::size_t nodes>
    static void forward_layers(Vec* x, std::size_t k, Roots roots, const Ntt& ntt) {
        constexpr std::size_t half = kTail / nodes / 2;
        if constexpr (half > 0) {
            for (std::size_t i = 0; i < nodes; ++i) {
                const Twiddle w = ntt.broadcast(roots, nodes * k + i);
                Vec* const y = x + 2 * half * i;
                // Of a second half, the next layer of vectors only multiplies what comes out.
                constexpr std::size_t added = half == 1 ? 1 : half / 2;
                for (std::size_t j = 0; j < added; ++j) {
                    ntt.template forward_butterfly<false>(y[j], y[j + half], w);
                }
                for (std::size_t j = added; j < half; ++j) {
                    ntt.template forward_butterfly<true>(y[j], y[j + half], w);
                }
            }
            forward_layers<2 * nodes>(x, k, roots, ntt);
        }
    }

    template <std::size_t nodes>
    static void inverse_layers(Vec* x, std::size_t k, Roots roots, const Ntt& ntt) {
        constexpr std::size_t half = kTail / nodes / 2;
        if constexpr (half > 0) {
            inverse_layers<2 * nodes>(x, k, roots, ntt);
            for (std::size_t i = 0; i < nodes; ++i) {
                const Twiddle w = ntt.broadcast(roots, nodes * k + i);
                Vec* const y = x + 2 * half * i;
                for (std::size_t j = 0; j < half; ++j) {
                    ntt.inverse_butterfly(y[j], y[j + half], w);
                }
            }
        }
    }

    // Whether vector j of a tail is in the first half of its node.
    template <std::size_t nodes>
    static constexpr bool first_half(std::size_t j) {
        return j % (kTail / nodes) < kTail / nodes / 2;
    }

    // `count` times kTail vectors, each with the nodes from nodes * (k + i).
    template <std::size_t nodes>
    static void forward_tail(Word* a, std::size_t count, std::size_t k, Roots roots,
                             const Ntt& ntt) {
        for (std::size_t i = 0; i < count; ++i, a += kTail * kLanes) {
            Vec x[kTail];
            for (std::size_t j = 0; j < kTail; ++j) {
                x[j] = ntt.template load<false>(a + j * kLanes);
                if (first_half<nodes>(j)) ntt.forward_settle(x[j]);
            }
            forward_layers<nodes>(x, k + i, roots, ntt);
            ntt.template forward_within<kTail>(x, kTail * (k + i), roots);
            for (std::size_t j = 0; j < kTail; ++j) {
                Simd::store(a + j * kLanes, ntt.forward_finish(x[j]));
            }
        }
    }

    template <std::size_t nodes>
    static void inverse_tail(Word* a, const Word* from, std::size_t count, std::size_t k,
                             Roots roots, const Ntt& ntt) {
        for (std::size_t i = 0; i < count; ++i, a += kTail * kLanes, from += kTail * kLanes) {
            Vec x[kTail];
            ntt.template inverse_load<kTail>(x, from, kTail * (k + i));
            ntt.template inverse_within<kTail>(x, kTail * (k + i), roots);
            for (std::size_t j = 0; j < kTail; ++j) ntt.inverse_settle(x[j]);
            inverse_layers<nodes>(x, k + i, roots, ntt);
            for (std::size_t j = 0; j < kTail; ++j) {
                if (first_half<nodes>(j)) ntt.inverse_settle(x[j]);
                ntt.store(a + j * kLanes, x[j]);
            }
        }
    }

    template <bool first>
    static void forward_block(Word* a, std::size_t size, std::size_t k, Roots roots,
                              const Ntt& ntt) {
        forward_pass<first>(a, size, k, roots, ntt);
        forward_parts(a, size, k, roots, ntt);
    }

    // What follows the first pass.
    static void forward_parts(Word* a, std::size_t size, std::size_t k, Roots roots,
                              const Ntt& ntt) {
        std::size_t part = size / 4;
        if (size > kCached) {
            for (std::size_t s = 0; s < 4; ++s) {
                forward_block<false>(a + s * part, part, 4 * k + s, roots, ntt);
            }
            return;
        }
        std::size_t count = 4;
        for (; part > kTail * kLanes; part /= 4, count *= 4) {
            for (std::size_t i = 0; i < count; ++i) {
                forward_pass<false>(a + i * part, part, count * k + i, roots, ntt);
            }
        }
        if (part == kTail * kLanes) {
            forward_tail<1>(a, count, count * k, roots, ntt);
        } else {
            forward_tail<2>(a, count / 2, count / 2 * k, roots, ntt);
        }
    }

    template <bool last>
    static void inverse_pass(Word* a, std::size_t size, std::size_t k, Roots roots,
                             const Ntt& ntt) {
        const std::size_t t = size / 4;
        const Twiddle w1 = ntt.broadcast(roots, k);
        const Twiddle w2 = ntt.broadcast(roots, 2 * k);
        const Twiddle w3 = ntt.broadcast(roots, 2 * k + 1);
        for (Word* p = a; p != a + t; p += kColumns * kLanes) {
            Vec x[4][kColumns];
            for (std::size_t leg = 0; leg < 4; ++leg) {
                for (std::size_t c = 0; c < kColumns; ++c) {
                    x[leg][c] = ntt.template load<false>(p + leg * t + c * kLanes);
                }
            }
            for (std::size_t c = 0; c < kColumns; ++c) {
                ntt.inverse_butterfly(x[0][c], x[1][c], w2);
                ntt.inverse_butterfly(x[2][c], x[3][c], w3);
            }
            for (std::size_t c = 0; c < kColumns; ++c) {
                Word* const out = p + c * kLanes;
                if constexpr (last) {
                    Simd::store(out, ntt.scaled_sum(x[0][c], x[2][c]));
                    Simd::store(out + t, ntt.scaled_sum(x[1][c], x[3][c]));
                    Simd::store(out + 2 * t, ntt.scaled_difference(x[0][c], x[2][c]));
                    Simd::store(out + 3 * t, ntt.scaled_difference(x[1][c], x[3][c]));
                } else {
                    ntt.inverse_butterfly(x[0][c], x[2][c], w1);
                    ntt.inverse_butterfly(x[1][c], x[3][c], w1);
                    ntt.inverse_settle(x[0][c]);
                    ntt.inverse_settle(x[1][c]);
                    for (std::size_t leg = 0; leg < 4; ++leg) ntt.store(out + leg * t, x[leg][c]);
                }
            }
        }
    }

    // Nothing but the tails reads from `from`, which may be a.
    template <bool last>
    static void inverse_block(Word* a, const Word* from, std::size_t size, std::size_t k,
                              Roots roots, const Ntt& ntt) {
        inverse_parts(a, from, size, k, roots, ntt);
        inverse_pass<last>(a, size, k, roots, ntt);
    }

    // What comes before the last pass.
    static void inverse_parts(Word* a, const Word* from, std::size_t size, std::size_t k,
                              Roots roots, const Ntt& ntt) {
        if (size > kCached) {
            for (std::size_t s = 0; s < 4; ++s) {
                const std::size_t at = s * (size / 4);
                inverse_block<false>(a + at, from + at, size / 4, 4 * k + s, roots, ntt);
            }
        } else {
            std::size_t part = size / 4;
            while (part > kTail * kLanes) part /= 4;
            std::size_t count = size / part;
            if (part == kTail * kLanes) {
                inverse_tail<1>(a, from, count, count * k, roots, ntt);
            } else {
                inverse_tail<2>(a, from, count / 2, count / 2 * k, roots, ntt);
            }
            for (part *= 4, count /= 4; count > 1; part *= 4, count /= 4) {
                for (std::size_t i = 0; i < count; ++i) {
                    inverse_pass<false>(a + i * part, part, count * k + i, roots, ntt);
                }
            }
        }
    }

    static void forward(Word* a, std::size_t length, const NttTables& tables) {
        if (length < kShortest) return Simd::shorter().ntt_forward(a, length, tables);
        const Roots roots{tables.roots.data(), tables.roots_shoup.data()};
        forward_block<true>(a, length, 1, roots, Ntt(tables.modulus, roots, length));
    }

    static void inverse(Word* out, const Word* a, std::size_t length, const NttTables& tables,
                        Word factor) {
        if (length < kShortest) return Simd::shorter().ntt_inverse(out, a, length, tables, factor);
        const Roots roots{tables.inverse_roots.data(), tables.inverse_roots_shoup.data()};
        const Ntt ntt = scaling(1, length, roots, tables.modulus, factor);
        inverse_block<true>(out, a, length, 1, roots, ntt);
    }

    // An element of the real ring of degree N is one of the ring of degree 2N whose coefficients
    // from N on are those before, negated and backwards. The first layer of that ring's transform
    // makes two halves of it, of which the first holds all values (the other holds the same ones):
    // entry j becomes x_j - w x_(N - j), w = roots[1] a square root of -1, and entry 0 stays.
    static void real_forward(Word* a, std::size_t length, const NttTables& tables) {
        if (length < kShortest) return Simd::shorter().real_ntt_forward(a, length, tables);
        const Roots roots{tables.roots.data(), tables.roots_shoup.data()};
        const Ntt ntt(tables.modulus, roots, 2 * length);
        folding_pass(a, length, roots, ntt);
        forward_parts(a, length, 2, roots, ntt);
    }

    // Up to a factor of 2 the folding is undone by one with -w, which is inverse_roots[1].
    static void real_inverse(Word* out, const Word* a, std::size_t length, const NttTables& tables,
                             Word factor) {
        if (length < kShortest) {
            return Simd::shorter().real_ntt_inverse(out, a, length, tables, factor);
        }
        const Roots roots{tables.inverse_roots.data(), tables.inverse_roots_shoup.data()};
        const Ntt ntt = scaling(2, length, roots, tables.modulus, factor);
        inverse_parts(out, a, length, 2, roots, ntt);
        unfolding_pass(out, length, roots, ntt);
    }

  private:
    // For the layers below node `top`, 1 or 2, which are undone, times factor / (top * length).
    static Ntt scaling(std::size_t top, std::size_t length, Roots roots, const Modulus& m,
                       Word factor) {
        Ntt ntt(m, roots, top * length);
        const ShoupFactor scale = over_length(factor, top * length, m);
        ntt.set_scale(scale, ShoupFactor(multiply_mod(scale.value, roots.values[top], m.q), m));
        return ntt;
    }

    // Offset j of leg l is folded with offset size / 4 - j of leg 3 - l. So of two columns one is
    // counted from the start and one, its lanes reversed, from the end; in the middle one entry is
    // in both, and comes out the same. Offset 0 is folded with that of the next leg: see
    // fold_first.
    // w: minus the square root of -1.
    static void fold(Vec (&x)[4][2], const Twiddle& w, const Ntt& ntt) {
        Vec folded[4][2];
        for (std::size_t leg = 0; leg < 4; ++leg) {
            for (std::size_t c = 0; c < 2; ++c) {
                folded[leg][c] = ntt.folded(x[leg][c], x[3 - leg][1 - c], w);
            }
        }
        for (std::size_t leg = 0; leg < 4; ++leg) {
            for (std::size_t c = 0; c < 2; ++c) x[leg][c] = folded[leg][c];
        }
    }

    // All but entry 0, which has no partner.
    static void fold_first(Vec (&x)[4][1], const Twiddle& w, const Ntt& ntt) {
        const Vec third = ntt.folded(x[3][0], x[1][0], w);
        x[1][0] = ntt.folded(x[1][0], x[3][0], w);
        x[2][0] = ntt.folded(x[2][0], x[2][0], w);
        x[3][0] = third;
    }

    // The fold and the first pass in one.
    static void folding_pass(Word* a, std::size_t size, Roots roots, const Ntt& ntt) {
        const std::size_t t = size / 4;
        const Twiddle w = ntt.minus(ntt.broadcast(roots, 1)), w1 = ntt.broadcast(roots, 2);
        const Twiddle w2 = ntt.broadcast(roots, 4), w3 = ntt.broadcast(roots, 5);
        Vec first[4][1];
        Word lanes[4][kLanes] = {};
        for (std::size_t leg = 0; leg < 4; ++leg) {
            lanes[leg][0] = a[leg * t];
            first[leg][0] = ntt.template load<true>(lanes[leg]);
        }
        fold_first(first, w, ntt);
        forward_legs<1>(first, w1, w2, w3, ntt);
        for (std::size_t leg = 0; leg < 4; ++leg) {
            ntt.store(lanes[leg], first[leg][0]);
            a[leg * t] = lanes[leg][0];
        }
        Word* high = a + t - kLanes;
        for (Word* low = a + 1; low < high + kLanes; low += kLanes, high -= kLanes) {
            Vec x[4][2];
            for (std::size_t leg = 0; leg < 4; ++leg) {
                x[leg][0] = ntt.template load<true>(low + leg * t);
                x[leg][1] = Ntt::reversed(ntt.template load<true>(high + leg * t));
            }
            fold(x, w, ntt);
            forward_legs<1>(x, w1, w2, w3, ntt);  // the second column is from the second half
            for (std::size_t leg = 0; leg < 4; ++leg) {
                ntt.store(low + leg * t, x[leg][0]);
                ntt.store(high + leg * t, Ntt::reversed(x[leg][1]));
            }
        }
    }

    // The last two layers of the inverse; what is left to do is to reduce.
    template <std::size_t columns>
    static void scaled_legs(Vec (&x)[4][columns], const Twiddle& w2, const Twiddle& w3,
                            const Ntt& ntt) {
        for (std::size_t c = 0; c < columns; ++c) {
            ntt.inverse_butterfly(x[0][c], x[1][c], w2);
            ntt.inverse_butterfly(x[2][c], x[3][c], w3);
            const Vec sums[] = {ntt.lazy_sum(x[0][c], x[2][c]), ntt.lazy_sum(x[1][c], x[3][c])};
            x[2][c] = ntt.lazy_difference(x[0][c], x[2][c]);
            x[3][c] = ntt.lazy_difference(x[1][c], x[3][c]);
            x[0][c] = sums[0];
            x[1][c] = sums[1];
        }
    }

    // The last pass of the inverse and the fold in one.
    static void unfolding_pass(Word* a, std::size_t size, Roots roots, const Ntt& ntt) {
        const std::size_t t = size / 4;
        const Twiddle w = ntt.minus(ntt.broadcast(roots, 1));
        const Twiddle w2 = ntt.broadcast(roots, 4), w3 = ntt.broadcast(roots, 5);
        Vec first[4][1];
        Word lanes[4][kLanes] = {};
        for (std::size_t leg = 0; leg < 4; ++leg) {
            lanes[leg][0] = a[leg * t];
            first[leg][0] = ntt.template load<false>(lanes[leg]);
        }
        scaled_legs(first, w2, w3, ntt);
        fold_first(first, w, ntt);
        first[0][0] = ntt.doubled(first[0][0]);
        for (std::size_t leg = 0; leg < 4; ++leg) {
            Simd::store(lanes[leg], ntt.forward_finish(first[leg][0]));
            a[leg * t] = lanes[leg][0];
        }
        Word* high = a + t - kLanes;
        for (Word* low = a + 1; low < high + kLanes; low += kLanes, high -= kLanes) {
            Vec x[4][2];
            for (std::size_t leg = 0; leg < 4; ++leg) {
                x[leg][0] = ntt.template load<false>(low + leg * t);
                x[leg][1] = Ntt::reversed(ntt.template load<false>(high + leg * t));
            }
            scaled_legs(x, w2, w3, ntt);
            fold(x, w, ntt);
            for (std::size_t leg = 0; leg < 4; ++leg) {
                Simd::store(low + leg * t, ntt.forward_finish(x[leg][0]));
                Simd::store(high + leg * t, ntt.forward_finish(Ntt::reversed(x[leg][1])));
            }
        }
    }
};

// kBlock transforms side by side: every butterfly is between whole vectors.
template <class Simd>
struct BlockTransform {
    using Ntt = typename Simd::Ntt;
    static constexpr std::size_t kLanes = Simd::kLanes;

    // One layer at node k, which has `size` words; the last layer also reduces.
    template <bool first, bool last>
    static void layer(Word* a, std::size_t size, std::size_t k, Roots roots, const Ntt& ntt) {
        const auto w = ntt.broadcast(roots, k);
        Word* const b = a + size / 2;
        for (std::size_t i = 0; i < size / 2; i += kLanes) {
            auto x = ntt.template load<first>(a + i);
            auto y = ntt.template load<first>(b + i);
            ntt.forward_settle(x);
            ntt.template forward_butterfly<false>(x, y, w);
            if constexpr (last) {
                Simd::store(a + i, ntt.forward_finish(x));
                Simd::store(b + i, ntt.forward_finish(y));
            } else {
                ntt.store(a + i, x);
                ntt.store(b + i, y);
            }
        }
    }

    static void forward(Word* a, std::size_t length, const NttTables& tables) {
        below(a, length, 1, tables);
    }

    // As Transform::real_forward: an entry's partner in the folding is a whole vector away.
    static void real_forward(Word* a, std::size_t length, const NttTables& tables) {
        const Modulus& m = tables.modulus;
        const typename Simd::Field f(m);
        const typename Simd::Scalar w(ShoupFactor(tables.roots[1], m), m);
        for (std::size_t i = 1; i <= length / 2; ++i) {
            Word* const low = a + i * kBlock;
            Word* const high = a + (length - i) * kBlock;
            for (std::size_t k = 0; k < kBlock; k += kLanes) {
                const auto x = Simd::load(low + k);
                const auto y = Simd::load(high + k);
                Simd::store(low + k, f.subtract(x, f.multiply_scalar(y, w)));
                Simd::store(high + k, f.subtract(y, f.multiply_scalar(x, w)));
            }
        }
        below(a, length, 2, tables);
    }

  private:
    // The layers below node `top`, 1 or 2.
    static void below(Word* a, std::size_t length, std::size_t top, const NttTables& tables) {
        const Roots roots{tables.roots.data(), tables.roots_shoup.data()};
        const Ntt ntt(tables.modulus, roots, top * length);
        std::size_t size = length * kBlock;
        layer<true, false>(a, size, top, roots, ntt);
        std::size_t count = 2;
        for (; 2 * count < length; count *= 2) {
            size /= 2;
            for (std::size_t i = 0; i < count; ++i) {
                layer<false, false>(a + i * size, size, top * count + i, roots, ntt);
            }
        }
        size /= 2;
        for (std::size_t i = 0; i < count; ++i) {
            layer<false, true>(a + i * size, size, top * count + i, roots, ntt);
        }
    }
};

// Karatsuba: the unpacking and the products, three instead of four, take as long as the reading.
template <class Simd>
struct PackedProducts {
    using Vec = typename Simd::Vec;
    using Sum = typename Simd::Sum;
    static constexpr std::size_t kLanes = Simd::kLanes;
    static constexpr std::size_t kWidth = Simd::kPackedVectors;
    static_assert(kStrip % (kWidth * kLanes) == 0);

    // kWidth vectors of one strip, from position i on, for `count` blocks.
    template <std::size_t count>
    static void part(Word* const* out, const Word* plain, const std::uint8_t* const* packed,
                     std::size_t i, std::size_t at, std::size_t terms,
                     const typename Simd::Summing& summing, const typename Simd::Field& field) {
        constexpr std::size_t kTermBytes = 2 * kStrip * kPackedBytes;
        Sum sums[count][kWidth][3];
        for (auto& block : sums) {
            for (auto& column : block) {
                for (Sum& sum : column) sum = Simd::zero();
            }
        }
        const std::uint8_t* from[count];
        for (std::size_t b = 0; b < count; ++b) from[b] = packed[b] + i * kPackedBytes;
        for (std::size_t t = 0; t < terms; ++t, plain += 2 * kStrip) {
            for (std::size_t s = 0; s < kWidth; ++s) {
                const Word* p = plain + i + s * kLanes;
                const auto p0 = Simd::operand(Simd::load(p));
                const auto p1 = Simd::operand(Simd::load(p + kStrip));
                const auto both = Simd::plus(p0, p1);
                for (std::size_t b = 0; b < count; ++b) {
                    const std::uint8_t* q = from[b] + s * kLanes * kPackedBytes;
                    const auto t0 = Simd::operand(Simd::unpack(q));
                    const auto t1 = Simd::operand(Simd::unpack(q + kStrip * kPackedBytes));
                    Sum(&sum)[3] = sums[b][s];
                    sum[0] = Simd::accumulate(sum[0], p0, t0);
                    sum[1] = Simd::accumulate(sum[1], both, Simd::plus(t0, t1));
                    sum[2] = Simd::accumulate(sum[2], p1, t1);
                }
            }
            for (std::size_t b = 0; b < count; ++b) from[b] += kTermBytes;
        }
        for (std::size_t b = 0; b < count; ++b) {
            for (std::size_t s = 0; s < kWidth; ++s) {
                const Vec d0 = summing.finish(sums[b][s][0]);
                const Vec d2 = summing.finish(sums[b][s][2]);
                const Vec both = summing.finish(sums[b][s][1]);
                const std::size_t to = at + i + s * kLanes;
                Simd::store(out[3 * b] + to, d0);
                Simd::store(out[3 * b + 1] + to, field.subtract(field.subtract(both, d0), d2));
                Simd::store(out[3 * b + 2] + to, d2);
            }
        }
    }

    template <std::size_t count>
    static void blocks_at_once(Word* const* out, const Word* plain,
                               const std::uint8_t* const* packed, std::size_t terms,
                               std::size_t strips, const typename Simd::Summing& summing,
                               const typename Simd::Field& field) {
        const std::uint8_t* from[count];
        for (std::size_t strip = 0; strip < strips; ++strip) {
            const std::size_t offset = strip * terms * 2 * kStrip;
            for (std::size_t b = 0; b < count; ++b) from[b] = packed[b] + offset * kPackedBytes;
            for (std::size_t i = 0; i < kStrip; i += kWidth * kLanes) {
                part<count>(out, plain + offset, from, i, strip * kStrip, terms, summing, field);
            }
        }
    }

    static void run(Word* const* out, const Word* plain, const std::uint8_t* const* packed,
                    std::size_t blocks, std::size_t terms, std::size_t strips, const Modulus& m) {
        constexpr std::size_t kAtOnce = Simd::kPackedBlocks;
        const typename Simd::Summing summing(m, terms);
        const typename Simd::Field field(m);
        std::size_t b = 0;
        for (; b + kAtOnce <= blocks; b += kAtOnce) {
            blocks_at_once<kAtOnce>(out + 3 * b, plain, packed + b, terms, strips, summing, field);
        }
        for (; b < blocks; ++b) {
            blocks_at_once<1>(out + 3 * b, plain, packed + b, terms, strips, summing, field);
        }
    }
};

// Vector kernels compute with doubles or compare as such: with MXCSR as it is by default (nearest
// rounding, no traps, denormal numbers as they are), whatever other code of the process made of it.
struct DefaultState {
    static constexpr unsigned kDefault = 0x1f80, kFlags = 0x3f;  // flags only say what happened
    unsigned before = __builtin_ia32_stmxcsr();
    bool differs = (before & ~kFlags) != kDefault;
    DefaultState() { set(kDefault); }
    ~DefaultState() { set(before); }
    // What is read and written between two of these is not moved past them.
    void set(unsigned state) const {
        asm volatile("" ::: "memory");
        if (differs) __builtin_ia32_ldmxcsr(state);
        asm volatile("" ::: "memory");
    }
};

template <auto kernel>
struct Guarded;
template <class... In, void (*kernel)(In...)>
struct Guarded<kernel> {
    static void run(In... in) {
        const DefaultState state;
        kernel(in...);
    }
};

template <class Simd>
constexpr KernelTable make_table(const char* name) {
    using P = Pointwise<Simd>;
    using S = Sums<Simd>;
    return {name,
            Guarded<Transform<Simd>::forward>::run,
            Guarded<Transform<Simd>::inverse>::run,
            Guarded<Transform<Simd>::real_forward>::run,
            Guarded<Transform<Simd>::real_inverse>::run,
            Guarded<BlockTransform<Simd>::forward>::run,
            Guarded<BlockTransform<Simd>::real_forward>::run,
            Guarded<P::add>::run,
            Guarded<P::subtract>::run,
            Guarded<P::multiply>::run,
            Guarded<P::multiply_add>::run,
            Guarded<P::multiply_scalar>::run,
            Guarded<P::multiply_scalar_add>::run,
            Guarded<P::subtract_multiply_scalar>::run,
            Guarded<P::lift>::run,
            Guarded<P::reduce>::run,
            Guarded<S::dot_product>::run,
            Guarded<S::scaled_dot_product>::run,
            Guarded<S::template weighted_sum<false>>::run,
            Guarded<SharedSums<Simd>::template run<false>>::run,
            Guarded<S::template weighted_sum<true>>::run,
            Guarded<SharedSums<Simd>::template run<true>>::run,
            Guarded<S::rounded_sum>::run,
            Guarded<S::permute>::run,
            Guarded<KeyProducts<Simd>::run>::run,
            Guarded<PackedProducts<Simd>::run>::run};
}

}  // namespace
}  // namespace fhe::kernels
