// RNS polynomials over a fixed list of moduli, and the loops over limbs that run on threads.
//
// There are two rings (Kind). A polynomial is a row-major array [rows][n] of reduced residues; a
// row list says which modulus each row belongs to (an index into the context's moduli). Unless a
// name says "coefficient", rows are in bit-reversed NTT order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/kernels.hpp"
#include "kernels/wide.hpp"
#include "ring/buffer.hpp"

namespace fhe::ring {

using kernels::KernelTable;
using kernels::Modulus;
using kernels::multiply_mod;
using kernels::NttTables;
using kernels::ShoupFactor;

// Kept by a context for reuse in any case: what the largest step of a face of the preset 'safe'
// takes. A batch takes more; see BufferPool.
inline constexpr std::size_t kIdleBytes = std::size_t{2} << 30;

using Rows = std::vector<int>;  // modulus index of each row

// What n coefficients are the coordinates of.
//   standard: a_0 + a_1 X + ..., modulo X^n + 1.
//   real: a_0 + sum of a_i (X^i + X^-i), modulo X^2n + 1: the elements of that ring, of degree 2n,
//     that are real numbers at all its roots (Kim and Song 2018, ia.cr/2018/952).
enum class Kind { standard, real };
Kind kind_by_name(const std::string& name);  // throws std::invalid_argument
// Order of the roots of unity at which elements are evaluated: 2n or 4n.
std::size_t root_order(Kind kind, std::size_t n);

class BaseConversion;
struct Division;  // of basis.cpp

class Context {
  public:
    // Moduli are distinct primes = 1 mod root_order(kind, n); threads >= 1. Throws
    // std::invalid_argument.
    Context(Kind kind, std::size_t n, const std::vector<std::uint64_t>& moduli, int threads,
            const KernelTable& kernels, const std::shared_ptr<BufferPool>& pool);

    Kind kind() const { return kind_; }
    std::size_t n() const { return n_; }
    int threads() const { return threads_; }
    int size() const { return static_cast<int>(tables_.size()); }
    const KernelTable& kernels() const { return *kernels_; }
    const NttTables& tables(int index) const {
        return *tables_.at(static_cast<std::size_t>(index));
    }
    const Modulus& modulus(int index) const { return tables(index).modulus; }

    const std::shared_ptr<BufferPool>& pool() const { return pool_; }
    Buffer scratch(std::size_t words) const { return Buffer(pool_, words); }
    // One for every thread.
    std::deque<Buffer> scratch_each(std::size_t words) const;

    // One row modulo one modulus, in place. A shorter one holds the coefficients of an element in
    // Y = X^(n / length); a power of two, from 8 on.
    void ntt_forward(std::uint64_t* row, std::size_t length, int index) const;
    // kernels::kBlock of them side by side.
    void ntt_forward_block(std::uint64_t* rows, std::size_t length, int index) const;
    // Of a whole row [n]; out may be row.
    void ntt_inverse(std::uint64_t* out, const std::uint64_t* row, int index,
                     std::uint64_t factor = 1) const;
    void ntt_forward(std::uint64_t* data, const Rows& rows) const;
    void ntt_inverse(std::uint64_t* data, const Rows& rows) const;

    using Pointwise = void (*)(std::uint64_t*, const std::uint64_t*, const std::uint64_t*,
                               std::size_t, const Modulus&);
    void pointwise(Pointwise kernel, std::uint64_t* out, const std::uint64_t* a,
                   const std::uint64_t* b, const Rows& rows) const;
    // out = a * factors[row] (factors are reduced here)
    void multiply_scalars(std::uint64_t* out, const std::uint64_t* a,
                          const std::vector<std::uint64_t>& factors, const Rows& rows) const;
    // Residues of signed coefficients (|value| < 2^63), then the forward NTT. coefficients: [n].
    void embed_signed(std::uint64_t* out, const std::int64_t* coefficients, const Rows& rows) const;
    void embed_row(std::uint64_t* row, const std::int64_t* coefficients, int index) const;
    // The same plaintext added to the first of two polynomials, or multiplied with all of them.
    // a, out: [polys][rows][n]. What is added has `size` coefficients, a power of two up to n, in
    // X^(n / size).
    void add_plain(std::uint64_t* out, const std::uint64_t* a, const std::int64_t* coefficients,
                   std::size_t size, const Rows& rows) const;
    void multiply_plain(std::uint64_t* out, const std::uint64_t* a, std::size_t polys,
                        const std::int64_t* coefficients, const Rows& rows) const;
    // out row = in row gathered by index [n]
    void permute(std::uint64_t* out, const std::uint64_t* in, const std::uint32_t* index,
                 std::size_t rows) const;

  private:
    Kind kind_;
    std::size_t n_;
    int threads_;
    const KernelTable* kernels_;
    std::shared_ptr<BufferPool> pool_;
    std::vector<std::unique_ptr<NttTables>> tables_;
    friend class BaseConversion;
    friend struct Division;
    // Tables of base conversions by (from, to) and the factors of both.
    mutable std::mutex conversions_mutex_;
    using Factors = std::vector<std::uint64_t>;
    mutable std::map<std::tuple<Rows, Rows, Factors, Factors>,
                     std::shared_ptr<const BaseConversion>>
        conversions_;
    // What divisions work with, by (rows, wanted, factors).
    mutable std::map<std::tuple<Rows, Rows, Factors>, std::shared_ptr<const Division>> divisions_;
};

// index such that out[i] = in[index[i]] maps a(X) to a(X^galois_element) in bit-reversed NTT order.
// galois_element is odd, in [1, 2n); of the real ring it is 1 mod 4, in [1, 4n): -1 changes nothing
// there. Throws std::invalid_argument.
std::vector<std::uint32_t> galois_permutation(Kind kind, std::size_t n,
                                              std::uint64_t galois_element);

std::uint64_t inverse_mod(std::uint64_t a, std::uint64_t q);  // q prime, a != 0 mod q
// Residues of signed values of any size; fastest where they lie in [-2^50, 2^50).
void reduce_signed(const KernelTable& kernels, std::uint64_t* out, const std::int64_t* values,
                   std::size_t count, const Modulus& m);

}  // namespace fhe::ring
