#include "ring/kept_rows.hpp"

#include <memory>
#include <vector>

#include "ring/parallel.hpp"

namespace fhe::ring {

void KeptRows::prepare(const Context& context, const Rows& rows) {
    const std::lock_guard lock(mutex_);
    Rows missing;
    for (const int index : rows) {
        if (!rows_.contains(key(context, index))) missing.push_back(index);
    }
    if (missing.empty()) return;
    // A pool of its own: the context's may end before, and would count these as its working set.
    blocks_.emplace_back(std::make_shared<BufferPool>(0), missing.size() * n_);
    std::uint64_t* const data = blocks_.back().data();
    parallel_for(context.threads(), missing.size(), [&](std::size_t i, std::size_t) {
        embed(context, data + i * n_, values_, missing[i]);
    });
    for (std::size_t i = 0; i < missing.size(); ++i) {
        rows_.emplace(key(context, missing[i]), data + i * n_);
    }
}

void KeptRows::embed(const Context& context, std::uint64_t* row, const std::int64_t* values,
                     int index) {
    const Modulus& m = context.modulus(index);
    context.embed_row(row, values, index);
    context.kernels().multiply_scalar(row, row, ShoupFactor(m.r52, m), context.n(), m);
}

const std::uint64_t* KeptRows::row(const Context& context, int index) const {
    const std::lock_guard lock(mutex_);
    return rows_.at(key(context, index));
}

std::size_t KeptRows::bytes() const {
    const std::lock_guard lock(mutex_);
    return rows_.size() * n_ * sizeof(std::uint64_t);
}

}  // namespace fhe::ring
