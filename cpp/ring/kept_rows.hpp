// The residues of a plaintext times 2^52, as kernels that divide by it take them, made when a
// computation first needs them and kept for the next ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "ring/context.hpp"

namespace fhe::ring {

class KeptRows {
  public:
    // values: signed coefficients [n], which must stay.
    KeptRows(const std::int64_t* values, std::size_t n) : values_(values), n_(n) {}

    // Makes what is missing of these rows, on the context's threads; others who call it wait.
    void prepare(const Context& context, const Rows& rows);
    // The row in NTT form, times 2^52, once it was prepared; stays where it is.
    const std::uint64_t* row(const Context& context, int index) const;
    std::size_t bytes() const;

    // Makes one in `row`.
    static void embed(const Context& context, std::uint64_t* row, const std::int64_t* values,
                      int index);

  private:
    using Key = std::pair<Kind, std::uint64_t>;  // contexts of several clients have the same moduli

    static Key key(const Context& context, int index) {
        return {context.kind(), context.modulus(index).q};
    }

    const std::int64_t* values_;
    std::size_t n_;
    mutable std::mutex mutex_;
    std::deque<Buffer> blocks_;
    std::map<Key, const std::uint64_t*> rows_;
};

}  // namespace fhe::ring
