// RNS polynomials over a fixed list of moduli, and the loops over limbs that run on threads.
//
// A polynomial is a row-major array [rows][n] of reduced residues; a row list says which modulus
// each row belongs to (an index into the context's moduli). Unless a name says "coefficient", rows
// are in bit-reversed NTT order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
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

class BaseConversion;

class Context {
  public:
    // Moduli are distinct primes = 1 mod 2n; threads >= 1. Throws std::invalid_argument.
    Context(std::size_t n, const std::vector<std::uint64_t>& moduli, int threads,
            const KernelTable& kernels, const std::shared_ptr<BufferPool>& pool);

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
    // The same plaintext added to the first of two polynomials, or multiplied with all of them.
    // a, out: [polys][rows][n].
    void add_plain(std::uint64_t* out, const std::uint64_t* a, const std::int64_t* coefficients,
                   const Rows& rows) const;
    void multiply_plain(std::uint64_t* out, const std::uint64_t* a, std::size_t polys,
                        const std::int64_t* coefficients, const Rows& rows) const;
    // Times X^power, a multiple of n / 4: exact. a, out: [polys][limbs][n] in the rows 0..limbs-1.
    void multiply_monomial(std::uint64_t* out, const std::uint64_t* a, std::size_t polys,
                           std::size_t power, std::size_t limbs) const;
    // X^power, a multiple of n / 4, in each quarter of a row in NTT order, where it is constant.
    std::array<ShoupFactor, 4> monomial(std::size_t power, int index) const;
    // out row = in row gathered by index [n]
    void permute(std::uint64_t* out, const std::uint64_t* in, const std::uint32_t* index,
                 std::size_t rows) const;

  private:
    void embed_row(std::uint64_t* row, const std::int64_t* coefficients, int index) const;

    std::size_t n_;
    int threads_;
    const KernelTable* kernels_;
    std::shared_ptr<BufferPool> pool_;
    std::vector<std::unique_ptr<NttTables>> tables_;
    friend class BaseConversion;
    // Tables of base conversions by (from, to).
    mutable std::mutex conversions_mutex_;
    mutable std::map<std::pair<Rows, Rows>, std::shared_ptr<const BaseConversion>> conversions_;
};

// index such that out[i] = in[index[i]] maps a(X) to a(X^galois_element) in bit-reversed NTT order.
// galois_element is odd, in [1, 2n).
std::vector<std::uint32_t> galois_permutation(std::size_t n, std::uint64_t galois_element);

std::uint64_t inverse_mod(std::uint64_t a, std::uint64_t q);  // q prime, a != 0 mod q
// Residues of signed values of any size; fastest where they lie in [-2^50, 2^50).
void reduce_signed(const KernelTable& kernels, std::uint64_t* out, const std::int64_t* values,
                   std::size_t count, const Modulus& m);

}  // namespace fhe::ring
