"""The runner, on a library that does not encrypt: it computes what the cleartext backend does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fhe_core.compiler import SAFE
from fhe_core.oracles.chain import levels_of
from fhe_core.oracles.interface import OracleError
from fhe_core.oracles.run import Runner, multiplies, rotations
from fhe_core.parameters.primes import ntt_primes
from fhe_core.plan import steps
from fhe_core.runtime import cleartext
from tests.core import tiny
from tests.oracles import primitives
from tests.oracles.bench import Bench
from tests.oracles.clear_library import ClearLibrary


def clear_library(bench: Bench) -> ClearLibrary:
    """Other primes than the plan's, as OpenFHE has."""
    pool = ntt_primes(44, bench.parameters.ring_dimension)
    moduli = [next(pool) for _ in range(bench.parameters.limbs)]
    return ClearLibrary(bench.parameters.slots, moduli)


def test_every_step_with_other_primes(bench: Bench) -> None:
    runner = Runner(clear_library(bench), bench.plan, bench.tables, levels_of(bench.parameters))
    expected = cleartext.run(bench.plan, bench.tables, bench.values)
    for name, got, wanted in zip(primitives.SHOWS, runner.run(bench.values), expected, strict=True):
        assert np.allclose(got, wanted, rtol=1e-9, atol=1e-9), name
    assert runner.counts["rotate (hoisted)"] >= 3


def test_whole_network(world: tiny.World) -> None:
    compiled = tiny.compile_for(world.network, world.parameters, SAFE)
    values = list(compiled.pack_image(world.images[0]))
    tables = compiled.tables(world.network)
    library = ClearLibrary(world.parameters.slots, world.parameters.moduli)
    got = Runner(library, compiled.plan, tables, levels_of(world.parameters)).run(values)
    for mine, wanted in zip(got, cleartext.run(compiled.plan, tables, values), strict=True):
        assert np.allclose(mine, wanted, rtol=1e-6, atol=1e-6)


def test_two_rings_in_one() -> None:
    """Every value, in the slots of its own ring."""
    bench = primitives.make_rings()
    names = tuple(bench.plan.values)
    plan = replace(bench.plan, outputs=names)
    wanted = cleartext.run(plan, bench.tables, bench.values)
    runner = Runner(clear_library(bench), plan, bench.tables, levels_of(bench.parameters))
    for name, got, clear in zip(names, runner.run(bench.values), wanted, strict=True):
        assert got.shape == clear.shape, name
        assert np.allclose(got, clear, rtol=1e-9, atol=1e-9), name
    slots = bench.parameters.slots
    assert bench.values[0].size == slots
    assert {got.size for got in wanted} == {slots, slots // 2}
    assert slots // 2 in rotations(plan, slots)


def test_a_rescale_that_the_plan_does_not_say_is_found(bench: Bench) -> None:
    """Limbs follow from the steps, and are compared with those of the values."""
    (number,) = [i for i, label in enumerate(bench.plan.labels) if label == "product"]
    step = bench.plan.steps[number]
    assert isinstance(step, steps.Multiply)
    wrong = replace(step, rescale=0)
    listed = (*bench.plan.steps[:number], wrong, *bench.plan.steps[number + 1 :])
    runner = Runner(
        clear_library(bench),
        replace(bench.plan, steps=listed),
        bench.tables,
        levels_of(bench.parameters),
    )
    with pytest.raises(OracleError, match="'product' came out with a wrong number of limbs"):
        runner.run(bench.values)


def test_what_a_plan_needs(bench: Bench) -> None:
    slots = bench.parameters.slots
    assert rotations(bench.plan, slots) == sorted({1, 3, 7, 16, 64, 900, slots - 2, slots - 3})
    assert multiplies(bench.plan)
    nothing = replace(bench.plan, steps=(), labels=(), outputs=())
    assert not multiplies(nothing)


def test_what_does_not_fit_is_refused(bench: Bench) -> None:
    library, levels = clear_library(bench), levels_of(bench.parameters)
    with pytest.raises(OracleError, match="2 inputs of 1024 slots"):
        Runner(library, bench.plan, bench.tables, levels).run([v[:5] for v in bench.values])
    short = replace(library, moduli=library.moduli[:3])
    with pytest.raises(OracleError, match="needs 6 limbs, the library has 3"):
        Runner(short, bench.plan, bench.tables, levels).run(bench.values)
