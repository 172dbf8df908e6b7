"""Whole plans at reduced size: every value of the network, normalisation, match."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fhe_core.compiler import LEAN, SAFE, Policy
from fhe_core.oracles.compare import require_agreement
from fhe_core.oracles.openfhe_backend import OpenFheBackend
from fhe_core.parameters import Specification, Tier, build
from tests.core import tiny
from tests.oracles import small_plans
from tests.oracles.bench import bench_of

#: About the steps of `LEAN`, which are 62 bits for a convolution and about 31 elsewhere, in limbs
#: of one size, as other libraries have them.
LEAN_PARAMETERS = Specification(
    "insecure-lean-oracle", 11, (50, *(31,) * 15), (50,) * 5, (Tier(16, 7, 5), Tier(6, 6, 5))
)
LEAN_STEPS = replace(LEAN, rescales=replace(LEAN.rescales, conv1=2, conv2=2, embedding=2))


@pytest.mark.parametrize(
    ("specification", "policy"),
    [(tiny.TINY, SAFE), (LEAN_PARAMETERS, LEAN_STEPS)],
    ids=["safe", "lean"],
)
def test_whole_network(
    world: tiny.World, openfhe: OpenFheBackend, specification: Specification, policy: Policy
) -> None:
    parameters = build(specification)
    compiled = tiny.compile_for(world.network, parameters, policy)
    values = list(compiled.pack_image(world.images[0]))
    tables = compiled.tables(world.network)
    bench = bench_of(parameters, compiled.plan, tables, values)
    theirs = openfhe.run(bench.plan, bench.tables, bench.parameters, bench.values, every_value=True)
    require_agreement(bench.differences(bench.native(), theirs.outputs))
    assert theirs.report["operations"]["multiply + relinearise"] >= 8


def test_normalisation_and_match(openfhe: OpenFheBackend) -> None:
    """At ring dimension 8192, of random embeddings; then the match of two results."""
    normalisation = small_plans.normalisation(13, seed=0)
    theirs = openfhe.run(
        normalisation.plan,
        normalisation.tables,
        normalisation.parameters,
        normalisation.values,
        every_value=True,
    ).outputs
    ours = normalisation.native()
    require_agreement(normalisation.differences(ours, theirs))
    match = small_plans.match(normalisation)
    answer = openfhe.run(
        match.plan, match.tables, match.parameters, match.values, every_value=True
    ).outputs
    require_agreement(match.differences(match.native(), answer))
    expected = match.values[0][: small_plans.EMBEDDING] @ match.values[1][: small_plans.EMBEDDING]
    assert np.allclose(answer["score"], expected, atol=1e-6)
