"""The same inputs and keys give the same ciphertexts, bit for bit: run to run, on any number of
threads, with every set of kernels.

At ring dimension 8192, from which on the kernels really use threads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fhe_core import _native
from fhe_core.ciphertext import Ciphertext
from fhe_core.compiler import SAFE
from fhe_core.compiler.builder import LinearTables, PlanBuilder, Sums
from fhe_core.parameters import Parameters, Specification, Tier, build
from fhe_core.plan import required_keys
from fhe_core.runtime import native, parallel
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import pack
from fhe_core.secret.key import SecretKey
from tests.core import tiny

PARAMETERS = Specification(
    name="insecure-threads",
    log_ring_dimension=13,
    limb_bits=(50,) + (43,) * 5,
    special_bits=(50,) * 3,
    tiers=(Tier(6, 3, 3), Tier(4, 2, 2)),
)
PERIOD = 8


def small_plan(parameters: Parameters) -> PlanBuilder:
    """Inputs a and b; a step of every sort that switches keys; outputs folded and multiplied."""
    draw = np.random.default_rng(0)
    builder = PlanBuilder(parameters, SAFE)
    for name in "ab":
        builder.input(name, parameters.top, tiny.SCALE)
    offset = draw.normal(size=(1, PERIOD))
    squared, _ = builder.square("square", ["a", "b"], lambda *_: offset, 0)
    weights = draw.normal(size=(5, PERIOD))
    mask = builder.mask(np.arange(parameters.slots) % 3 > 0)
    (mixed,) = builder.linear(
        "linear",
        [squared],
        ["mixed"],
        builder.values[squared].level,
        Sums(
            babies=[(0, 0), (0, 1), (0, 2)],
            terms=[(0, -1), (1, mask), (2, mask)],
            giants=[(0, 0), (0, 16)],
            entries=[[(0, 0), (1, 1), (2, 2)], [(0, 3), (1, 4)]],
            period=PERIOD,
        ),
        LinearTables(lambda *_: weights, None, 0),
        scale=tiny.SCALE,
    )
    folded = builder.fold("fold", mixed, "folded", [4, 64])
    builder.multiply("product", folded, "b", "product", 1)
    return builder


class Work:
    """The plan with its plaintexts, keys and inputs."""

    def __init__(self) -> None:
        self.parameters = build(PARAMETERS)
        builder = small_plan(self.parameters)
        plan = builder.finish("everything", ["a", "b"], ["folded", "product"], {})
        tables = {name: filler(None, 0) for name, (filler, _) in builder.fillers.items()}
        self.packed = pack(plan, tables, self.parameters)
        key = SecretKey.generate(self.parameters)
        self.keys = tiny.make_keys(key, required_keys([plan], self.parameters))
        slots = np.random.default_rng(1).uniform(-1, 1, (2, self.parameters.slots))
        self.inputs = tiny.encrypt_inputs(key, plan, slots)

    def run(self, threads: int) -> list[Ciphertext]:
        evaluator = Evaluator(self.parameters, self.keys, threads)
        assert evaluator.context.threads == threads  # not forced to one
        return native.run(self.packed, evaluator, self.inputs)


@pytest.fixture(scope="module")
def work() -> Work:
    return Work()


@pytest.fixture(scope="module")
def expected(work: Work) -> list[Ciphertext]:
    return work.run(1)


def same(results: Sequence[Ciphertext], expected: Sequence[Ciphertext]) -> bool:
    return all(
        np.array_equal(result.residues, one.residues) and result.scale == one.scale
        for result, one in zip(results, expected, strict=True)
    )


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_changes_nothing(
    work: Work, expected: list[Ciphertext], threads: int
) -> None:
    assert same(work.run(threads), expected)


@pytest.mark.parametrize("threads", [2, 3])
def test_steps_on_threads_change_nothing(
    work: Work, expected: list[Ciphertext], threads: int
) -> None:
    assert same(parallel.run(work.packed, work.keys, work.inputs, threads), expected)


@pytest.mark.parametrize("kernels", _native.kernels.available())
def test_the_kernels_change_nothing(
    work: Work, expected: list[Ciphertext], kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FHE_FACE_KERNELS", kernels)
    evaluator = Evaluator(work.parameters, work.keys, 2)
    assert evaluator.context.kernels == kernels
    assert same(native.run(work.packed, evaluator, work.inputs), expected)


def test_other_inputs_change_something(work: Work, expected: list[Ciphertext]) -> None:
    """What the tests above compare does depend on what goes in."""
    evaluator = Evaluator(work.parameters, work.keys, 1)
    results = native.run(work.packed, evaluator, work.inputs[::-1])
    assert not any(same([a], [b]) for a, b in zip(results, expected, strict=True))
