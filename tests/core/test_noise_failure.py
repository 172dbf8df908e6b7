"""Headroom below the modulus, and tails of Gaussians."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fhe_core import encoding
from fhe_core.analysis.noise_failure import Headroom, headroom_of, headrooms, log2_erfc
from fhe_core.analysis.precision import predict
from tests.core import tiny


@pytest.mark.parametrize("x", [-1.0, 0.0, 0.5, 3.0, 19.9, 20.1, 25.0])
def test_tails(x: float) -> None:
    if x < 20:
        assert log2_erfc(x) == math.log2(math.erfc(x))
    else:  # an upper bound, off by 1 / (x sqrt(pi)) at most
        assert math.log2(math.erfc(x)) <= log2_erfc(x) <= math.log2(math.erfc(x)) + 6
    assert log2_erfc(1e6) == pytest.approx(-1e12 / math.log(2))


def test_a_value_that_does_not_fit_fails_surely() -> None:
    assert headroom_of("x", 50, 2.0**40, 2.0**9, 0.1, 16) == Headroom("x", 0.0, 0.0)
    assert headroom_of("x", 50, 2.0**40, 2.0**10, 0.1, 16).bits == -1
    assert headroom_of("x", 50, 2.0**40, 1.0, 0.0, 16) == Headroom("x", 9.0, -math.inf)
    assert headroom_of("x", 5000, 2.0**40, 1.0, 1.0, 16).bits == 4959


@pytest.mark.parametrize(("slots", "limit"), [(2, 0.5), (4, 0.6)])
def test_the_bound_lies_above_what_happens(slots: int, limit: float) -> None:
    """Coefficients of drawn noise, the same in every slot, leave less often than the bound says."""
    draw = np.random.default_rng(3)
    deviation, trials = 0.15, 100_000
    error = np.repeat(draw.normal(0, deviation, (trials, 1)), slots, axis=1)
    coefficients = encoding.coefficients(error, slots)
    left = np.mean(np.any(np.abs(coefficients) > limit, axis=1))
    found = headroom_of("x", 1 + math.log2(limit), 1.0, 0.0, deviation, slots)
    assert 0 < left <= 2.0**found.log2_failure < 1


def test_a_small_network() -> None:
    world = tiny.make_world()
    plan, parameters = world.compiled.plan, world.parameters
    slots = list(world.compiled.pack_image(world.images[0]))
    rows = predict(plan, world.tables, parameters, slots)
    found = headrooms(plan, rows, parameters)
    assert [h.label for h in found] == list(plan.labels)
    assert min(h.bits for h in found) > 0
    assert max(h.log2_failure for h in found) < -1000
    wide = headrooms(plan, rows, parameters, inherited=1e30)
    assert max(h.log2_failure for h in wide) == 0.0
