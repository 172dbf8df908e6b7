"""Time of each kernel and target on one limb of 65536 residues, next to a copy of that limb.

    pytest benchmarks/test_kernels.py --benchmark-columns=min,median,rounds

Each call runs the kernel REPEATS times; divide by that for the time of one limb.
"""

import functools

import pytest

from fhe_core import _native

kernels = _native.kernels
N = 65536
Q = 1125899902124033  # the largest prime below 2^50 that is 1 mod 4N
TERMS = 32  # of weighted_sum; dot_product has half as many pairs
REPEATS = 4
TARGETS = ("scalar", "avx2", "avx512ifma")
NAMES = (
    "ntt_forward",
    "ntt_inverse",
    "real_ntt_forward",
    "real_ntt_inverse",
    "add",
    "subtract",
    "multiply",
    "multiply_add",
    "multiply_scalar",
    "multiply_scalar_add",
    "subtract_multiply_scalar",
    "reduce",
    "dot_product",
    "weighted_sum",
    "weighted_sums",
    "rounded_sum",
    "permute",
    "key_product",
    "packed_products",
)


@functools.lru_cache(None)
def workload(target):
    if target not in kernels.available():
        pytest.skip(f"this processor or build lacks {target}")
    return kernels.Workload(kernels.Kernels(target, N, Q), TERMS)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_kernel(benchmark, name, target):
    benchmark.group = name
    benchmark.pedantic(workload(target).run, (name, REPEATS), rounds=10, warmup_rounds=2)


@pytest.mark.parametrize("name", NAMES)
def test_copy(benchmark, name):
    """Calibration: the copy of one limb, once in the group of each kernel."""
    benchmark.group = name
    benchmark.pedantic(workload("scalar").run, ("copy", REPEATS), rounds=10, warmup_rounds=2)
