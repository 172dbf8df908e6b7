// The kernel table: every loop over residues that is worth a SIMD version, for one limb at a time.
//
// Contract shared by every implementation (scalar, avx2, avx512ifma):
//   * a modulus q is a prime, 2^16 < q < 2^50;
//   * "reduced" means in [0, q); unless a line says otherwise inputs are reduced and outputs are
//     reduced, so that all implementations agree bit for bit;
//   * lengths may be any positive number; pointers need no alignment beyond that of uint64_t, but
//     rows aligned to 64 bytes are 10 % faster;
//   * out may be the same pointer as an input, never a partial overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace fhe::kernels {

inline constexpr int kWordBits = 52;            // width of the IFMA product halves
inline constexpr int kMaxModulusBits = 50;      // leaves two bits for lazy sums
inline constexpr std::size_t kMaxTerms = 4096;  // bound on sums that are reduced once
inline constexpr std::size_t kSumsAtOnce = 4;   // that weighted_sums forms from one reading
inline constexpr std::size_t kBlock = 8;        // positions that a permutation keeps together
inline constexpr std::size_t kKeyStrip = 32;    // positions of a key that lie side by side
inline constexpr std::size_t kStrip = 16;       // positions of a strip of packed products
inline constexpr std::size_t kPackedBytes = 6;  // of a packed residue, the lowest byte first
inline constexpr int kPackedBits = 8 * kPackedBytes;

// Constants of one modulus.
struct Modulus {
    std::uint64_t q = 0;
    int bits = 0;                 // bit length of q
    std::uint64_t barrett = 0;    // floor(2^(50 + bits) / q), in (2^50, 2^51]
    std::uint64_t one_shoup = 0;  // floor(2^52 / q)
    std::uint64_t r52 = 0;        // 2^52 mod q
    std::uint64_t r52_shoup = 0;  // floor(r52 * 2^52 / q)
    std::uint64_t r104 = 0;       // 2^104 mod q
    std::uint64_t r104_shoup = 0;
    std::uint64_t inverse52 = 0;   // 1 / q modulo 2^52
    std::uint64_t over52 = 0;      // 1 / 2^52 modulo q
    std::uint64_t wide = 0;        // floor(2^62 / q)
    std::uint64_t pieces[3] = {};  // 2^e mod q, e = 32, 51, 83: for sums that are kept in pieces

    explicit Modulus(std::uint64_t modulus);  // throws std::invalid_argument outside (2^16, 2^50)
};

// A constant factor with its Shoup quotient floor(value * 2^52 / q); value in [0, q).
struct ShoupFactor {
    std::uint64_t value;
    std::uint64_t quotient;
    ShoupFactor(std::uint64_t value, const Modulus& modulus);
};

// Negacyclic NTT of length n (a power of two, n >= 8) modulo q = 1 mod 2n. Forward input is in
// natural order, output in bit-reversed order: out[i] = a(psi^(2*bitrev(i)+1)).
// roots[i] = psi^bitrev_n(i), inverse_roots[i] = psi^-bitrev_n(i), each with Shoup quotients.
// The first m entries of the table of length n are the table of length m for psi^(n/m), so a
// shorter transform may use a prefix of a longer table.
struct NttTables {
    Modulus modulus;
    std::size_t n;
    std::vector<std::uint64_t> roots, roots_shoup;
    std::vector<std::uint64_t> inverse_roots, inverse_roots_shoup;

    NttTables(std::size_t n, std::uint64_t q);  // psi = the smallest primitive 2n-th root of unity
};

// factor / length modulo q, where length is a power of two, q = 1 mod length and factor reduced.
ShoupFactor over_length(std::uint64_t factor, std::size_t length, const Modulus& modulus);

// Operands of a tile of a key switch, reduced; a null addend is left out. Keys and the factor are
// 2^52 times what they stand for, modulo q: the reduction then divides by 2^52 (Montgomery 1985),
// which takes two products instead of five.
struct KeyProduct {
    std::size_t terms;                   // 1 <= terms < kMaxTerms
    const std::uint64_t* const* digits;  // [terms]
    // [n / strip][key_terms][2][strip], strip = min(n, kKeyStrip), in the order in which it is
    // read; key_terms >= terms.
    const std::uint64_t* key;
    std::size_t key_terms;
    const std::uint64_t* addends[2];
    std::uint64_t factor;
    const std::uint64_t* bases[2];  // reduced; see key_product
    // Block j goes to block steps[j] / kBlock, modulo the number of blocks, and position i of it
    // comes from position patterns[steps[j] % kBlock][i]. Null: nothing moves.
    const std::uint32_t* steps;
    const std::uint64_t (*patterns)[kBlock];
    // What the next call will read, asked for on the way: [ahead_count] rows, and a key or null.
    const std::uint64_t* const* ahead;
    std::size_t ahead_count;
    const std::uint64_t* ahead_key;
};

struct KernelTable {
    const char* name;

    // In place, or the inverse from elsewhere; length is a power of two, 8 <= length <= tables.n.
    // Inverses are multiplied by `factor`, reduced, together with 1 / length: it takes no time.
    void (*ntt_forward)(std::uint64_t* a, std::size_t length, const NttTables& tables);
    void (*ntt_inverse)(std::uint64_t* out, const std::uint64_t* a, std::size_t length,
                        const NttTables& tables, std::uint64_t factor);
    // The same of the real ring, for an element a[0] + sum of a[i] (X^i + X^-i), X^(2 length) = -1:
    // out[i] = its value at psi^(4 bitrev(i) + 1), psi the primitive 4 length-th root. In place;
    // length is a power of two, 8 <= length <= tables.n / 2, and a prefix of the tables will do.
    void (*real_ntt_forward)(std::uint64_t* a, std::size_t length, const NttTables& tables);
    void (*real_ntt_inverse)(std::uint64_t* out, const std::uint64_t* a, std::size_t length,
                             const NttTables& tables, std::uint64_t factor);
    // kBlock forward transforms side by side: entry i of number k stands at a[kBlock i + k].
    void (*ntt_forward_block)(std::uint64_t* a, std::size_t length, const NttTables& tables);
    void (*real_ntt_forward_block)(std::uint64_t* a, std::size_t length, const NttTables& tables);

    void (*add)(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                const Modulus& m);
    void (*subtract)(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b,
                     std::size_t n, const Modulus& m);
    void (*multiply)(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b,
                     std::size_t n, const Modulus& m);
    // out = out + a * b
    void (*multiply_add)(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b,
                         std::size_t n, const Modulus& m);
    // a may be anything below 2^52
    void (*multiply_scalar)(std::uint64_t* out, const std::uint64_t* a, ShoupFactor factor,
                            std::size_t n, const Modulus& m);
    // out = out + a * factor; a may be anything below 2^52
    void (*multiply_scalar_add)(std::uint64_t* out, const std::uint64_t* a, ShoupFactor factor,
                                std::size_t n, const Modulus& m);
    // out = (a - b) * factor; a reduced, b reduced
    void (*subtract_multiply_scalar)(std::uint64_t* out, const std::uint64_t* a,
                                     const std::uint64_t* b, ShoupFactor factor, std::size_t n,
                                     const Modulus& m);
    // out[i] = a[i] + q where a[i] is negative; a in (-q, q) in two's complement
    void (*lift)(std::uint64_t* out, const std::uint64_t* a, std::size_t n, const Modulus& m);
    // out[i] = a[i] mod q; a may be anything below 2^52
    void (*reduce)(std::uint64_t* out, const std::uint64_t* a, std::size_t n, const Modulus& m);

    // out[i] = sum over t of a[t][i] * b[t][i]; 1 <= terms <= kMaxTerms; one reduction at the end
    void (*dot_product)(std::uint64_t* out, const std::uint64_t* const* a,
                        const std::uint64_t* const* b, std::size_t terms, std::size_t n,
                        const Modulus& m);
    // out[i] = (sum over t of a[t][i] * b[t][i]) / 2^52; a anything below 2^52
    void (*scaled_dot_product)(std::uint64_t* out, const std::uint64_t* const* a,
                               const std::uint64_t* const* b, std::size_t terms, std::size_t n,
                               const Modulus& m);
    // out[i] = (sum over t of x[t][offset + i] * w[t]) / 2^52; x anything below 2^50 (residues of
    // another modulus are fine), w reduced; 1 <= terms <= kMaxTerms; one reduction at the end. out
    // may not alias x. Bound by the cache that holds x: with many terms, call it on tiles that fit
    // the L2 cache.
    void (*weighted_sum)(std::uint64_t* out, const std::uint64_t* const* x, std::size_t offset,
                         const std::uint64_t* w, std::size_t terms, std::size_t n,
                         const Modulus& m);
    // The same kSumsAtOnce times, each with its own modulus, from one reading of x:
    // out[k][i] = (sum over t of x[t][offset + i] * w[t * kSumsAtOnce + k]) / 2^52 modulo m[k].
    void (*weighted_sums)(std::uint64_t* const* out, const std::uint64_t* const* x,
                          std::size_t offset, const std::uint64_t* w, std::size_t terms,
                          std::size_t n, const Modulus* const* m);
    // Both, but what they write is only below 4q: for scaled_dot_product to go on with.
    void (*weighted_sum_lazy)(std::uint64_t* out, const std::uint64_t* const* x, std::size_t offset,
                              const std::uint64_t* w, std::size_t terms, std::size_t n,
                              const Modulus& m);
    void (*weighted_sums_lazy)(std::uint64_t* const* out, const std::uint64_t* const* x,
                               std::size_t offset, const std::uint64_t* w, std::size_t terms,
                               std::size_t n, const Modulus* const* m);
    // out[i] = round(sum over t of x[t][offset + i] * factors[t]), products and sums as doubles,
    // one by one in the order of t; x below 2^52, the sum in [0, 2^51). out may not alias x.
    void (*rounded_sum)(std::uint64_t* out, const std::uint64_t* const* x, std::size_t offset,
                        const double* factors, std::size_t terms, std::size_t n);
    // out[i] = in[index[i]], where index maps aligned blocks of kBlock positions to such blocks, as
    // Galois elements do in bit-reversed order; n is a multiple of kBlock. out may not alias in
    void (*permute)(std::uint64_t* out, const std::uint64_t* in, const std::uint32_t* index,
                    std::size_t n);
    // Both polynomials of a key switch, for one tile:
    // out[k][i] = bases[k][i]
    //     + (sum over t of digits[t][j] * key k of t at j + factor * addends[k][j]) / 2^52,
    // where i is j moved by the job's permutation. n is a power of two and a multiple of kBlock;
    // out may alias nothing but the bases.
    void (*key_product)(std::uint64_t* const* out, const KeyProduct& job, std::size_t n,
                        const Modulus& m);
    // Sums of tensor products of ciphertexts (p0, p1) with packed ones (t0, t1) of every block:
    // out[3 b] = sum of p0 t0, out[3 b + 1] = sum of p0 t1 + p1 t0, out[3 b + 2] = sum of p1 t1,
    // each [strips][kStrip]. plain: [strips][terms][2][kStrip], anything below 2^48; packed[b]: the
    // same of residues of kPackedBytes, read from the first byte to the last and never beyond.
    // 1 <= terms <= kMaxTerms; one reduction at the end: the middle sum is that of
    // (p0 + p1)(t0 + t1), products below 2^98, less the other two. Fastest where plain fits the L2
    // cache: it is read again for every few blocks.
    void (*packed_products)(std::uint64_t* const* out, const std::uint64_t* plain,
                            const std::uint8_t* const* packed, std::size_t blocks,
                            std::size_t terms, std::size_t strips, const Modulus& m);
};

// Null when the binary or the processor lacks the instruction set.
const KernelTable* scalar();
const KernelTable* avx2();
const KernelTable* avx512ifma();

// No table of that name can be used here; the text says which can.
struct Unavailable : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

// By name ("scalar", "avx2", "avx512ifma"); throws Unavailable.
const KernelTable& by_name(const std::string& name);
// The environment variable FHE_FACE_KERNELS when set (an unknown or unavailable name throws
// Unavailable, which names the variable), otherwise the fastest available.
const KernelTable& select();
std::vector<std::string> available();

}  // namespace fhe::kernels
