"""Plans that go on in the ring of half the degree: the same answers, in half as many slots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fhe_core.analysis.cost import step_costs
from fhe_core.analysis.precision import predict
from fhe_core.compiler import SAFE, compile_network
from fhe_core.compiler.architecture import architecture_of
from fhe_core.compiler.policy import Switch
from fhe_core.parameters import Parameters
from fhe_core.plan import PlanError, from_json, steps
from fhe_core.runtime import cleartext
from fhe_face.models.reference import embed, squared_norm
from fhe_face.models.synthetic import random_fused
from tests.core import tiny

#: The highest level of the smaller ring.
TOP = 11


def halved(parameters: Parameters, top: int = TOP) -> Parameters:
    """The same chain with a ring of half the degree for its lower levels, as an alternative."""
    small = [replace(one, ring_dimension=one.ring_dimension // 2) for one in parameters.levels]
    levels = (*small[: top + 1], parameters.levels[top], *parameters.levels)
    return replace(parameters, levels=levels)


@pytest.mark.parametrize("embedding", [8, 16])
def test_the_answer_is_the_same(embedding: int) -> None:
    network, parameters = random_fused(3, embedding=embedding), halved(tiny.chain(11, 20))
    policy = replace(SAFE, switch=Switch(1, 43.0, 43.0, 43.0, 43.0, 19.0))
    compiled = compile_network(architecture_of(network), parameters, policy, tiny.ROOT)
    plan, tables = compiled.plan, compiled.tables(network)
    image = tiny.images_for(network, 1)
    rows = list(compiled.pack_image(image[0]))
    slots, norm = cleartext.run(plan, tables, rows)
    raw = embed(network, image)
    wanted = raw * tiny.ROOT.evaluate(squared_norm(raw))[:, None]
    assert slots.size == norm.size == parameters.ring_dimension
    assert np.max(np.abs(slots[:embedding] - wanted[0])) < 1e-9
    assert np.allclose(norm, squared_norm(raw)[0])
    switches = [step for step in plan.steps if isinstance(step, steps.SwitchRing)]
    assert len(switches) == 2  # the block's tensor, and the one of its shortcut
    for step in switches:
        before, after = (plan.values[name] for name in (step.source, step.output))
        own = [parameters.levels[value.level] for value in (before, after)]
        assert own[0].rows == own[1].rows
        assert own[0].ring_dimension == 2 * own[1].ring_dimension
        assert before.scale == 2 * after.scale
    assert from_json(plan.to_json()).digest == plan.digest
    precision = predict(plan, tables, parameters, rows)
    assert len(precision) == len(step_costs(plan, parameters)) == len(plan.steps)
    assert precision[-1].predicted_std < 1e-3 * np.linalg.norm(raw)


def test_rings_that_are_not_there_are_refused() -> None:
    policy = replace(SAFE, switch=Switch(1, 43.0, 43.0, 43.0, 43.0, 19.0))
    with pytest.raises(PlanError, match="no ring of half the degree"):
        compile_network(architecture_of(random_fused(3)), tiny.chain(11, 20), policy, tiny.ROOT)
