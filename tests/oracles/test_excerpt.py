"""A stretch of a plan on its own chain computes what it does in the whole plan."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core.oracles.excerpt import excerpt, limbs_needed
from fhe_core.plan import PlanError
from fhe_core.runtime import cleartext
from tests.core import tiny
from tests.oracles import small_plans
from tests.oracles.bench import bench_of


def values_of(world: tiny.World) -> dict[str, tiny.Array]:
    found: dict[str, tiny.Array] = {}

    def observe(_number: int, _step: object, live: object) -> None:
        assert isinstance(live, dict)
        found.update(live)

    slots = list(world.compiled.pack_image(world.images[0]))
    cleartext.run(world.compiled.plan, world.tables, slots, observe=observe)
    return found


@pytest.mark.parametrize("prefix", ["block 0", "block 1 conv 1"])
def test_on_a_shorter_chain(world: tiny.World, prefix: str) -> None:
    whole = world.compiled.plan
    limbs = limbs_needed(whole, prefix)
    assert limbs < world.parameters.limbs
    parameters = small_plans.parameters_of(11, limbs)
    plan = excerpt(whole, prefix, parameters)
    known = values_of(world)
    inputs = [known[name] for name in plan.inputs]
    clear = cleartext.run(plan, world.tables, inputs)
    bench = bench_of(parameters, plan, world.tables, inputs)
    native = bench.native(every_value=False)  # checks every scale and level
    for name, slots in zip(plan.outputs, clear, strict=True):
        assert plan.values[name].level == 1
        assert np.array_equal(slots, known[name])
        assert np.allclose(native[name], slots, atol=1e-2)


def test_what_cannot_be_cut_out(world: tiny.World) -> None:
    parameters = small_plans.parameters_of(11)
    plan = world.compiled.plan
    with pytest.raises(PlanError, match="no step of the plan starts with 'block 7'"):
        excerpt(plan, "block 7", parameters)
    with pytest.raises(PlanError, match="'fold-sum' step cannot be moved"):
        excerpt(plan, "pool", parameters)
    with pytest.raises(PlanError, match="too short"):
        excerpt(plan, "block 0", small_plans.parameters_of(11, 4))
