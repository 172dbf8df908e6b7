"""What leaves the client: decisions, rounded and flooded cosines."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhe_core.secret import sampling
from fhe_face.client.decryption import Score
from fhe_face.client.health import HealthReport
from fhe_face.client.sharing import (
    COSINE_BOUND,
    COSINE_DEVIATION,
    MAX_FLOODING_DEVIATION,
    Decision,
    Flooding,
    Rounding,
    SharingError,
    flooding_deviation,
)

SCORE = Score(0.9123, 0.71234, HealthReport((321.5, 456.5), (100.0, 3000.0), ()))


def with_cosine(cosine: float) -> Score:
    return replace(SCORE, cosine=cosine)


@given(st.floats(-1.1, 1.1), st.floats(-0.999, 0.999))
def test_a_decision_is_one_bit(cosine: float, threshold: float) -> None:
    released = Decision(threshold).release(with_cosine(cosine))
    assert released == {"threshold": threshold, "same": cosine >= threshold}


@pytest.mark.parametrize("bad", [-1.0, 1.0, 2.0, math.nan, math.inf])
def test_thresholds_that_no_cosine_is_compared_with(bad: float) -> None:
    with pytest.raises(SharingError, match="between -1 and 1"):
        Decision(bad)


def test_rounding() -> None:
    assert Rounding().release(SCORE)["cosine"] == 0.7
    assert Rounding(2).release(SCORE)["cosine"] == 0.71
    assert math.copysign(1, Rounding(1).release(with_cosine(-0.01))["cosine"]) == 1
    for digits in (0, 3, -1):
        with pytest.raises(SharingError, match="must be 1 to 2"):
            Rounding(digits)


@pytest.mark.parametrize("digits", [1, 2])
def test_how_often_the_error_moves_a_rounded_value(digits: int) -> None:
    draw = np.random.default_rng(5)
    cosines = draw.uniform(-1, 1, 40_000)
    rounding = Rounding(digits)
    moved = cosines + draw.normal(0, COSINE_DEVIATION, cosines.size)
    share = np.mean(np.round(cosines, digits) != np.round(moved, digits))
    assert share == pytest.approx(rounding.crossing_probability, rel=0.15)
    assert rounding.crossing_probability < 0.033 * 10 ** (digits - 1)


def test_the_deviation_of_flooding() -> None:
    """sqrt(12 t) 2^(s/2), as OpenFHE documents it; and the numbers of docs/security.md."""
    assert flooding_deviation(1.0, 1, 0) == pytest.approx(math.sqrt(12))
    assert flooding_deviation(2.0, 4, 10) == pytest.approx(2 * math.sqrt(48) * 32)
    assert flooding_deviation(COSINE_BOUND, 1, 30) == pytest.approx(7094, abs=1)
    assert flooding_deviation(COSINE_BOUND, 1000, 30) == pytest.approx(224_347, abs=1)
    # A deviation of 0.05 for one value and 30 bits takes a bound of 2^-21 on the error.
    assert math.log2(0.05 / flooding_deviation(1.0, 1, 30)) == pytest.approx(-21.1, abs=0.1)


@pytest.mark.parametrize(("queries", "bits"), [(1, 30), (1000, 1), (1, 10), (1 << 40, 128)])
def test_flooding_that_leaves_nothing_is_refused(queries: int, bits: float) -> None:
    with pytest.raises(SharingError, match="share a decision"):
        Flooding(queries, bits)


@pytest.mark.parametrize(("queries", "bits"), [(0, 1), (1, 0.5), (1, 129), (1, math.nan)])
def test_flooding_without_meaning_is_refused(queries: int, bits: float) -> None:
    with pytest.raises(SharingError, match="takes 1 to"):
        Flooding(queries, bits)


def test_flooded_values_have_the_noise_they_claim() -> None:
    flooding = Flooding(1, 2)
    assert flooding.deviation < MAX_FLOODING_DEVIATION
    values = np.array([flooding.release(SCORE)["cosine"] for _ in range(4000)])
    assert values.mean() == pytest.approx(SCORE.cosine, abs=5 * flooding.deviation / 4000**0.5)
    assert values.std() == pytest.approx(flooding.deviation, rel=0.06)
    step = 2.0 ** math.floor(math.log2(flooding.deviation / 64))
    assert np.array_equal(values / step, np.round(values / step))


def test_no_release_holds_the_exact_score_or_norms() -> None:
    for release in (Decision(0.5), Rounding(2), Flooding(1, 2)):
        numbers = {v for v in release.release(SCORE).values() if isinstance(v, float)}
        assert not numbers & {SCORE.value, SCORE.cosine, *SCORE.health.squared_norms}


def test_gaussian_sampling() -> None:
    values = sampling.gaussian(200_000)
    assert values.mean() == pytest.approx(0, abs=0.012)
    assert values.std() == pytest.approx(1, abs=0.01)
    for limit in (0.5, 1.0, 2.0, 3.0):
        share = np.mean(np.abs(values) > limit)
        assert share == pytest.approx(math.erfc(limit / math.sqrt(2)), abs=0.006)
    assert np.all(np.isfinite(values))
    assert not np.array_equal(values[:100], sampling.gaussian(100))
