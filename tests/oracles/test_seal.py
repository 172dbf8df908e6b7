"""SEAL and the native backend agree wherever SEAL's limits allow."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core.analysis.precision import ErrorModel
from fhe_core.compiler.builder import PlanBuilder
from fhe_core.compiler.policy import SAFE
from fhe_core.oracles import seal_backend
from fhe_core.oracles.compare import Difference, OracleMismatch, require_agreement
from fhe_core.oracles.errors import SameEncodings, SealErrors, StandardErrors
from fhe_core.oracles.excerpt import excerpt, limbs_needed
from fhe_core.oracles.interface import OracleError
from fhe_core.parameters import Parameters, presets
from fhe_core.plan import PlanError
from fhe_core.runtime import cleartext
from tests.core import tiny
from tests.oracles import faults, primitives, small_plans
from tests.oracles.bench import Bench, Values, bench_of

pytestmark = pytest.mark.usefixtures("seal")


@pytest.fixture(scope="module")
def shown() -> Bench:
    return primitives.make(primitives.SEAL_PARAMETERS)


def theirs_of(bench: Bench) -> Values:
    return seal_backend.run(
        bench.plan, bench.tables, bench.parameters, bench.values, every_value=True
    ).outputs


def compared(bench: Bench, ours: Values, theirs: Values) -> dict[str, Difference]:
    """Both backends have the same primes and scales, and so the same plaintexts."""
    models = (SameEncodings(bench.parameters), SealErrors(bench.parameters))
    return bench.differences(ours, theirs, models)


def require_same(bench: Bench) -> None:
    found = compared(bench, bench.native(), theirs_of(bench))
    require_agreement(found)
    assert all(difference.rms > 0 for difference in found.values())


def test_every_primitive(shown: Bench) -> None:
    assert set(primitives.SHOWS) <= set(theirs_of(shown))
    require_same(shown)


def test_a_broken_kernel_is_found(shown: Bench) -> None:
    theirs = theirs_of(shown)
    for fault in faults.FAULTS:
        evaluator = shown.evaluator()
        evaluator.context = fault(evaluator.context)  # type: ignore[assignment]
        with pytest.raises(OracleMismatch):
            require_agreement(compared(shown, shown.native(evaluator), theirs))


def test_two_rings() -> None:
    """SEAL has one; the values of the smaller repeat in it. It adds halves where our switch has
    their mean, so that the weights that follow are rounded at another scale."""
    bench = primitives.make_rings(primitives.SEAL_RINGS)
    models = (ErrorModel(bench.parameters), StandardErrors(bench.parameters))
    found = bench.differences(bench.native(), theirs_of(bench), models)
    require_agreement(found)
    assert all(difference.rms > 0 for difference in found.values())


@pytest.mark.parametrize("layer", ["stem", "block 0", "block 1"])
def test_single_layers_at_reduced_size(world: tiny.World, layer: str) -> None:
    whole = world.compiled.plan
    parameters = small_plans.parameters_of(11, limbs_needed(whole, layer))
    plan = excerpt(whole, layer, parameters)
    values: dict[str, tiny.Array] = {}

    def observe(_number: int, _step: object, live: object) -> None:
        assert isinstance(live, dict)
        values.update(live)

    slots = list(world.compiled.pack_image(world.images[0]))
    cleartext.run(whole, world.tables, slots, observe=observe)
    values.update(zip(whole.inputs, slots, strict=True))
    require_same(bench_of(parameters, plan, world.tables, [values[n] for n in plan.inputs]))


def test_normalisation() -> None:
    require_same(small_plans.normalisation(12, seed=0))


def test_match_with_a_gallery_at_128_bits() -> None:
    """Ring dimension 16384: one product finds a probe among 512 encrypted faces."""
    faces, expected = small_plans.gallery(small_plans.normalisation(14, seed=0), seed=1)
    assert faces.parameters.log2_qp_bound is not None  # SEAL is asked for 128 bits
    require_same(faces)
    scores = theirs_of(faces)["score"][:: small_plans.EMBEDDING]
    assert np.allclose(scores, expected, atol=1e-6)
    assert np.argmax(scores) == 3


def _empty(parameters: Parameters) -> PlanBuilder:
    builder = PlanBuilder(parameters, SAFE)
    builder.input("x", parameters.top, tiny.SCALE)
    return builder


@pytest.mark.parametrize("which", ["safe", tiny.SHORT.name])
def test_what_seal_cannot_do_is_refused(which: str) -> None:
    parameters = presets.load(which) if which == "safe" else tiny.load(which)
    plan = _empty(parameters).finish("nothing", ["x"], ["x"], {})
    with pytest.raises(OracleError, match=r"at most 32768|one special prime"):
        seal_backend.run(plan, {}, parameters, [np.zeros(parameters.slots)])


def test_another_parameter_set_is_refused(shown: Bench) -> None:
    with pytest.raises(PlanError, match="insecure-short"):
        seal_backend.run(shown.plan, {}, tiny.load(tiny.SHORT.name), shown.values)


def test_inputs_that_do_not_fit_are_refused(shown: Bench) -> None:
    with pytest.raises(OracleError, match="2 inputs of 1024 slots"):
        seal_backend.run(shown.plan, shown.tables, shown.parameters, shown.values[1:])
