"""Time of each operation at the full ring dimension, at full and half level, on one thread.

    pytest benchmarks/test_operations.py --benchmark-columns=min,median,rounds

A copy of the ciphertext stands in every group, as calibration. `fhe-face bench operations` measures
the same jobs side by side, with ratios.
"""

import functools

import numpy as np
import pytest

from fhe_core.compiler import SAFE
from fhe_core.compiler.builder import LinearTables, PlanBuilder, Sums
from fhe_core.parameters import presets
from fhe_core.plan import required_keys
from fhe_core.runtime import native
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import pack
from fhe_face.bench.keys import evaluation_keys
from fhe_face.bench.operations import COPY, Bench, default_levels

PARAMETERS = presets.load("safe")
LEVELS = default_levels(PARAMETERS)
THREADS = 1
NAMES = (
    COPY,
    "rotation",
    "decompose",
    "hoisted rotation",
    "multiply + relinearise",
    "plaintext product",
    "rescale",
    "encrypt",
    "decrypt",
)
#: Of the linear step: a 3 x 3 kernel's taps, sums over four groups of channels.
TAPS = tuple(64 * (32 * y + x) for y in (-1, 0, 1) for x in (-1, 0, 1))
GIANTS = (0, 16, 32, 48)
PERIOD = 64


@functools.lru_cache(None)
def bench():
    return Bench(PARAMETERS, LEVELS, THREADS)


@functools.lru_cache(None)
def jobs(level):
    return bench().jobs(level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
def test_operation(benchmark, name, level):
    if name not in jobs(level):
        pytest.skip("fresh ciphertexts are at the top")
    benchmark.group = f"level {level}"
    benchmark.pedantic(jobs(level)[name], rounds=5, warmup_rounds=1)


@functools.lru_cache(None)
def linear_step():
    """One step as a convolution has them, at half level: its plaintexts, and its input."""
    level, key = LEVELS[1], bench().key
    builder = PlanBuilder(PARAMETERS, SAFE)
    builder.input("x", level, bench().scale)
    masks = [builder.mask(np.roll(np.arange(PARAMETERS.slots) % 2048 < 1984, tap)) for tap in TAPS]
    weights = np.random.default_rng(2).normal(size=(len(GIANTS) * len(TAPS), PERIOD))
    rows = iter(range(len(weights)))
    builder.linear(
        "linear",
        ["x"],
        ["y"],
        level,
        Sums(
            babies=[(0, tap) for tap in TAPS],
            terms=list(enumerate(masks)),
            giants=[(0, giant) for giant in GIANTS],
            entries=[[(term, next(rows)) for term in range(len(TAPS))] for _ in GIANTS],
            period=PERIOD,
        ),
        LinearTables(lambda *_: weights, None, 0),
        scale=2.0**43,
    )
    plan = builder.finish("linear", ["x"], ["y"], {})
    tables = {name: filler(None, 0) for name, (filler, _) in builder.fillers.items()}
    evaluator = Evaluator(
        PARAMETERS, evaluation_keys(key, required_keys([plan], PARAMETERS)), THREADS
    )
    return pack(plan, tables, PARAMETERS), evaluator, [bench().fresh.drop_to(level, PARAMETERS)]


def test_linear_step(benchmark):
    """Nine taps (eight hoisted rotations), four sums of nine terms, three giant steps."""
    benchmark.group = "linear step"
    benchmark.pedantic(native.run, linear_step(), rounds=3, warmup_rounds=1)


def test_copy_beside_the_linear_step(benchmark):
    benchmark.group = "linear step"
    benchmark.pedantic(jobs(LEVELS[1])[COPY], rounds=5, warmup_rounds=1)
