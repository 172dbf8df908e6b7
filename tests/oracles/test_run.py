"""The runner, on a library that does not encrypt: it computes what the cleartext backend does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fhe_core.compiler import SAFE
from fhe_core.oracles.interface import OracleError
from fhe_core.oracles.run import Runner, multiplies, rotations
from fhe_core.parameters.primes import ntt_primes
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
    runner = Runner(clear_library(bench), bench.plan, bench.tables)
    expected = cleartext.run(bench.plan, bench.tables, bench.values)
    for name, got, wanted in zip(primitives.SHOWS, runner.run(bench.values), expected, strict=True):
        assert np.allclose(got, wanted, rtol=1e-9, atol=1e-9), name
    assert runner.counts["rotate (hoisted)"] >= 3


def test_whole_network(world: tiny.World) -> None:
    compiled = tiny.compile_for(world.network, world.parameters, SAFE)
    values = list(compiled.pack_image(world.images[0]))
    tables = compiled.tables(world.network)
    library = ClearLibrary(world.parameters.slots, world.parameters.moduli)
    got = Runner(library, compiled.plan, tables).run(values)
    for mine, wanted in zip(got, cleartext.run(compiled.plan, tables, values), strict=True):
        assert np.allclose(mine, wanted, rtol=1e-6, atol=1e-6)


def test_what_a_plan_needs(bench: Bench) -> None:
    slots = bench.parameters.slots
    assert rotations(bench.plan, slots) == sorted({1, 3, 7, 16, 64, 900, slots - 2, slots - 3})
    assert multiplies(bench.plan)
    nothing = replace(bench.plan, steps=(), labels=(), outputs=())
    assert not multiplies(nothing)


def test_what_does_not_fit_is_refused(bench: Bench) -> None:
    library = clear_library(bench)
    with pytest.raises(OracleError, match="2 inputs of 1024 slots"):
        Runner(library, bench.plan, bench.tables).run([v[:5] for v in bench.values])
    short = replace(library, moduli=library.moduli[:3])
    with pytest.raises(OracleError, match="needs 6 limbs, the library has 3"):
        Runner(short, bench.plan, bench.tables).run(bench.values)
