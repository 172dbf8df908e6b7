// Python face of cpp/ring: numpy arrays in, numpy arrays out, shapes checked, the GIL released.
#include "bindings/bind_ring.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <bit>
#include <set>
#include <stdexcept>
#include <string>

#include "bindings/arrays.hpp"
#include "bindings/bind_keys.hpp"
#include "bindings/results.hpp"
#include "ring/basis.hpp"
#include "ring/context.hpp"
#include "ring/forks.hpp"
#include "ring/halves.hpp"
#include "ring/linear.hpp"
#include "ring/threads.hpp"
#include "ring/transform.hpp"
#include "ring/uniform.hpp"

namespace py = pybind11;

namespace fhe::bindings {
namespace {

using ring::Context;
using ring::Rows;
using Strided = py::array_t<std::uint64_t, 0>;  // perhaps a part of a larger array
using Signed = py::array_t<std::int64_t, py::array::c_style>;

void require_rows(const Context& context, const Rows& rows) {
    require(!rows.empty(), "at least one row is needed");
    for (const int r : rows) require(r >= 0 && r < context.size(), "a row names no modulus");
}

void require_p_mod_q(const Context& context, const std::vector<std::uint64_t>& p_mod_q,
                     const Rows& limbs) {
    require(p_mod_q.size() == limbs.size(), "p_mod_q must have one value per limb");
    for (std::size_t i = 0; i < limbs.size(); ++i) {
        require(p_mod_q[i] < context.modulus(limbs[i]).q,
                "p_mod_q must be reduced modulo each limb");
    }
}

Words checked_like(const Context& context, const Words& a, const Rows& rows) {
    require_rows(context, rows);
    require_shape(a, {rows.size(), context.n()}, "a");
    return make(context, {rows.size(), context.n()});
}

Words transform(const Context& context, const Words& a, const Rows& rows, bool forward) {
    Words out = checked_like(context, a, rows);
    std::uint64_t* data = out.mutable_data();
    const std::uint64_t* in = a.data();
    const Released release;
    std::copy(in, in + rows.size() * context.n(), data);
    forward ? context.ntt_forward(data, rows) : context.ntt_inverse(data, rows);
    return out;
}

Words pointwise(const Context& context, Context::Pointwise kernel, const Words& a, const Words& b,
                const Rows& rows) {
    Words out = checked_like(context, a, rows);
    require_shape(b, {rows.size(), context.n()}, "b");
    std::uint64_t* data = out.mutable_data();
    const Released release;
    context.pointwise(kernel, data, a.data(), b.data(), rows);
    return out;
}

// The given rows, then the special ones: the basis QP.
Rows extended(const Context& context, const Rows& rows, const Rows& specials) {
    require_rows(context, rows);
    require_rows(context, specials);
    Rows all = rows;
    all.insert(all.end(), specials.begin(), specials.end());
    return all;
}

// A key in memory, whose rows belong to the moduli key_rows, for a job in the rows `wanted`; it
// outlives the call because the caller holds the array.
ring::KeyView view(const Context& context, const Words& key, const Rows& key_rows,
                   const Rows& wanted, std::size_t digits) {
    require_key_memory(key, context.n());
    require(key.shape(0) == static_cast<py::ssize_t>(key_rows.size()), "a key has other rows");
    ring::KeyView found{key.data(), static_cast<std::size_t>(key.shape(2)), {}};
    require(found.digits >= digits, "the key has too few digits");
    for (const int row : wanted) {
        const auto place = std::find(key_rows.begin(), key_rows.end(), row);
        require(place != key_rows.end(), "the key does not cover the ciphertext's limbs");
        found.stored.push_back(static_cast<std::size_t>(place - key_rows.begin()));
    }
    return found;
}

Words decompose(const Context& context, decltype(&ring::decompose) how, const Words& c,
                const Rows& rows, std::size_t digit_limbs, std::size_t digits,
                const Rows& specials) {
    const Rows all = extended(context, rows, specials);
    require(digit_limbs >= 1 && digit_limbs <= static_cast<std::size_t>(context.size()),
            "digit_limbs must be in [1, number of moduli]");
    require(digits >= 1 && digits <= rows.size() && (digits - 1) * digit_limbs < rows.size(),
            "every digit must have a row");
    require_shape(c, {rows.size(), context.n()}, "c");
    Words out = make(context, {digits, all.size(), context.n()});
    std::uint64_t* data = out.mutable_data();
    const Released release;
    how(context, data, c.data(), rows, digit_limbs, digits, specials);
    return out;
}

// digit_limbs may be more than there are limbs.
ring::OwnRows own_rows(const Context& context, std::size_t limbs, std::size_t digit_limbs,
                       std::size_t digits) {
    require(digit_limbs >= 1 && digit_limbs <= static_cast<std::size_t>(context.size()),
            "digit_limbs must be in [1, number of moduli]");
    require(digits >= 1 && digits <= limbs && (digits - 1) * digit_limbs < limbs,
            "every digit must have a row");
    return {limbs, digit_limbs, digits};
}

Words switch_key(const Context& context, const Words& digits, const Rows& rows,
                 const Rows& specials, const Words& key, const Rows& key_rows, const Words& addend,
                 const std::vector<std::uint64_t>& p_mod_q, const py::object& permutation,
                 const py::object& base, const py::object& source, std::size_t digit_limbs) {
    const std::size_t n = context.n();
    require(digits.ndim() == 3, "digits must have shape (digits, rows, n)");
    ring::KeySwitch job{};
    job.limbs = rows.size();
    job.rows = extended(context, rows, specials);
    const std::size_t total = job.rows.size();
    job.digit_count = static_cast<std::size_t>(digits.shape(0));
    require_shape(digits, {job.digit_count, total, n}, "digits");
    require(job.digit_count >= 1, "there are no digits");
    job.digits = digits.data();
    Words own;
    if (!source.is_none()) {
        own = py::cast<Words>(source);
        require_shape(own, {job.limbs, n}, "source");
        job.source = own.data();
        job.own_rows = own_rows(context, job.limbs, digit_limbs, job.digit_count);
    }
    job.key = view(context, key, key_rows, job.rows, job.digit_count);
    require(addend.ndim() == 3 && addend.shape(0) <= 2, "addend must have shape (<= 2, limbs, n)");
    job.addend_polys = static_cast<std::size_t>(addend.shape(0));
    job.addend_rows = static_cast<std::size_t>(addend.shape(1)) == total ? total : job.limbs;
    require_shape(addend, {job.addend_polys, job.addend_rows, n}, "addend");
    job.addend = addend.data();
    require_p_mod_q(context, p_mod_q, rows);
    job.p_mod_q = p_mod_q;
    Index index;
    if (!permutation.is_none()) {
        index = py::cast<Index>(permutation);
        require_index(index, n);
        job.permutation = index.data();
    }
    const bool adds = !base.is_none();
    Words out = adds ? py::cast<Words>(base) : make(context, {2, total, n});
    require_shape(out, {2, total, n}, "base");
    std::uint64_t* data = out.mutable_data();
    const Released release;
    ring::switch_key(context, data, adds, job);
    return out;
}

// [2][rows][n / 2] of an array [rows][n]
Words halves(const Context& context, const Words& a, const Rows& rows) {
    require_rows(context, rows);
    require_shape(a, {rows.size(), context.n()}, "a");
    Words out = make(context, {2, rows.size(), context.n() / 2});
    std::uint64_t* data = out.mutable_data();
    const Released release;
    ring::split_halves(context, data, a.data(), rows);
    return out;
}

// [3][rows][n] of two arrays [2][rows][n]
Words tensor(const Context& context, const Words& a, const Words& b, const Rows& rows) {
    require_rows(context, rows);
    require_shape(a, {2, rows.size(), context.n()}, "a");
    require_shape(b, {2, rows.size(), context.n()}, "b");
    Words out = make(context, {3, rows.size(), context.n()});
    std::uint64_t* data = out.mutable_data();
    const Released release;
    ring::tensor(context, data, a.data(), b.data(), rows);
    return out;
}

// a [2][rows][n]; adds to the first polynomial, or multiplies both.
Words with_plain(const Context& context, const Words& a, const Signed& coefficients,
                 const Rows& rows, bool adds) {
    require_rows(context, rows);
    require_shape(a, {2, rows.size(), context.n()}, "a");
    const auto size = static_cast<std::size_t>(coefficients.size());
    if (adds) {
        require(coefficients.ndim() == 1 && std::has_single_bit(size) && size <= context.n(),
                "coefficients must have shape (size,), a power of two up to n");
    } else {
        require_shape(coefficients, {context.n()}, "coefficients");
    }
    Words out = make(context, {2, rows.size(), context.n()});
    std::uint64_t* data = out.mutable_data();
    const Released release;
    if (adds) {
        context.add_plain(data, a.data(), coefficients.data(), size, rows);
    } else {
        context.multiply_plain(data, a.data(), 2, coefficients.data(), rows);
    }
    return out;
}

// x [polys][rows][n]
Words divide_and_round(const Context& context, const Words& x, const Rows& rows, const Rows& wanted,
                       const std::vector<std::uint64_t>& factors) {
    const std::size_t n = context.n();
    require_rows(context, rows);
    require_rows(context, wanted);
    require(x.ndim() == 3, "x must have shape (polys, rows, n)");
    const auto polys = static_cast<std::size_t>(x.shape(0));
    require_shape(x, {polys, rows.size(), n}, "x");
    for (const Rows& list : {rows, wanted}) {
        require(std::set<int>(list.begin(), list.end()).size() == list.size(),
                "a row is listed twice");
    }
    require(std::any_of(rows.begin(), rows.end(),
                        [&](int row) {
                            return std::find(wanted.begin(), wanted.end(), row) == wanted.end();
                        }),
            "at least one row must be dropped");
    require(factors.empty() || factors.size() == rows.size(), "one factor per row is needed");
    for (std::size_t i = 0; i < factors.size(); ++i) {
        require(factors[i] % context.modulus(rows[i]).q != 0, "a factor must not vanish");
    }
    Words out = make(context, {polys, wanted.size(), n});
    std::uint64_t* data = out.mutable_data();
    const std::uint64_t* in = x.data();
    const Released release;
    ring::divide_and_round(context, data, in, polys, rows, wanted, factors);
    return out;
}

// Returns how many of out were filled.
std::size_t fill_uniform(Words out, const Words& words, std::uint64_t q) {
    require(out.ndim() == 1 && words.ndim() == 1, "out and words must be one-dimensional");
    require(q > 1, "q must be above 1");
    std::uint64_t* target = out.mutable_data();
    const auto wanted = static_cast<std::size_t>(out.size());
    const auto available = static_cast<std::size_t>(words.size());
    const std::uint64_t* source = words.data();
    const Released release;
    return ring::fill_uniform(target, wanted, source, available, q);
}

// A mask whose residues are kept; holds its array.
class Kept {
  public:
    explicit Kept(Signed coefficients)
        : coefficients_(std::move(coefficients)),
          rows_(coefficients_.data(), static_cast<std::size_t>(coefficients_.size())) {
        require(coefficients_.ndim() == 1, "coefficients must be one-dimensional");
    }

    const Signed& coefficients() const { return coefficients_; }
    ring::KeptRows* rows() { return &rows_; }
    std::size_t bytes() const { return rows_.bytes(); }

  private:
    Signed coefficients_;
    ring::KeptRows rows_;
};

// What of a linear transform is the same for every ciphertext; holds its arrays.
class Transform {
  public:
    using Terms = std::vector<std::pair<std::size_t, std::ptrdiff_t>>;

    Transform(std::vector<Signed> masks, Terms terms, std::vector<Index> outputs, Signed weights,
              const std::vector<std::shared_ptr<Kept>>& kept)
        : masks_(std::move(masks)),
          terms_(std::move(terms)),
          outputs_(std::move(outputs)),
          weights_(std::move(weights)),
          kept_(kept) {
        for (const Signed& mask : masks_) require_mask(mask);
        for (const std::shared_ptr<Kept>& one : kept_) keep(one.get());
        require(weights_.ndim() == 2, "weights must have shape (count, period)");
        fixed_.weights = weights_.data();
        fixed_.largest_weight = largest(weights_);
        fixed_.weight_count = static_cast<std::size_t>(weights_.shape(0));
        fixed_.period = static_cast<std::size_t>(weights_.shape(1));
        require(fixed_.period >= 8 && std::has_single_bit(fixed_.period),
                "the weight period must be a power of two in [8, n]");
        for (const auto& [baby, mask] : terms_) {
            require(mask < static_cast<std::ptrdiff_t>(masks_.size()), "a term names no mask");
            fixed_.terms.push_back({baby, mask});
            babies_ = std::max(babies_, baby + (baby + 1 != 0));
        }
        require(!outputs_.empty(), "a transform needs outputs");
        for (const Index& entries : outputs_) add_output(entries);
    }

    const std::vector<Signed>& masks() const { return masks_; }
    const Terms& terms() const { return terms_; }
    const std::vector<Index>& outputs() const { return outputs_; }
    const Signed& weights() const { return weights_; }

    // For a ring and so many baby steps; the rest is the caller's to add.
    ring::LinearTransform begin(std::size_t n, std::size_t babies) const {
        require(babies_ <= babies, "a term names no baby step");
        require(fixed_.period <= n, "the weight period must be a power of two in [8, n]");
        for (const Signed& mask : masks_) require_shape(mask, {n}, "a mask");
        return fixed_;
    }

  private:
    void require_mask(const Signed& mask) {
        constexpr std::int64_t kLimit = std::int64_t{1} << 50;
        require(mask.ndim() == 1, "a mask must be one-dimensional");
        require(std::all_of(mask.data(), mask.data() + mask.size(),
                            [](std::int64_t v) { return v >= -kLimit && v < kLimit; }),
                "mask coefficients must lie in [-2^50, 2^50)");
        fixed_.masks.push_back(mask.data());
        fixed_.kept.push_back(nullptr);
    }

    // Of the absolute values.
    static std::uint64_t largest(const Signed& values) {
        std::uint64_t found = 0;
        for (py::ssize_t i = 0; i < values.size(); ++i) {
            const std::int64_t value = values.data()[i];
            const auto word = static_cast<std::uint64_t>(value);
            found = std::max(found, value < 0 ? 0 - word : word);
        }
        return found;
    }

    void add_output(const Index& entries) {
        require(entries.ndim() == 2 && entries.shape(1) == 2 &&
                    entries.shape(0) <= static_cast<py::ssize_t>(kernels::kMaxTerms),
                "an output must be an array of at most 4096 (term, weight) pairs");
        std::vector<ring::Entry>& list = fixed_.outputs.emplace_back();
        for (py::ssize_t i = 0; i < entries.shape(0); ++i) {
            const ring::Entry entry{entries.at(i, 0), entries.at(i, 1)};
            require(entry.term < terms_.size() && entry.weight < fixed_.weight_count,
                    "an entry names no term or no weight");
            list.push_back(entry);
        }
    }

    // The masks that are this array need not be transformed again. The start of one is another.
    void keep(Kept* kept) {
        const Signed& one = kept->coefficients();
        for (std::size_t i = 0; i < masks_.size(); ++i) {
            if (masks_[i].data() == one.data() && masks_[i].size() == one.size()) {
                fixed_.kept[i] = kept->rows();
            }
        }
    }

    std::vector<Signed> masks_;
    Terms terms_;
    std::vector<Index> outputs_;
    Signed weights_;
    std::vector<std::shared_ptr<Kept>> kept_;
    std::size_t babies_ = 0;         // that the terms name
    ring::LinearTransform fixed_{};  // its pointers are into the arrays above
};

using Inputs = std::vector<std::pair<Strided, Words>>;

void add_inputs(ring::LinearTransform& t, const Inputs& inputs, std::size_t n) {
    t.digit_count = 0;
    constexpr auto kWord = static_cast<py::ssize_t>(sizeof(std::uint64_t));
    const auto row = static_cast<py::ssize_t>(n);
    for (const auto& [ciphertext, digits] : inputs) {
        require_shape(ciphertext, {2, t.limbs, n}, "a ciphertext");
        const bool decomposed = digits.size() != 0;
        if (decomposed) {
            require(digits.ndim() == 3, "digits must have shape (digits, rows, n)");
            t.digit_count = static_cast<std::size_t>(digits.shape(0));
        }
        require(ciphertext.strides(2) == kWord && ciphertext.strides(1) == kWord * row,
                "a ciphertext's polynomials must be contiguous");
        t.inputs.push_back(
            {{ciphertext.data(0), ciphertext.data(1)}, decomposed ? digits.data() : nullptr});
    }
    for (const auto& [ciphertext, digits] : inputs) {
        if (digits.size() != 0) require_shape(digits, {t.digit_count, t.rows.size(), n}, "digits");
    }
}

// (input, permutation, key, rows of the key); None for both: not rotated.
using Babies = std::vector<std::tuple<std::size_t, py::object, py::object, Rows>>;

// Returns what must outlive the computation.
std::vector<py::object> add_babies(ring::LinearTransform& t, const Context& context,
                                   const Babies& babies) {
    std::vector<py::object> alive;
    for (const auto& [input, permutation, key, key_rows] : babies) {
        require(input < t.inputs.size(), "a baby step names no input");
        if (permutation.is_none()) {
            t.babies.push_back({input, nullptr, {}});
            continue;
        }
        const auto index = py::cast<Index>(permutation);
        const auto key_array = py::cast<Words>(key);
        require_index(index, context.n());
        require(t.inputs[input].digits != nullptr, "a rotated input needs its digits");
        t.babies.push_back(
            {input, index.data(), view(context, key_array, key_rows, t.rows, t.digit_count)});
        alive.push_back(index);
        alive.push_back(key_array);
    }
    return alive;
}

// Each sum in a block of its own: it serves others as soon as that sum is divided.
std::vector<Words> accumulate(const Context& context, const Transform& transform,
                              const Inputs& inputs, const Babies& babies, const Rows& rows,
                              const Rows& specials, const std::vector<std::uint64_t>& p_mod_q,
                              std::size_t digit_limbs) {
    const std::size_t n = context.n();
    require(!inputs.empty(), "a transform needs inputs");
    ring::LinearTransform t = transform.begin(n, babies.size());
    t.limbs = rows.size();
    t.rows = extended(context, rows, specials);
    require_p_mod_q(context, p_mod_q, rows);
    t.p_mod_q = p_mod_q;
    add_inputs(t, inputs, n);
    if (digit_limbs != 0 && t.digit_count != 0) {
        t.own_rows = own_rows(context, t.limbs, digit_limbs, t.digit_count);
    }
    const std::vector<py::object> alive = add_babies(t, context, babies);
    std::vector<Words> sums;
    std::vector<std::uint64_t*> data;
    while (sums.size() < t.outputs.size()) {
        sums.push_back(make(context, {2, t.rows.size(), n}));
        data.push_back(sums.back().mutable_data());
    }
    const Released release;
    ring::accumulate(context, data, t);
    return sums;
}

}  // namespace

void bind_ring(py::module_& m) {
    ring::handle_forks();
    py::register_exception<ring::TooFewThreads>(m, "ThreadError", PyExc_RuntimeError);
    py::register_exception<kernels::Unavailable>(m, "KernelsError", PyExc_ValueError);
    py::class_<Kept, std::shared_ptr<Kept>>(m, "Kept")
        .def(py::init<Signed>(), py::arg("coefficients").noconvert())
        .def_property_readonly("coefficients", &Kept::coefficients)
        .def_property_readonly("nbytes", &Kept::bytes);

    py::class_<Transform>(m, "Transform")
        .def(py::init<std::vector<Signed>, Transform::Terms, std::vector<Index>, Signed,
                      const std::vector<std::shared_ptr<Kept>>&>(),
             py::arg("masks"), py::arg("terms"), py::arg("outputs"), py::arg("weights"),
             py::arg("kept") = std::vector<std::shared_ptr<Kept>>())
        .def_property_readonly("masks", &Transform::masks)
        .def_property_readonly("terms", &Transform::terms)
        .def_property_readonly("outputs", &Transform::outputs)
        .def_property_readonly("weights", &Transform::weights);

    py::class_<Context>(m, "Context")
        .def(py::init([](std::size_t n, const std::vector<std::uint64_t>& moduli, int threads,
                         bool secret, std::size_t idle_limit, const std::string& ring) {
                 auto context = std::make_unique<Context>(
                     ring::kind_by_name(ring), n, moduli, threads, kernels::select(),
                     std::make_shared<ring::BufferPool>(idle_limit, secret));
                 ring::require_threads(threads);
                 return context;
             }),
             py::arg("n"), py::arg("moduli"), py::arg("threads"), py::arg("secret") = false,
             py::arg("idle_limit") = ring::kIdleBytes, py::arg("ring") = "standard")
        .def(
            "of_degree",
            [](const Context& c, std::size_t n) {
                std::vector<std::uint64_t> moduli;
                for (int i = 0; i < c.size(); ++i) moduli.push_back(c.modulus(i).q);
                return std::make_unique<Context>(c.kind(), n, moduli, c.threads(), c.kernels(),
                                                 c.pool());
            },
            py::arg("n"))
        .def_property_readonly("idle_bytes",
                               [](const Context& c) { return c.pool()->idle_bytes(); })
        .def_property_readonly("n", &Context::n)
        .def_property_readonly("threads", &Context::threads)
        .def_property_readonly("kernels", [](const Context& c) { return c.kernels().name; })
        .def("ntt_forward", [](const Context& c, const Words& a,
                               const Rows& rows) { return transform(c, a, rows, true); })
        .def("ntt_inverse", [](const Context& c, const Words& a,
                               const Rows& rows) { return transform(c, a, rows, false); })
        .def("add", [](const Context& c, const Words& a, const Words& b,
                       const Rows& rows) { return pointwise(c, c.kernels().add, a, b, rows); })
        .def("subtract",
             [](const Context& c, const Words& a, const Words& b, const Rows& rows) {
                 return pointwise(c, c.kernels().subtract, a, b, rows);
             })
        .def("multiply",
             [](const Context& c, const Words& a, const Words& b, const Rows& rows) {
                 return pointwise(c, c.kernels().multiply, a, b, rows);
             })
        .def("multiply_scalars",
             [](const Context& c, const Words& a, const std::vector<std::uint64_t>& factors,
                const Rows& rows) {
                 Words out = checked_like(c, a, rows);
                 require(factors.size() == rows.size(), "one factor per row is needed");
                 std::uint64_t* data = out.mutable_data();
                 const Released release;
                 c.multiply_scalars(data, a.data(), factors, rows);
                 return out;
             })
        .def("embed_signed",
             [](const Context& c, const Signed& coefficients, const Rows& rows) {
                 require_rows(c, rows);
                 require_shape(coefficients, {c.n()}, "coefficients");
                 Words out = make(c, {rows.size(), c.n()});
                 std::uint64_t* data = out.mutable_data();
                 const Released release;
                 c.embed_signed(data, coefficients.data(), rows);
                 return out;
             })
        .def(
            "add_plain",
            [](const Context& c, const Words& a, const Signed& coefficients, const Rows& rows) {
                return with_plain(c, a, coefficients, rows, true);
            },
            py::arg("a"), py::arg("coefficients"), py::arg("rows"))
        .def(
            "multiply_plain",
            [](const Context& c, const Words& a, const Signed& coefficients, const Rows& rows) {
                return with_plain(c, a, coefficients, rows, false);
            },
            py::arg("a"), py::arg("coefficients"), py::arg("rows"))
        .def("permute",
             [](const Context& c, const Words& a, const Index& index) {
                 require(a.ndim() == 2, "a must have shape (rows, n)");
                 const auto rows = static_cast<std::size_t>(a.shape(0));
                 require_shape(a, {rows, c.n()}, "a");
                 require_index(index, c.n());
                 Words out = make(c, {rows, c.n()});
                 std::uint64_t* data = out.mutable_data();
                 const Released release;
                 c.permute(data, a.data(), index.data(), rows);
                 return out;
             })
        .def(
            "decompose",
            [](const Context& context, const Words& c, const Rows& rows, std::size_t digit_limbs,
               std::size_t digits, const Rows& specials) {
                return decompose(context, &ring::decompose, c, rows, digit_limbs, digits, specials);
            },
            py::arg("c"), py::arg("rows"), py::arg("digit_limbs"), py::arg("digits"),
            py::arg("specials"))
        .def(
            "extend",
            [](const Context& context, const Words& c, const Rows& rows, std::size_t digit_limbs,
               std::size_t digits, const Rows& specials) {
                return decompose(context, &ring::extend, c, rows, digit_limbs, digits, specials);
            },
            py::arg("c"), py::arg("rows"), py::arg("digit_limbs"), py::arg("digits"),
            py::arg("specials"))
        .def("switch_key", &switch_key, py::arg("digits"), py::arg("rows"), py::arg("specials"),
             py::arg("key"), py::arg("key_rows"), py::arg("addend"), py::arg("p_mod_q"),
             py::arg("permutation"), py::arg("base"), py::arg("source") = py::none(),
             py::arg("digit_limbs") = 0)
        .def("halves", &halves, py::arg("a"), py::arg("rows"))
        .def("tensor", &tensor, py::arg("a"), py::arg("b"), py::arg("rows"))
        .def("divide_and_round", &divide_and_round, py::arg("x"), py::arg("rows"),
             py::arg("wanted"), py::arg("factors") = std::vector<std::uint64_t>{})
        .def("accumulate", &accumulate, py::arg("transform"), py::arg("inputs"), py::arg("babies"),
             py::arg("rows"), py::arg("specials"), py::arg("p_mod_q"), py::arg("digit_limbs") = 0);

    m.def(
        "galois_permutation",
        [](std::size_t n, std::uint64_t galois_element, const std::string& ring) {
            const std::vector<std::uint32_t> index =
                ring::galois_permutation(ring::kind_by_name(ring), n, galois_element);
            Index out(static_cast<py::ssize_t>(index.size()));
            std::copy(index.begin(), index.end(), out.mutable_data());
            return out;
        },
        py::arg("n"), py::arg("galois_element"), py::arg("ring") = "standard");
    m.def("fill_uniform", &fill_uniform, py::arg("out").noconvert(), py::arg("words").noconvert(),
          py::arg("q"));
}

}  // namespace fhe::bindings
