"""Plans that go on in the ring of half the degree, against OpenFHE, which has one ring."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fhe_core.oracles.compare import OracleMismatch, require_agreement
from fhe_core.oracles.openfhe_backend import OpenFheBackend
from fhe_core.plan import steps
from tests.core import tiny
from tests.core.test_smaller_rings import POLICY, two_rings
from tests.oracles import primitives
from tests.oracles.bench import Bench, Values, bench_of
from tests.oracles.faults import SwappedHalves


@pytest.fixture(scope="module")
def rings() -> Bench:
    return primitives.make_rings()


@pytest.fixture(scope="module")
def theirs(rings: Bench, openfhe: OpenFheBackend) -> Values:
    return openfhe.run(
        rings.plan, rings.tables, rings.parameters, rings.values, every_value=True
    ).outputs


def test_every_primitive_in_the_smaller_ring(rings: Bench, theirs: Values) -> None:
    found = rings.differences(rings.native(), theirs)
    require_agreement(found)
    assert {ring.size for ring in theirs.values()} == {rings.parameters.slots, 512}
    assert all(difference.rms > 0 for difference in found.values())


def test_a_wrong_switch_is_found(rings: Bench, theirs: Values) -> None:
    evaluator: Any = rings.evaluator()
    evaluator.context = SwappedHalves(evaluator.context)
    with pytest.raises(OracleMismatch, match="values differ"):
        require_agreement(rings.differences(rings.native(evaluator), theirs))


def test_a_whole_network_in_two_rings(world: tiny.World, openfhe: OpenFheBackend) -> None:
    """From the image in the larger ring to the embedding, which is lifted back."""
    parameters = two_rings()
    compiled = tiny.compile_for(world.network, parameters, POLICY)
    kinds = {type(step) for step in compiled.plan.steps}
    assert {steps.SwitchRing, steps.LiftRing} <= kinds
    values, tables = list(compiled.pack_image(world.images[0])), compiled.tables(world.network)
    bench = bench_of(parameters, compiled.plan, tables, values)
    theirs = openfhe.run(bench.plan, bench.tables, parameters, values, every_value=True).outputs
    require_agreement(bench.differences(bench.native(), theirs))
    wanted = world.reference(world.images[:1])[0]
    got = theirs[compiled.plan.outputs[0]][: wanted.size]
    assert np.max(np.abs(got - wanted)) < 1e-3
