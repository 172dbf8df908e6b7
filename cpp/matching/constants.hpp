// Many encrypted constants from few ciphertexts (the expansion of Angel, Chen, Laine, Setty 2018,
// "PIR with compressed queries and amortized query processing", section 3.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "ring/context.hpp"

namespace fhe::matching {

// One level of the tree turns every node c into c + s(c) and X^-power (c - s(c)), where s is a
// Galois element.
struct ExpansionLevel {
    const std::uint64_t* key;          // [1][2][2][n], as ring::KeySwitch stores it for s
    const std::uint32_t* permutation;  // [n], of s: see ring::galois_permutation
    std::size_t power;                 // below n
};

// Takes constant number i as [2][n]; every number once, by several threads at a time.
using TakeConstant = std::function<void(std::size_t, const std::uint64_t*)>;

// What roots hold: numbers that may all differ, or those of an element of the real ring inside, of
// which number 2^levels - i is number i with the other sign.
enum class Numbers { all, mirrored };

// Hands over roots << levels constants made of roots [roots][2][n], both modulo the context's first
// modulus in NTT order; its second one is the special prime. The nodes that level l makes of node i
// are i and i + 2^l: where numbers stand at multiples of a stride and level l has the element
// n / (stride 2^l) + 1 and the power stride 2^l, constant i of a root is number i, times 2^levels.
// Of mirrored numbers (one root) only the first half is handed over, for half of the key switches.
void expand(const ring::Context& context, const std::uint64_t* roots, std::size_t count,
            const std::vector<ExpansionLevel>& levels, const TakeConstant& take,
            Numbers numbers = Numbers::all);

}  // namespace fhe::matching
