#include "ring/sums.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace fhe::ring {

namespace {

// (scratch row, how often the sum had it before) to row of the weight table.
using Terms = std::map<std::pair<std::size_t, std::size_t>, std::size_t>;

struct Pending {
    std::size_t target;
    Terms terms;
};

void add_group(SumPlan& plan, const Pending* sums, std::size_t count) {
    Terms all;
    for (std::size_t i = 0; i < count; ++i) all.insert(sums[i].terms.begin(), sums[i].terms.end());
    SumGroup group;
    group.first_slot = plan.slots.size();
    for (std::size_t i = 0; i < count; ++i) group.targets.push_back(sums[i].target);
    for (const auto& [key, unused] : all) {
        group.rows.push_back(key.first);
        for (std::size_t i = 0; i < count; ++i) {
            const auto found = sums[i].terms.find(key);
            plan.slots.push_back(
                found == sums[i].terms.end() ? -1 : static_cast<std::ptrdiff_t>(found->second));
        }
    }
    plan.groups.push_back(std::move(group));
}

// Sums with about the same terms are formed together; neighbours usually are.
void add_groups(SumPlan& plan, const std::vector<Pending>& sums) {
    constexpr std::size_t kAll = kernels::kSumsAtOnce;
    std::size_t i = 0;
    while (i < sums.size()) {
        std::set<std::pair<std::size_t, std::size_t>> keys;
        std::size_t products = 0;
        const std::size_t end = std::min(i + kAll, sums.size());
        for (std::size_t j = i; j < end; ++j) {
            for (const auto& [key, unused] : sums[j].terms) keys.insert(key);
            products += sums[j].terms.size();
        }
        // Reading once instead of four times is worth up to half as many products with zero.
        const bool together = end - i == kAll && keys.size() <= kernels::kMaxTerms &&
                              2 * kAll * keys.size() <= 3 * products;
        const std::size_t count = together ? kAll : 1;
        add_group(plan, &sums[i], count);
        i += count;
    }
}

}  // namespace

MaskOrder::MaskOrder(const LinearTransform& transform) {
    const std::size_t masks = transform.masks.size(), count = transform.terms.size();
    std::vector<std::size_t> terms(masks), uses(transform.babies.size());
    std::vector<std::set<std::size_t>> outputs(masks);
    std::vector<std::vector<std::pair<std::size_t, std::size_t>>> sums(count);  // (sum, weight)
    for (const Term& term : transform.terms) {
        ++uses[term.baby];
        if (term.mask >= 0) ++terms[static_cast<std::size_t>(term.mask)];
    }
    for (std::size_t o = 0; o < transform.outputs.size(); ++o) {
        for (const Entry& entry : transform.outputs[o]) {
            const std::ptrdiff_t mask = transform.terms[entry.term].mask;
            if (mask >= 0) outputs[static_cast<std::size_t>(mask)].insert(o);
            sums[entry.term].emplace_back(o, entry.weight);
        }
    }
    // A sum that is masked later costs a reduction of its own: 1.6 times a product with a mask.
    for (std::size_t m = 0; m < masks; ++m) after.push_back(8 * outputs[m].size() < 5 * terms[m]);
    std::map<std::vector<std::pair<std::size_t, std::size_t>>, std::vector<std::size_t>> alike;
    for (std::size_t i = 0; i < count; ++i) {
        if (transform.terms[i].mask >= 0 && !sums[i].empty()) alike[sums[i]].push_back(i);
    }
    for (const auto& [unused, own] : alike) {
        if (own.size() == 1) continue;
        for (const std::size_t i : own)
            after[static_cast<std::size_t>(transform.terms[i].mask)] = false;
    }
    rows = transform.babies.size();
    for (const Term& term : transform.terms) term_row.push_back(term.baby);
    for (auto& [unused, own] : alike) {
        if (!before(transform.terms[own.front()])) continue;
        // What nothing else reads is masked where it lies.
        const std::size_t baby = transform.terms[own.front()].baby;
        const std::size_t row = uses[baby] == 1 ? baby : rows++;
        for (const std::size_t i : own) term_row[i] = row;
        groups.push_back({row, std::move(own)});
    }
}

std::vector<bool> MaskOrder::counted(const LinearTransform& transform,
                                     const std::vector<bool>& skipped) const {
    std::vector<bool> found;
    for (const Term& term : transform.terms) found.push_back(!skipped[term.baby]);
    for (const MaskedTerms& group : groups) {
        bool first = true;
        for (const std::size_t i : group.terms) {
            found[i] = found[i] && first;
            first = first && !found[i];
        }
    }
    return found;
}

SumPlan plan_sums(const LinearTransform& transform, const MaskOrder& order,
                  const std::vector<bool>& skipped) {
    SumPlan plan;
    const std::size_t outputs = transform.outputs.size();
    plan.count = outputs;
    plan.direct.resize(outputs);
    plan.masked.resize(outputs);
    const std::vector<bool> counted = order.counted(transform, skipped);
    std::map<std::ptrdiff_t, std::vector<Pending>> pending;  // by mask after the sum, or -1
    for (std::size_t o = 0; o < outputs; ++o) {
        std::map<std::ptrdiff_t, Terms> sums;
        std::map<std::pair<std::ptrdiff_t, std::size_t>, std::size_t> times;  // by sum and row
        for (const Entry& entry : transform.outputs[o]) {
            const Term& term = transform.terms[entry.term];
            if (!counted[entry.term]) continue;
            const std::ptrdiff_t mask = order.before(term) ? -1 : term.mask;
            const std::size_t row = order.term_row[entry.term];
            sums[mask][{row, times[{mask, row}]++}] = entry.weight;
        }
        for (auto& [mask, terms] : sums) {
            std::size_t target = o;
            if (mask < 0) {
                plan.direct[o] = true;
            } else {
                target = plan.count++;
                plan.masked[o].emplace_back(target, static_cast<std::size_t>(mask));
            }
            pending[mask].push_back({target, std::move(terms)});
        }
    }
    add_groups(plan, pending[-1]);
    pending.erase(-1);
    plan.masked_from = plan.slots.size();
    for (const auto& [mask, sums] : pending) add_groups(plan, sums);
    return plan;
}

}  // namespace fhe::ring
