"""The runner, on a library that does not encrypt: it computes what the cleartext backend does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fhe_core.compiler import SAFE, Parts
from fhe_core.oracles.interface import OracleError
from fhe_core.oracles.run import Runner, conjugates, eighth_root, multiplies, rotations
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
    assert runner.counts["conjugate"] == 2


@pytest.mark.parametrize("packing", list(Parts), ids=lambda packing: packing.value)
def test_whole_network(world: tiny.World, packing: Parts) -> None:
    compiled = tiny.compile_for(world.network, world.parameters, SAFE, packing)
    faces = world.images[: 1 if packing is Parts.ONE else 2]
    if packing is Parts.PAIR:
        values = [row for face in faces for row in compiled.pack_image(face)]
    else:
        values = list(compiled.pack_image(faces if packing is Parts.MIRROR else faces[0]))
    tables = compiled.tables(world.network)
    library = ClearLibrary(world.parameters.slots, world.parameters.moduli)
    got = Runner(library, compiled.plan, tables).run(values)
    for mine, wanted in zip(got, cleartext.run(compiled.plan, tables, values), strict=True):
        assert np.allclose(mine, wanted, rtol=1e-6, atol=1e-6)


def test_what_a_plan_needs(bench: Bench) -> None:
    slots = bench.parameters.slots
    assert rotations(bench.plan, slots) == sorted({1, 3, 5, 7, 16, 64, slots - 2, slots - 3})
    assert conjugates(bench.plan)
    assert multiplies(bench.plan)
    nothing = replace(bench.plan, steps=(), labels=(), outputs=())
    assert not conjugates(nothing)
    assert not multiplies(nothing)


def test_eighth_root() -> None:
    assert np.allclose(eighth_root(64) ** 2, 1j)


def test_what_does_not_fit_is_refused(bench: Bench) -> None:
    library = clear_library(bench)
    with pytest.raises(OracleError, match="3 inputs of 1024 slots"):
        Runner(library, bench.plan, bench.tables).run([v[:5] for v in bench.values])
    short = replace(library, moduli=library.moduli[:3])
    with pytest.raises(OracleError, match="needs 6 limbs, the library has 3"):
        Runner(short, bench.plan, bench.tables).run(bench.values)
