"""One encrypted match with a whole gallery: ours and SEAL's (TenSEAL), on one thread.

    pytest benchmarks/test_seal.py --benchmark-columns=min,median,rounds

Five limbs of 43 to 50 bits, digits of one limb, one special prime: what SEAL can do, it does with
the very primes of ours. No baseline for more than
that: SEAL has no parameters for the whole network.
"""

import functools

import pytest

from fhe_core.oracles import seal_library
from fhe_core.oracles.chain import levels_of
from fhe_core.oracles.interface import OracleError
from fhe_core.oracles.run import Runner, multiplies, rotations
from fhe_core.runtime import native
from fhe_core.runtime.packed import pack
from tests.oracles import small_plans

#: Of ours; SEAL computes in the ring of twice the degree that holds it.
SIZES = (13, 14)


@functools.lru_cache(None)
def gallery(log_ring_dimension):
    bench, _ = small_plans.gallery(small_plans.normalisation(log_ring_dimension, seed=0), seed=1)
    return bench


def ours(bench):
    packed = pack(bench.plan, bench.tables, bench.parameters)
    return functools.partial(native.run, packed, bench.evaluator(), bench.encrypted())


def seal(bench):
    library = seal_library.SealLibrary(
        bench.parameters,
        rotations(bench.plan, bench.parameters.slots),
        multiplies=multiplies(bench.plan),
    )
    runner = Runner(library, bench.plan, bench.tables, levels_of(bench.parameters))
    return functools.partial(runner.evaluate, runner.encrypt(bench.values))


@pytest.mark.parametrize("log_ring_dimension", SIZES)
@pytest.mark.parametrize("library", [ours, seal], ids=lambda library: library.__name__)
def test_match_with_a_gallery(benchmark, library, log_ring_dimension):
    if library is seal:
        try:
            seal_library.imported()
        except OracleError as error:
            pytest.skip(str(error))
    benchmark.group = f"ring dimension {1 << log_ring_dimension}"
    benchmark.pedantic(library(gallery(log_ring_dimension)), rounds=9, warmup_rounds=1)
