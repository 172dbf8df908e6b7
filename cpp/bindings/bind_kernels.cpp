#include "bindings/bind_kernels.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bindings/arrays.hpp"
#include "kernels/kernels.hpp"
#include "ring/block_map.hpp"
#include "ring/keys.hpp"

namespace py = pybind11;
namespace fk = fhe::kernels;

namespace {

using fhe::bindings::Index;
using fhe::bindings::require;
using fhe::bindings::Words;
using Bytes = py::array_t<std::uint8_t, py::array::c_style>;
using Signed = py::array_t<std::int64_t, py::array::c_style>;
using Reals = py::array_t<double, py::array::c_style>;
using Word = std::uint64_t;

constexpr Word kBelow50Bits = Word{1} << fk::kMaxModulusBits;
constexpr Word kBelow52Bits = Word{1} << fk::kWordBits;

void require_below(const Words& a, Word bound, const char* name) {
    const Word* data = a.data();
    bool ok = true;
    for (py::ssize_t i = 0; i < a.size(); ++i) ok &= data[i] < bound;
    require(ok, std::string(name) + " has an element that is not below " + std::to_string(bound));
}

// A non-empty vector of numbers below bound.
std::size_t checked_length(const Words& a, Word bound, const char* name) {
    require(a.ndim() == 1 && a.size() > 0, std::string(name) + " is not a non-empty 1-D array");
    require_below(a, bound, name);
    return static_cast<std::size_t>(a.size());
}

void check_like(const Words& a, std::size_t length, Word bound, const char* name) {
    require(checked_length(a, bound, name) == length,
            std::string(name) + " has a different length than the first operand");
}

// The rows of a non-empty matrix of numbers below bound.
std::vector<const Word*> checked_rows(const Words& a, Word bound, const char* name) {
    require(a.ndim() == 2 && a.size() > 0, std::string(name) + " is not a non-empty 2-D array");
    require(static_cast<std::size_t>(a.shape(0)) <= fk::kMaxTerms,
            std::string(name) + " has more than " + std::to_string(fk::kMaxTerms) + " rows");
    require_below(a, bound, name);
    std::vector<const Word*> rows;
    for (py::ssize_t t = 0; t < a.shape(0); ++t) rows.push_back(a.data(t, 0));
    return rows;
}

Words empty(std::size_t n) { return Words(static_cast<py::ssize_t>(n)); }

Words copy_of(const Words& a) {
    Words result = empty(static_cast<std::size_t>(a.size()));
    std::copy(a.data(), a.data() + a.size(), result.mutable_data());
    return result;
}

// One implementation with the tables of one modulus; every method returns a new array.
class Kernels {
  public:
    Kernels(const std::string& name, std::size_t n, Word q)
        : kernels_(fk::by_name(name)), tables_(n, q) {}

    const fk::KernelTable& table() const { return kernels_; }
    const fk::NttTables& tables() const { return tables_; }
    Word psi() const { return tables_.roots[tables_.n / 2]; }  // bitrev(n / 2) = 1

    std::size_t checked_transform(const Words& a, std::size_t longest) const {
        const std::size_t length = checked_length(a, q(), "a");
        require(std::has_single_bit(length) && length >= 8 && length <= longest,
                "the length is not a power of two from 8 to " + std::to_string(longest));
        return length;
    }

    using Transform = void (*)(Word*, std::size_t, const fk::NttTables&);
    Words transform(Transform run, const Words& a, std::size_t longest) const {
        const std::size_t length = checked_transform(a, longest);
        Words out = copy_of(a);
        run(out.mutable_data(), length, tables_);
        return out;
    }

    using Inverse = decltype(fk::KernelTable::ntt_inverse);
    Words inverse(Inverse run, const Words& a, std::size_t longest, Word w) const {
        const std::size_t length = checked_transform(a, longest);
        Words out = empty(length);
        require(w < q(), "factor must be below q");
        run(out.mutable_data(), a.data(), length, tables_, w);
        Words in_place = copy_of(a);
        run(in_place.mutable_data(), in_place.data(), length, tables_, w);
        require(std::equal(out.data(), out.data() + length, in_place.data()),
                "the inverse in place is another one");
        return out;
    }

    using Binary = void (*)(Word*, const Word*, const Word*, std::size_t, const fk::Modulus&);
    Words binary(Binary run, const Words& a, const Words& b) const {
        const std::size_t n = checked_length(a, q(), "a");
        check_like(b, n, q(), "b");
        Words out = empty(n);
        run(out.mutable_data(), a.data(), b.data(), n, modulus());
        return out;
    }

    Words multiply_add(const Words& out, const Words& a, const Words& b) const {
        const std::size_t n = checked_length(out, q(), "out");
        check_like(a, n, q(), "a");
        check_like(b, n, q(), "b");
        Words result = copy_of(out);
        kernels_.multiply_add(result.mutable_data(), a.data(), b.data(), n, modulus());
        return result;
    }

    Words multiply_scalar(const Words& a, Word w) const {
        const std::size_t n = checked_length(a, kBelow52Bits, "a");
        Words out = empty(n);
        kernels_.multiply_scalar(out.mutable_data(), a.data(), factor(w), n, modulus());
        return out;
    }

    Words multiply_scalar_add(const Words& out, const Words& a, Word w) const {
        const std::size_t n = checked_length(out, q(), "out");
        check_like(a, n, kBelow52Bits, "a");
        Words result = copy_of(out);
        kernels_.multiply_scalar_add(result.mutable_data(), a.data(), factor(w), n, modulus());
        return result;
    }

    Words subtract_multiply_scalar(const Words& a, const Words& b, Word w) const {
        const std::size_t n = checked_length(a, q(), "a");
        check_like(b, n, q(), "b");
        Words out = empty(n);
        kernels_.subtract_multiply_scalar(out.mutable_data(), a.data(), b.data(), factor(w), n,
                                          modulus());
        return out;
    }

    Words reduce(const Words& a) const {
        const std::size_t n = checked_length(a, kBelow52Bits, "a");
        Words out = empty(n);
        kernels_.reduce(out.mutable_data(), a.data(), n, modulus());
        return out;
    }

    Words dot_product(const Words& a, const Words& b) const {
        const auto [left, right] = operands(a, b);
        Words out = empty(static_cast<std::size_t>(a.shape(1)));
        kernels_.dot_product(out.mutable_data(), left.data(), right.data(), left.size(),
                             static_cast<std::size_t>(a.shape(1)), modulus());
        return out;
    }

    // a [terms][n] below 2^52, b [terms][n]: the sum of products, as for dot_product.
    Words scaled_dot_product(const Words& a, const Words& b) const {
        const std::vector<const Word*> left = checked_rows(a, kBelow52Bits, "a");
        checked_rows(b, q(), "b");
        require(a.shape(0) == b.shape(0) && a.shape(1) == b.shape(1), "a and b differ in shape");
        const auto n = static_cast<std::size_t>(a.shape(1));
        const std::vector<Word> scaled = times_2_52(b);
        std::vector<const Word*> right;
        for (std::size_t t = 0; t < left.size(); ++t) right.push_back(scaled.data() + t * n);
        Words out = empty(n);
        kernels_.scaled_dot_product(out.mutable_data(), left.data(), right.data(), left.size(), n,
                                    modulus());
        return out;
    }

    using WeightedSum = decltype(fk::KernelTable::weighted_sum);
    Words weighted_sum(WeightedSum run, const Words& x, const Words& w) const {
        const std::vector<const Word*> rows = checked_rows(x, kBelow50Bits, "x");
        require(checked_length(w, q(), "w") == rows.size(), "x and w differ in length");
        Words out = empty(static_cast<std::size_t>(x.shape(1)));
        run(out.mutable_data(), rows.data(), 0, times_2_52(w).data(), rows.size(),
            static_cast<std::size_t>(x.shape(1)), modulus());
        return out;
    }

    // x [terms][n] below 2^52, factors [terms].
    Words rounded_sum(const Words& x, const Reals& factors) const {
        const std::vector<const Word*> rows = checked_rows(x, kBelow52Bits, "x");
        require(factors.ndim() == 1 && factors.size() == x.shape(0),
                "factors is not one number for each row of x");
        Words out = empty(static_cast<std::size_t>(x.shape(1)));
        kernels_.rounded_sum(out.mutable_data(), rows.data(), 0, factors.data(), rows.size(),
                             static_cast<std::size_t>(x.shape(1)));
        return out;
    }

    // x [terms][n], w [terms][kSumsAtOnce]; all sums modulo the same q.
    using WeightedSums = decltype(fk::KernelTable::weighted_sums);
    Words weighted_sums(WeightedSums run, const Words& x, const Words& w) const {
        const std::vector<const Word*> rows = checked_rows(x, kBelow50Bits, "x");
        require(checked_rows(w, q(), "w").size() == rows.size() &&
                    w.shape(1) == static_cast<py::ssize_t>(fk::kSumsAtOnce),
                "w is not an array of x's length by 4");
        const auto n = static_cast<std::size_t>(x.shape(1));
        Words out(std::vector<py::ssize_t>{w.shape(1), x.shape(1)});
        std::vector<Word*> targets;
        std::vector<const fk::Modulus*> moduli(fk::kSumsAtOnce, &modulus());
        for (std::size_t k = 0; k < fk::kSumsAtOnce; ++k) {
            targets.push_back(out.mutable_data() + k * n);
        }
        run(targets.data(), rows.data(), 0, times_2_52(w).data(), rows.size(), n, moduli.data());
        return out;
    }

    Words lift(const Signed& a) const {
        require(a.ndim() == 1 && a.size() > 0, "a is not a non-empty 1-D array");
        const auto bound = static_cast<std::int64_t>(q());
        require(std::all_of(a.data(), a.data() + a.size(),
                            [bound](std::int64_t x) { return -bound < x && x < bound; }),
                "a has an element that is not between -q and q");
        Words out = empty(static_cast<std::size_t>(a.size()));
        kernels_.lift(out.mutable_data(), reinterpret_cast<const Word*>(a.data()),
                      static_cast<std::size_t>(a.size()), modulus());
        return out;
    }

    // a [length][kBlock]
    Words transform_block(Transform run, const Words& a, std::size_t longest) const {
        require(a.ndim() == 2 && a.shape(1) == static_cast<py::ssize_t>(fk::kBlock),
                "a is not an array of a length by 8");
        require_below(a, q(), "a");
        const auto length = static_cast<std::size_t>(a.shape(0));
        require(std::has_single_bit(length) && length >= 8 && length <= longest,
                "the length is not a power of two from 8 to " + std::to_string(longest));
        Words out(std::vector<py::ssize_t>{a.shape(0), a.shape(1)});
        std::copy(a.data(), a.data() + a.size(), out.mutable_data());
        run(out.mutable_data(), length, tables_);
        return out;
    }

    Words permute(const Words& in, const Index& index) const {
        require_blocks(index, in.ndim() == 1 ? in.size() : 0);
        Words out = empty(static_cast<std::size_t>(in.size()));
        kernels_.permute(out.mutable_data(), in.data(), index.data(),
                         static_cast<std::size_t>(in.size()));
        return out;
    }

    // digits [terms][n], keys [2][terms][n], addends [2][n]; all reduced.
    // Returns the product, and what is left when it is added to `bases` [2][n], reduced, in place.
    py::tuple key_product(const Words& digits, const Words& keys, const Words& addends, Word factor,
                          const Index& index, const Words& bases) const {
        const std::vector<const Word*> a = checked_rows(digits, q(), "digits");
        require(keys.ndim() == 3 && keys.shape(0) == 2 && keys.shape(1) == digits.shape(0) &&
                    keys.shape(2) == digits.shape(1),
                "keys is not an array of 2 by the shape of digits");
        require_below(keys, q(), "keys");
        require(checked_rows(addends, q(), "addends").size() == 2 &&
                    addends.shape(1) == digits.shape(1),
                "addends is not an array of 2 by the length of digits");
        require(factor < q(), "factor is not below q");
        require(checked_rows(bases, q(), "bases").size() == 2 && bases.shape(1) == digits.shape(1),
                "bases is not an array of 2 by the length of digits");
        const auto n = static_cast<std::size_t>(digits.shape(1));
        require_blocks(index, digits.shape(1));
        const fhe::ring::BlockMap map(index.data(), n);
        std::vector<Word> key(2 * a.size() * n);
        for (std::size_t k = 0; k < 2; ++k) {
            for (std::size_t t = 0; t < a.size(); ++t) {
                fhe::ring::store_key_row(kernels_, {key.data(), n, a.size()}, t, k,
                                         keys.data() + (k * a.size() + t) * n, modulus());
            }
        }
        fk::KeyProduct job{a.size(),
                           a.data(),
                           key.data(),
                           a.size(),
                           {addends.data(), addends.data() + n},
                           fhe::ring::key_factor(factor, modulus()),
                           {nullptr, nullptr},
                           map.steps(0),
                           map.patterns(),
                           a.data(),
                           a.size(),
                           key.data()};
        Words out(std::vector<py::ssize_t>{2, digits.shape(1)});
        Word* targets[] = {out.mutable_data(), out.mutable_data() + n};
        kernels_.key_product(targets, job, n, modulus());
        Words added(std::vector<py::ssize_t>{2, digits.shape(1)});
        std::copy(bases.data(), bases.data() + 2 * n, added.mutable_data());
        for (std::size_t k = 0; k < 2; ++k) {
            targets[k] = added.mutable_data() + k * n;
            job.bases[k] = targets[k];
        }
        kernels_.key_product(targets, job, n, modulus());
        return py::make_tuple(out, added);
    }

    // plain [strips][terms][2][kStrip], packed [blocks] of the same in bytes; returns
    // [blocks][3][strips * kStrip].
    Words packed_products(const Words& plain, const Bytes& packed) const {
        const auto strip = static_cast<py::ssize_t>(fk::kStrip);
        const auto bytes = static_cast<py::ssize_t>(fk::kPackedBytes);
        require(
            plain.ndim() == 4 && plain.size() > 0 && plain.shape(2) == 2 && plain.shape(3) == strip,
            "plain is not a non-empty array of strips by terms by 2 by 16");
        require(plain.shape(1) <= static_cast<py::ssize_t>(fk::kMaxTerms),
                "plain has more than " + std::to_string(fk::kMaxTerms) + " terms");
        require_below(plain, Word{1} << fk::kPackedBits, "plain");
        require(packed.ndim() == 5 &&
                    std::equal(plain.shape(), plain.shape() + 3, packed.shape() + 1) &&
                    packed.shape(4) == strip * bytes,
                "packed is not an array of blocks like plain, of 6 bytes a number");
        const py::ssize_t n = plain.shape(0) * strip;
        Words out(std::vector<py::ssize_t>{packed.shape(0), 3, n});
        std::vector<Word*> targets;
        std::vector<const std::uint8_t*> blocks;
        for (py::ssize_t b = 0; b < packed.shape(0); ++b) {
            blocks.push_back(packed.data(b, 0, 0, 0, 0));
            for (py::ssize_t k = 0; k < 3; ++k) targets.push_back(out.mutable_data(b, k, 0));
        }
        kernels_.packed_products(targets.data(), plain.data(), blocks.data(), blocks.size(),
                                 static_cast<std::size_t>(plain.shape(1)),
                                 static_cast<std::size_t>(plain.shape(0)), modulus());
        return out;
    }

  private:
    // Pointers to the rows of both.
    std::array<std::vector<const Word*>, 2> operands(const Words& a, const Words& b) const {
        std::array<std::vector<const Word*>, 2> rows{checked_rows(a, q(), "a"),
                                                     checked_rows(b, q(), "b")};
        require(a.shape(0) == b.shape(0) && a.shape(1) == b.shape(1), "a and b differ in shape");
        return rows;
    }
    static void require_blocks(const Index& index, py::ssize_t n) {
        require(n > 0 && n % static_cast<py::ssize_t>(fk::kBlock) == 0 && index.ndim() == 1 &&
                    index.size() == n,
                "in or index is not a 1-D array of whole blocks of 8");
        std::vector<bool> reached(static_cast<std::size_t>(n));
        for (py::ssize_t i = 0; i < n; ++i) {
            const std::size_t to = index.data()[i];
            const std::size_t first = index.data()[i - i % static_cast<py::ssize_t>(fk::kBlock)];
            require(to < reached.size() && to / fk::kBlock == first / fk::kBlock && !reached[to],
                    "index does not map blocks of 8 to blocks of 8");
            reached[to] = true;
        }
    }
    // The form in which weights are kept.
    std::vector<Word> times_2_52(const Words& w) const {
        std::vector<Word> scaled(static_cast<std::size_t>(w.size()));
        const fk::ShoupFactor factor(modulus().r52, modulus());
        kernels_.multiply_scalar(scaled.data(), w.data(), factor, scaled.size(), modulus());
        return scaled;
    }
    Word q() const { return tables_.modulus.q; }
    const fk::Modulus& modulus() const { return tables_.modulus; }
    fk::ShoupFactor factor(Word w) const {
        require(w < q(), "w is not below q");
        return fk::ShoupFactor(w, modulus());
    }

    const fk::KernelTable& kernels_;
    fk::NttTables tables_;
};

// Data of the size of one limb, so that a benchmark times the kernel and not the checks above.
class Workload {
  public:
    Workload(const Kernels& kernels, std::size_t terms)
        : kernels_(kernels), n_(kernels.tables().n), index_(n_), weights_(fk::kSumsAtOnce * terms) {
        // Below 2^48 as well, which packed_products asks for.
        const Word q = std::min(kernels.tables().modulus.q, Word{1} << fk::kPackedBits);
        require(terms >= 2 && terms <= fk::kMaxTerms, "terms is not from 2 to 4096");
        Word state = 1;
        const auto next = [&] { return (state = state * 6364136223846793005 + 1) >> 14; };
        // Rows aligned to cache lines, the last of them for results.
        pool_.resize((terms + fk::kSumsAtOnce) * n_ + 8);
        Word* row = pool_.data();
        while (reinterpret_cast<std::uintptr_t>(row) % 64 != 0) ++row;
        for (std::size_t t = 0; t < terms; ++t, row += n_) {
            for (std::size_t i = 0; i < n_; ++i) row[i] = next() % q;
            pointers_.push_back(row);
        }
        out_ = row;
        for (Word& weight : weights_) weight = next() % q;
        // The automorphism X -> X^5 in bit-reversed evaluation order.
        const int bits = std::countr_zero(n_);
        const auto reverse = [&](std::size_t value) {
            std::size_t reversed = 0;
            for (int i = 0; i < bits; ++i) reversed |= ((value >> i) & 1) << (bits - 1 - i);
            return reversed;
        };
        for (std::size_t i = 0; i < n_; ++i) {
            index_[i] =
                static_cast<std::uint32_t>(reverse(((2 * reverse(i) + 1) * 5 % (2 * n_) - 1) / 2));
        }
        map_.emplace(index_.data(), n_);
    }

    void run(const std::string& kernel, std::size_t repeats) {
        const auto found = actions().find(kernel);
        require(found != actions().end(), "unknown kernel " + kernel);
        for (std::size_t i = 0; i < repeats; ++i) found->second(*this);
    }

  private:
    using Action = std::function<void(Workload&)>;
    static const std::map<std::string, Action>& actions() {
        static const std::map<std::string, Action> table = {
            {"copy", [](Workload& w) { std::copy(w.a(), w.a() + w.n_, w.out()); }},
            {"ntt_forward", [](Workload& w) { w.k().ntt_forward(w.out(), w.n_, w.tables()); }},
            {"ntt_inverse",
             [](Workload& w) { w.k().ntt_inverse(w.out(), w.out(), w.n_, w.tables(), 1); }},
            {"real_ntt_forward",
             [](Workload& w) { w.k().real_ntt_forward(w.out(), w.n_, w.longer_tables()); }},
            {"real_ntt_inverse",
             [](Workload& w) {
                 w.k().real_ntt_inverse(w.out(), w.out(), w.n_, w.longer_tables(), 1);
             }},
            // A limb as kBlock transforms, an eighth as long each.
            {"ntt_forward_block",
             [](Workload& w) { w.k().ntt_forward_block(w.out(), w.eighth(), w.tables()); }},
            {"real_ntt_forward_block",
             [](Workload& w) { w.k().real_ntt_forward_block(w.out(), w.eighth(), w.tables()); }},
            {"add", [](Workload& w) { w.k().add(w.out(), w.a(), w.b(), w.n_, w.m()); }},
            {"subtract", [](Workload& w) { w.k().subtract(w.out(), w.a(), w.b(), w.n_, w.m()); }},
            {"multiply", [](Workload& w) { w.k().multiply(w.out(), w.a(), w.b(), w.n_, w.m()); }},
            {"multiply_add",
             [](Workload& w) { w.k().multiply_add(w.out(), w.a(), w.b(), w.n_, w.m()); }},
            {"multiply_scalar",
             [](Workload& w) { w.k().multiply_scalar(w.out(), w.a(), w.factor(), w.n_, w.m()); }},
            {"multiply_scalar_add",
             [](Workload& w) {
                 w.k().multiply_scalar_add(w.out(), w.a(), w.factor(), w.n_, w.m());
             }},
            {"subtract_multiply_scalar",
             [](Workload& w) {
                 w.k().subtract_multiply_scalar(w.out(), w.a(), w.b(), w.factor(), w.n_, w.m());
             }},
            {"lift", [](Workload& w) { w.k().lift(w.out(), w.a(), w.n_, w.m()); }},
            {"reduce", [](Workload& w) { w.k().reduce(w.out(), w.a(), w.n_, w.m()); }},
            {"dot_product",
             [](Workload& w) {
                 const std::size_t half = w.pointers_.size() / 2;
                 w.k().dot_product(w.out(), w.pointers_.data(), w.pointers_.data() + half, half,
                                   w.n_, w.m());
             }},
            {"scaled_dot_product",
             [](Workload& w) {
                 const std::size_t half = w.pointers_.size() / 2;
                 w.k().scaled_dot_product(w.out(), w.pointers_.data(), w.pointers_.data() + half,
                                          half, w.n_, w.m());
             }},
            {"weighted_sum", [](Workload& w) { w.weighted_sum(w.k().weighted_sum); }},
            {"weighted_sum_lazy", [](Workload& w) { w.weighted_sum(w.k().weighted_sum_lazy); }},
            {"weighted_sums", [](Workload& w) { w.weighted_sums(w.k().weighted_sums); }},
            {"weighted_sums_lazy", [](Workload& w) { w.weighted_sums(w.k().weighted_sums_lazy); }},
            {"rounded_sum",
             [](Workload& w) {
                 const std::vector<double> factors(w.pointers_.size(), 0x1p-50);
                 w.k().rounded_sum(w.out(), w.pointers_.data(), 0, factors.data(), factors.size(),
                                   w.n_);
             }},
            {"permute", [](Workload& w) { w.k().permute(w.out(), w.a(), w.index_.data(), w.n_); }},
            {"key_product",
             [](Workload& w) {
                 require(w.pointers_.size() >= 4, "key_product takes 4 terms or more");
                 const std::size_t terms = (w.pointers_.size() - 1) / 3;
                 const Word* const* rows = w.pointers_.data();
                 Word* targets[] = {w.out(), w.out() + w.n_};
                 w.k().key_product(targets,
                                   {terms,
                                    rows,
                                    rows[terms],  // those that follow lie behind it
                                    terms,
                                    {rows[3 * terms], nullptr},
                                    w.weights_[0],
                                    {nullptr, nullptr},
                                    w.map_->steps(0),
                                    w.map_->patterns(),
                                    nullptr,
                                    0,
                                    nullptr},
                                   w.n_, w.m());
             }},
            {"packed_products",
             [](Workload& w) {
                 require(w.pointers_.size() >= 4 && w.n_ % fk::kStrip == 0,
                         "packed_products takes 4 terms or more and an n of whole strips");
                 const std::size_t terms = w.pointers_.size() / 4;
                 const auto* packed = reinterpret_cast<const std::uint8_t*>(w.pointers_[2 * terms]);
                 Word* targets[] = {w.out(), w.out() + w.n_, w.out() + 2 * w.n_};
                 w.k().packed_products(targets, w.a(), &packed, 1, terms, w.n_ / fk::kStrip, w.m());
             }},
        };
        return table;
    }

    void weighted_sum(decltype(fk::KernelTable::weighted_sum) kernel) {
        kernel(out(), pointers_.data(), 0, weights_.data(), pointers_.size(), n_, m());
    }
    void weighted_sums(decltype(fk::KernelTable::weighted_sums) kernel) {
        std::array<Word*, fk::kSumsAtOnce> targets;
        std::array<const fk::Modulus*, fk::kSumsAtOnce> moduli;
        moduli.fill(&m());
        for (std::size_t k = 0; k < targets.size(); ++k) targets[k] = out() + k * n_;
        kernel(targets.data(), pointers_.data(), 0, weights_.data(), pointers_.size(), n_,
               moduli.data());
    }
    std::size_t eighth() const {
        static_assert(fk::kBlock == 8);
        require(n_ >= 8 * fk::kBlock, "transforms side by side take an n of 64 or more");
        return n_ / fk::kBlock;
    }

    const fk::KernelTable& k() const { return kernels_.table(); }
    const fk::NttTables& tables() const { return kernels_.tables(); }
    // Those of the real ring, for a modulus that is 1 mod 4n.
    const fk::NttTables& longer_tables() {
        if (!longer_) longer_.emplace(2 * n_, m().q);
        return *longer_;
    }
    const fk::Modulus& m() const { return tables().modulus; }
    fk::ShoupFactor factor() const { return fk::ShoupFactor(weights_[0], m()); }
    const Word* a() const { return pointers_[0]; }
    const Word* b() const { return pointers_[1]; }
    Word* out() { return out_; }

    const Kernels& kernels_;
    std::size_t n_;
    std::vector<Word> pool_;
    Word* out_ = nullptr;
    std::vector<std::uint32_t> index_;
    std::optional<fhe::ring::BlockMap> map_;
    std::vector<const Word*> pointers_;
    std::vector<Word> weights_;
    std::optional<fk::NttTables> longer_;
};

}  // namespace

void bind_kernels(py::module_& m) {
    py::module_ kernels = m.def_submodule("kernels", "Residue kernels, for tests and benchmarks");
    kernels.def("available", &fk::available, "Names of the usable implementations, fastest first");
    kernels.def(
        "selected", [] { return std::string(fk::select().name); },
        "The implementation the library uses (environment variable FHE_FACE_KERNELS)");

    const auto a = py::arg("a").noconvert();
    const auto b = py::arg("b").noconvert();
    const auto out = py::arg("out").noconvert();
    const auto w = py::arg("w");
    const auto x = py::arg("x").noconvert();
    const auto weights = py::arg("w").noconvert();

    py::class_<Kernels>(kernels, "Kernels")
        .def(py::init<const std::string&, std::size_t, Word>(), py::arg("name"), py::arg("n"),
             py::arg("q"))
        .def_property_readonly("psi", &Kernels::psi, "The primitive 2n-th root of unity")
        .def(
            "ntt_forward",
            [](const Kernels& k, const Words& y) {
                return k.transform(k.table().ntt_forward, y, k.tables().n);
            },
            a)
        .def(
            "ntt_inverse",
            [](const Kernels& k, const Words& y, Word factor) {
                return k.inverse(k.table().ntt_inverse, y, k.tables().n, factor);
            },
            a, py::arg("factor") = 1)
        .def(
            "real_ntt_forward",
            [](const Kernels& k, const Words& y) {
                return k.transform(k.table().real_ntt_forward, y, k.tables().n / 2);
            },
            a)
        .def(
            "real_ntt_inverse",
            [](const Kernels& k, const Words& y, Word factor) {
                return k.inverse(k.table().real_ntt_inverse, y, k.tables().n / 2, factor);
            },
            a, py::arg("factor") = 1)
        .def(
            "add",
            [](const Kernels& k, const Words& left, const Words& right) {
                return k.binary(k.table().add, left, right);
            },
            a, b)
        .def(
            "subtract",
            [](const Kernels& k, const Words& left, const Words& right) {
                return k.binary(k.table().subtract, left, right);
            },
            a, b)
        .def(
            "multiply",
            [](const Kernels& k, const Words& left, const Words& right) {
                return k.binary(k.table().multiply, left, right);
            },
            a, b)
        .def("multiply_add", &Kernels::multiply_add, out, a, b)
        .def("multiply_scalar", &Kernels::multiply_scalar, a, w)
        .def("multiply_scalar_add", &Kernels::multiply_scalar_add, out, a, w)
        .def("subtract_multiply_scalar", &Kernels::subtract_multiply_scalar, a, b, w)
        .def("reduce", &Kernels::reduce, a)
        .def("dot_product", &Kernels::dot_product, a, b)
        .def("scaled_dot_product", &Kernels::scaled_dot_product, a, b)
        .def("lift", &Kernels::lift, a)
        .def(
            "ntt_forward_block",
            [](const Kernels& k, const Words& y) {
                return k.transform_block(k.table().ntt_forward_block, y, k.tables().n);
            },
            a)
        .def(
            "real_ntt_forward_block",
            [](const Kernels& k, const Words& y) {
                return k.transform_block(k.table().real_ntt_forward_block, y, k.tables().n / 2);
            },
            a)
        .def(
            "weighted_sums",
            [](const Kernels& k, const Words& rows, const Words& factors) {
                return k.weighted_sums(k.table().weighted_sums, rows, factors);
            },
            x, weights)
        .def(
            "weighted_sums_lazy",
            [](const Kernels& k, const Words& rows, const Words& factors) {
                return k.weighted_sums(k.table().weighted_sums_lazy, rows, factors);
            },
            x, weights)
        .def(
            "weighted_sum",
            [](const Kernels& k, const Words& rows, const Words& factors) {
                return k.weighted_sum(k.table().weighted_sum, rows, factors);
            },
            x, weights)
        .def(
            "weighted_sum_lazy",
            [](const Kernels& k, const Words& rows, const Words& factors) {
                return k.weighted_sum(k.table().weighted_sum_lazy, rows, factors);
            },
            x, weights)
        .def("rounded_sum", &Kernels::rounded_sum, x, py::arg("factors").noconvert())
        .def("permute", &Kernels::permute, a, py::arg("index").noconvert())
        .def("key_product", &Kernels::key_product, py::arg("digits").noconvert(),
             py::arg("keys").noconvert(), py::arg("addends").noconvert(), py::arg("factor"),
             py::arg("index").noconvert(), py::arg("bases").noconvert())
        .def("packed_products", &Kernels::packed_products, py::arg("plain").noconvert(),
             py::arg("packed").noconvert());

    py::class_<Workload>(kernels, "Workload", "Prepared data on which to run and time a kernel")
        .def(py::init<const Kernels&, std::size_t>(), py::arg("kernels"), py::arg("terms"),
             py::keep_alive<1, 2>())
        .def("run", &Workload::run, py::arg("kernel"), py::arg("repeats") = 1);
}
