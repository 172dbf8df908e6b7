// Python face of cpp/ring: numpy arrays in, numpy arrays out, shapes checked, the GIL released.
#include "bindings/bind_ring.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <stdexcept>
#include <string>

#include "bindings/arrays.hpp"
#include "bindings/bind_keys.hpp"
#include "bindings/results.hpp"
#include "ring/basis.hpp"
#include "ring/context.hpp"
#include "ring/forks.hpp"
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
                     std::size_t limbs) {
    require(p_mod_q.size() == limbs, "p_mod_q must have one value per limb");
    for (std::size_t i = 0; i < limbs; ++i) {
        require(p_mod_q[i] < context.modulus(static_cast<int>(i)).q,
                "p_mod_q must be reduced modulo each limb");
    }
}

Rows limb_rows(std::size_t limbs) {
    Rows rows(limbs);
    std::iota(rows.begin(), rows.end(), 0);
    return rows;
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

// The key outlives the call because the caller holds the array.
ring::KeyView view(const Context& context, const Words& key, std::size_t key_limbs) {
    require_key_memory(key, context.n());
    return {key.data(), static_cast<std::size_t>(key.shape(2)), key_limbs,
            static_cast<std::size_t>(key.shape(0))};
}

void require_key(const ring::KeyView& key, std::size_t digits, std::size_t limbs,
                 std::size_t specials) {
    require(key.digits >= digits, "the key has too few digits");
    require(key.key_limbs >= limbs && key.key_limbs < key.key_rows &&
                key.key_rows - key.key_limbs == specials,
            "the key does not cover the ciphertext's limbs");
}

Words decompose(const Context& context, const Words& c, int digit_limbs, const Rows& specials) {
    require(c.ndim() == 2 && c.shape(0) >= 1, "c must have shape (limbs, n)");
    require(digit_limbs >= 1 && digit_limbs <= context.size(),
            "digit_limbs must be in [1, number of moduli]");
    require_rows(context, specials);
    const auto limbs = static_cast<std::size_t>(c.shape(0));
    require_rows(context, limb_rows(limbs));
    require_shape(c, {limbs, context.n()}, "c");
    const std::size_t step = static_cast<std::size_t>(digit_limbs);
    Words out = make(context, {(limbs + step - 1) / step, limbs + specials.size(), context.n()});
    std::uint64_t* data = out.mutable_data();
    const Released release;
    ring::decompose(context, data, c.data(), static_cast<int>(limbs), digit_limbs, specials);
    return out;
}

Words switch_key(const Context& context, const Words& digits, const Words& key,
                 std::size_t key_limbs, const Rows& specials, const Words& addend,
                 const std::vector<std::uint64_t>& p_mod_q, const py::object& permutation,
                 const py::object& base) {
    const std::size_t n = context.n();
    require(digits.ndim() == 3, "digits must have shape (digits, rows, n)");
    const auto total = static_cast<std::size_t>(digits.shape(1));
    require(total > specials.size(), "digits have too few rows");
    ring::KeySwitch job{};
    job.limbs = total - specials.size();
    job.rows = limb_rows(job.limbs);
    job.rows.insert(job.rows.end(), specials.begin(), specials.end());
    require_rows(context, job.rows);
    job.digit_count = static_cast<std::size_t>(digits.shape(0));
    require_shape(digits, {job.digit_count, total, n}, "digits");
    require(job.digit_count >= 1, "there are no digits");
    job.digits = digits.data();
    job.key = view(context, key, key_limbs);
    require_key(job.key, job.digit_count, job.limbs, specials.size());
    require(addend.ndim() == 3 && addend.shape(0) <= 2, "addend must have shape (<= 2, limbs, n)");
    job.addend_polys = static_cast<std::size_t>(addend.shape(0));
    job.addend_rows = static_cast<std::size_t>(addend.shape(1)) == total ? total : job.limbs;
    require_shape(addend, {job.addend_polys, job.addend_rows, n}, "addend");
    job.addend = addend.data();
    require_p_mod_q(context, p_mod_q, job.limbs);
    job.p_mod_q = p_mod_q;
    Index index;
    if (!permutation.is_none()) {
        index = py::cast<Index>(permutation);
        require_index(index, n);
        job.permutation = index.data();
    }
    Words out = base.is_none() ? make(context, {2, total, n}) : py::cast<Words>(base);
    require_shape(out, {2, total, n}, "base");
    std::uint64_t* data = out.mutable_data();
    const bool adds = !base.is_none();
    const Released release;
    ring::switch_key(context, data, adds ? data : nullptr, job);
    return out;
}

using Product = void (*)(const Context&, std::uint64_t*, const std::uint64_t*, const std::uint64_t*,
                         const Rows&);

// [3][limbs][n] of two arrays [2][limbs][n]
Words product(const Context& context, Product form, const Words& a, const Words& b) {
    require(a.ndim() == 3, "a must have shape (2, limbs, n)");
    const auto limbs = static_cast<std::size_t>(a.shape(1));
    const Rows rows = limb_rows(limbs);
    require_rows(context, rows);
    require_shape(a, {2, limbs, context.n()}, "a");
    require_shape(b, {2, limbs, context.n()}, "b");
    Words out = make(context, {3, limbs, context.n()});
    std::uint64_t* data = out.mutable_data();
    const Released release;
    form(context, data, a.data(), b.data(), rows);
    return out;
}

// a [2][limbs][n]; adds to the first polynomial, or multiplies both.
Words with_plain(const Context& context, const Words& a, const Signed& coefficients, bool adds) {
    require(a.ndim() == 3, "a must have shape (2, limbs, n)");
    const auto limbs = static_cast<std::size_t>(a.shape(1));
    require_rows(context, limb_rows(limbs));
    require_shape(a, {2, limbs, context.n()}, "a");
    require_shape(coefficients, {context.n()}, "coefficients");
    Words out = make(context, {2, limbs, context.n()});
    std::uint64_t* data = out.mutable_data();
    const Released release;
    if (adds) {
        context.add_plain(data, a.data(), coefficients.data(), limbs);
    } else {
        context.multiply_plain(data, a.data(), 2, coefficients.data(), limbs);
    }
    return out;
}

// x [polys][rows][n]
Words divide_and_round(const Context& context, const Words& x, const Rows& rows,
                       std::size_t dropped) {
    const std::size_t n = context.n();
    require_rows(context, rows);
    require(x.ndim() == 3, "x must have shape (polys, rows, n)");
    const auto polys = static_cast<std::size_t>(x.shape(0));
    require_shape(x, {polys, rows.size(), n}, "x");
    require(dropped >= 1 && dropped < rows.size(), "dropped must leave at least one row");
    const std::size_t kept = rows.size() - dropped;
    Words out = make(context, {polys, kept, n});
    std::uint64_t* data = out.mutable_data();
    const std::uint64_t* in = x.data();
    const Released release;
    for (std::size_t p = 0; p < polys; ++p) {
        ring::divide_and_round(context, data + p * kept * n, in + p * rows.size() * n, rows,
                               dropped);
    }
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

// What of a linear transform is the same for every ciphertext; holds its arrays.
class Transform {
  public:
    using Terms = std::vector<std::pair<std::size_t, std::ptrdiff_t>>;

    Transform(std::vector<Signed> masks, Terms terms, std::vector<Index> outputs, Signed weights)
        : masks_(std::move(masks)),
          terms_(std::move(terms)),
          outputs_(std::move(outputs)),
          weights_(std::move(weights)) {
        for (const Signed& mask : masks_) require_mask(mask);
        require(weights_.ndim() == 2, "weights must have shape (count, period)");
        fixed_.weights = weights_.data();
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

    std::vector<Signed> masks_;
    Terms terms_;
    std::vector<Index> outputs_;
    Signed weights_;
    std::size_t babies_ = 0;       // that the terms name
    ring::LinearTransform fixed_;  // its pointers are into the arrays above
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

// (input, permutation, key, limbs of the key); None for both: not rotated.
using Babies = std::vector<std::tuple<std::size_t, py::object, py::object, std::size_t>>;

// Returns what must outlive the computation.
std::vector<py::object> add_babies(ring::LinearTransform& t, const Context& context,
                                   const Babies& babies, std::size_t specials) {
    std::vector<py::object> alive;
    for (const auto& [input, permutation, key, key_limbs] : babies) {
        require(input < t.inputs.size(), "a baby step names no input");
        if (permutation.is_none()) {
            t.babies.push_back({input, nullptr, {}});
            continue;
        }
        const auto index = py::cast<Index>(permutation);
        const auto key_array = py::cast<Words>(key);
        require_index(index, context.n());
        const ring::KeyView key_view = view(context, key_array, key_limbs);
        require(t.inputs[input].digits != nullptr, "a rotated input needs its digits");
        require_key(key_view, t.digit_count, t.limbs, specials);
        t.babies.push_back({input, index.data(), key_view});
        alive.push_back(index);
        alive.push_back(key_array);
    }
    return alive;
}

Words accumulate(const Context& context, const Transform& transform, const Inputs& inputs,
                 const Babies& babies, const Rows& specials,
                 const std::vector<std::uint64_t>& p_mod_q) {
    const std::size_t n = context.n();
    require(!inputs.empty(), "a transform needs inputs");
    require(inputs[0].first.ndim() == 3, "a ciphertext must have shape (2, limbs, n)");
    ring::LinearTransform t = transform.begin(n, babies.size());
    t.limbs = static_cast<std::size_t>(inputs[0].first.shape(1));
    t.rows = limb_rows(t.limbs);
    t.rows.insert(t.rows.end(), specials.begin(), specials.end());
    require_rows(context, t.rows);
    require_p_mod_q(context, p_mod_q, t.limbs);
    t.p_mod_q = p_mod_q;
    add_inputs(t, inputs, n);
    const std::vector<py::object> alive = add_babies(t, context, babies, specials.size());
    Words out = make(context, {t.outputs.size(), 2, t.rows.size(), n});
    std::uint64_t* data = out.mutable_data();
    const Released release;
    ring::accumulate(context, data, t);
    return out;
}

Words multiply_monomial(const Context& context, const Words& a, std::size_t power) {
    require(a.ndim() == 3, "a must have shape (polys, limbs, n)");
    const auto polys = static_cast<std::size_t>(a.shape(0));
    const auto limbs = static_cast<std::size_t>(a.shape(1));
    require_rows(context, limb_rows(limbs));
    require_shape(a, {polys, limbs, context.n()}, "a");
    require(power < 2 * context.n() && power % (context.n() / 4) == 0,
            "power must be a multiple of n / 4 below 2n");
    Words out = make(context, {polys, limbs, context.n()});
    std::uint64_t* data = out.mutable_data();
    const Released release;
    context.multiply_monomial(data, a.data(), polys, power, limbs);
    return out;
}

}  // namespace

void bind_ring(py::module_& m) {
    ring::handle_forks();
    py::register_exception<ring::TooFewThreads>(m, "ThreadError", PyExc_RuntimeError);
    py::register_exception<kernels::Unavailable>(m, "KernelsError", PyExc_ValueError);
    py::class_<Transform>(m, "Transform")
        .def(py::init<std::vector<Signed>, Transform::Terms, std::vector<Index>, Signed>(),
             py::arg("masks"), py::arg("terms"), py::arg("outputs"), py::arg("weights"))
        .def_property_readonly("masks", &Transform::masks)
        .def_property_readonly("terms", &Transform::terms)
        .def_property_readonly("outputs", &Transform::outputs)
        .def_property_readonly("weights", &Transform::weights);

    py::class_<Context>(m, "Context")
        .def(py::init([](std::size_t n, const std::vector<std::uint64_t>& moduli, int threads,
                         bool secret, std::size_t idle_limit) {
                 auto context = std::make_unique<Context>(
                     n, moduli, threads, kernels::select(),
                     std::make_shared<ring::BufferPool>(idle_limit, secret));
                 ring::require_threads(threads);
                 return context;
             }),
             py::arg("n"), py::arg("moduli"), py::arg("threads"), py::arg("secret") = false,
             py::arg("idle_limit") = ring::kIdleBytes)
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
            [](const Context& c, const Words& a, const Signed& coefficients) {
                return with_plain(c, a, coefficients, true);
            },
            py::arg("a"), py::arg("coefficients"))
        .def(
            "multiply_plain",
            [](const Context& c, const Words& a, const Signed& coefficients) {
                return with_plain(c, a, coefficients, false);
            },
            py::arg("a"), py::arg("coefficients"))
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
        .def("decompose", &decompose, py::arg("c"), py::arg("digit_limbs"), py::arg("specials"))
        .def("switch_key", &switch_key, py::arg("digits"), py::arg("key"), py::arg("key_limbs"),
             py::arg("specials"), py::arg("addend"), py::arg("p_mod_q"), py::arg("permutation"),
             py::arg("base"))
        .def(
            "tensor",
            [](const Context& c, const Words& a, const Words& b) {
                return product(c, &ring::tensor, a, b);
            },
            py::arg("a"), py::arg("b"))
        .def(
            "tensor_of_parts",
            [](const Context& c, const Words& a, const Words& conjugate) {
                return product(c, &ring::tensor_of_parts, a, conjugate);
            },
            py::arg("a"), py::arg("conjugate"))
        .def("multiply_monomial", &multiply_monomial, py::arg("a"), py::arg("power"))
        .def("divide_and_round", &divide_and_round, py::arg("x"), py::arg("rows"),
             py::arg("dropped"))
        .def("accumulate", &accumulate, py::arg("transform"), py::arg("inputs"), py::arg("babies"),
             py::arg("specials"), py::arg("p_mod_q"));

    m.def("galois_permutation", [](std::size_t n, std::uint64_t galois_element) {
        const std::vector<std::uint32_t> index = ring::galois_permutation(n, galois_element);
        Index out(static_cast<py::ssize_t>(index.size()));
        std::copy(index.begin(), index.end(), out.mutable_data());
        return out;
    });
    m.def("fill_uniform", &fill_uniform, py::arg("out").noconvert(), py::arg("words").noconvert(),
          py::arg("q"));
}

}  // namespace fhe::bindings
