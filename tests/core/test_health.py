"""Health checks on decrypted results."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core.normalisation import Normalisation
from fhe_face.client.health import (
    NEIGHBOUR_EXCESS,
    Cause,
    HealthReport,
    UnhealthyResultError,
    check_embedding,
    check_score,
    expected_norm,
    fitting,
    undisturbed,
)

COEFFICIENTS = (1.057367e-08, -4.753845e-05, 7.176193e-02)
ROOT = Normalisation.from_powers(COEFFICIENTS, (100.0, 3000.0))
SLOTS = 64
SQUARED = 400.0

Slots = NDArray[np.float64]


def constant(value: float, noise: float = 0.0) -> Slots:
    generator = np.random.default_rng(0)
    return np.asarray(value + generator.normal(size=SLOTS) * noise)


def embedding(squared: float = SQUARED, factor: float = 1.0) -> Slots:
    direction = np.random.default_rng(1).normal(size=32)
    direction *= expected_norm(ROOT, squared) / np.linalg.norm(direction)
    return np.asarray(direction * factor)


def test_expected_norm() -> None:
    polynomial = np.polyval(COEFFICIENTS, SQUARED)
    assert expected_norm(ROOT, SQUARED) == pytest.approx(math.sqrt(SQUARED) * polynomial)
    assert expected_norm(ROOT, -1e-3) == 0.0


def test_healthy_results_pass() -> None:
    report = check_embedding(embedding(), constant(SQUARED, 0.1), ROOT)
    assert report.healthy
    assert report.message == "healthy"
    assert report.squared_norms[0] == pytest.approx(SQUARED, rel=1e-3)
    report.require()
    limit = expected_norm(ROOT, SQUARED) * expected_norm(ROOT, 500.0)
    for share in (1.0, 0.3, -1.0):
        norms = [constant(SQUARED, 0.1), constant(500.0, 0.1)]
        value, report = check_score(constant(share * limit, 1e-4), norms, ROOT)
        assert report.healthy
        assert value == pytest.approx(share * limit, abs=1e-3)
        assert len(report.squared_norms) == 2


def at(slots: Slots, value: float) -> Slots:
    out = slots.copy()
    out[5] = value
    return out


NORM_FAILURES = [
    (at(constant(SQUARED), SQUARED * 1.03), "differs between slots"),
    (at(constant(SQUARED), math.nan), "not finite"),
    (at(constant(SQUARED), -math.inf), "not finite"),
    (constant(99.0), r"99, outside \[100, 3000\]"),
    (constant(3001.0), "outside"),
    (constant(-SQUARED), "outside"),
    (constant(math.nan), "not finite"),
    (constant(math.inf), "not finite"),
    (constant(SQUARED, 1e12), "wrapped around"),
]


@pytest.mark.parametrize(("norm", "message"), NORM_FAILURES)
def test_unhealthy_norms(norm: Slots, message: str) -> None:
    report = check_embedding(embedding(), norm, ROOT)
    with pytest.raises(UnhealthyResultError, match=message) as caught:
        report.require()
    assert caught.value.report is report
    for norms in ([norm, constant(SQUARED)], [constant(SQUARED), norm]):
        _, report = check_score(constant(0.1), norms, ROOT)
        with pytest.raises(UnhealthyResultError, match=message):
            report.require()


def test_what_does_not_fit_fails_with_what_else_fails() -> None:
    healthy = check_embedding(embedding(), constant(SQUARED), ROOT)
    assert fitting(healthy, "scores", True) is healthy
    worse = fitting(check_embedding(embedding(), constant(9e9), ROOT), "scores", False)
    assert [fitting(healthy, "scores", False).healthy, len(worse.failures)] == [False, 2]


@pytest.mark.parametrize("bad", [NEIGHBOUR_EXCESS * 3001.0, -1e9, math.inf, math.nan])
def test_a_neighbour_that_diverged_spoils_a_result(bad: float) -> None:
    """A share of its values reaches this face, and nothing in the face's own numbers tells."""
    healthy = check_embedding(embedding(), constant(SQUARED), ROOT, True)
    calm = constant(NEIGHBOUR_EXCESS * 2999.0)
    assert undisturbed(healthy, calm, ROOT) is healthy
    spoiled = undisturbed(healthy, at(calm, bad), ROOT)
    assert spoiled.cause is Cause.PARTNER
    assert not spoiled.healthy
    own = check_embedding(embedding(), constant(5000.0), ROOT, True)
    assert undisturbed(own, at(calm, bad), ROOT).cause is Cause.OWN


@pytest.mark.parametrize("low", [100.0, 3000.0])
def test_the_interval_is_closed(low: float) -> None:
    assert check_embedding(embedding(low), constant(low), ROOT).healthy


Change = Callable[[Slots], Slots]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e * 1.06, "norm of the embedding"),
        (lambda e: e * 0.94, "norm of the embedding"),
        (lambda e: e * 0, "norm of the embedding"),
        (lambda e: e * 1e30, "norm of the embedding"),
        (lambda e: at(e, math.nan), "norm of the embedding"),
        (lambda e: at(e, math.inf), "norm of the embedding"),
    ],
)
def test_unhealthy_embeddings(change: Change, message: str) -> None:
    report = check_embedding(change(embedding()), constant(SQUARED), ROOT)
    with pytest.raises(UnhealthyResultError, match=message):
        report.require()


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (constant(3.0), "exceeds the product"),
        (constant(-3.0), "exceeds the product"),
        (constant(math.nan), "not finite"),
        (at(constant(0.5), 0.6), "differs between slots"),
    ],
)
def test_unhealthy_scores(score: Slots, message: str) -> None:
    _, report = check_score(score, [constant(SQUARED)] * 2, ROOT)
    with pytest.raises(UnhealthyResultError, match=message):
        report.require()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_meaningless_polynomials_never_pass(bad: float) -> None:
    """The polynomial travels with the result, from the server."""
    strange = Normalisation(ROOT.chebyshev, (100.0, 3000.0))
    object.__setattr__(strange, "chebyshev", (bad, 0.0, 0.0))
    with np.errstate(all="ignore"):
        assert not check_embedding(embedding(), constant(SQUARED), strange).healthy
        _, report = check_score(constant(0.5), [constant(SQUARED)] * 2, strange)
    assert not report.healthy


@pytest.mark.parametrize("interval", [(math.nan, math.nan), (-math.inf, math.inf), (3.0, 2.0)])
def test_meaningless_intervals_never_pass(interval: tuple[float, float]) -> None:
    strange = Normalisation(ROOT.chebyshev, (100.0, 3000.0))
    object.__setattr__(strange, "interval", interval)
    assert not check_embedding(embedding(), constant(SQUARED), strange).healthy


def test_all_failures_are_reported() -> None:
    report = HealthReport((1.0,), (2.0, 3.0), ("first", "second"))
    assert str(UnhealthyResultError(report)) == "first; second"


# --- whose image it is ----------------------------------------------------------------------------


def test_a_face_is_not_told_that_it_diverged_where_another_may_have() -> None:
    """What every slot of a face says is its own; what differs between them is nobody's."""

    def report(norm: Slots, together: bool = True) -> HealthReport:
        found = check_embedding(embedding(), norm, ROOT, together)
        assert found.healthy == (found.cause is None)
        return found

    assert report(constant(SQUARED, 0.1)).cause is None
    own = report(constant(5000.0, 0.1))
    assert own.cause is Cause.OWN
    assert own.message.endswith("on this image")
    assert report(constant(SQUARED, 1e5)).cause is Cause.UNCLEAR
    assert report(constant(SQUARED, 1e5), together=False).cause is Cause.OWN
    unclear = report(constant(5e9, 1e8))
    assert unclear.cause is Cause.UNCLEAR
    assert "on this image, or on one that was computed together with it" in unclear.message


def test_a_bound_on_the_batch_is_about_others() -> None:
    fine = check_embedding(embedding(), constant(SQUARED, 0.1), ROOT, True)
    assert fitting(fine, "embeddings", False).cause is Cause.PARTNER
    outside = check_embedding(embedding(), constant(5000.0, 0.1), ROOT, True)
    assert fitting(outside, "embeddings", False).cause is Cause.OWN
