#include "ring/halves.hpp"

#include <stdexcept>

#include "ring/parallel.hpp"

namespace fhe::ring {

void split_halves(const Context& context, std::uint64_t* out, const std::uint64_t* in,
                  const Rows& rows) {
    if (context.kind() != Kind::real) throw std::invalid_argument("only the real ring has halves");
    const std::size_t half = context.n() / 2;
    std::deque<Buffer> scratch = context.scratch_each(context.n());
    parallel_for(context.threads(), rows.size(), [&](std::size_t i, std::size_t thread) {
        std::uint64_t* all = scratch[thread].data();
        context.ntt_inverse(all, in + i * context.n(), rows[i]);
        std::uint64_t* even = out + i * half;
        std::uint64_t* odd = out + (rows.size() + i) * half;
        const std::uint64_t q = context.modulus(rows[i]).q;
        std::uint64_t above = 0;
        for (std::size_t j = half; j-- > 0;) {
            even[j] = all[2 * j];
            // The coefficient of X^(2j+1) is the sum of those of Y^j and Y^(j+1) in the odd part.
            const std::uint64_t own = all[2 * j + 1];
            above = own >= above ? own - above : own + q - above;
            odd[j] = above;
        }
    });
}

}  // namespace fhe::ring
