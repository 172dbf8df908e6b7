// The tables each translation unit was compiled with, before any look at the processor (null when
// the compiler did not target the instruction set). Only dispatch.cpp uses these.
#pragma once

#include "kernels/kernels.hpp"

namespace fhe::kernels {

const KernelTable* compiled_avx2();
const KernelTable* compiled_avx512ifma();

}  // namespace fhe::kernels
