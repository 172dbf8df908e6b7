// Choice of implementation at run time.
#include <cstdlib>
#include <stdexcept>

#include "kernels/kernels.hpp"
#include "kernels/targets.hpp"

namespace fhe::kernels {
namespace {

bool processor_has_avx2() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

bool processor_has_avx512ifma() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512ifma");
#else
    return false;
#endif
}

// Fastest first.
std::vector<const KernelTable*> usable() {
    std::vector<const KernelTable*> tables;
    for (const KernelTable* table : {avx512ifma(), avx2(), scalar()}) {
        if (table != nullptr) tables.push_back(table);
    }
    return tables;
}

}  // namespace

const KernelTable* avx2() { return processor_has_avx2() ? compiled_avx2() : nullptr; }

const KernelTable* avx512ifma() {
    return processor_has_avx512ifma() ? compiled_avx512ifma() : nullptr;
}

std::vector<std::string> available() {
    std::vector<std::string> names;
    for (const KernelTable* table : usable()) names.emplace_back(table->name);
    return names;
}

const KernelTable& by_name(const std::string& name) {
    std::string known;
    for (const KernelTable* table : usable()) {
        if (name == table->name) return *table;
        known += std::string(known.empty() ? "" : ", ") + table->name;
    }
    throw Unavailable("kernels \"" + name + "\" are not available here; available: " + known);
}

const KernelTable& select() {
    const char* wanted = std::getenv("FHE_FACE_KERNELS");
    if (wanted == nullptr || *wanted == '\0') return *usable().front();
    try {
        return by_name(wanted);
    } catch (const Unavailable& error) {
        throw Unavailable(std::string("FHE_FACE_KERNELS: ") + error.what());
    }
}

}  // namespace fhe::kernels
