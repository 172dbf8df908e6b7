"""Verdicts: what thresholds say of a cosine, in words, and of faces that were refused."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_face import load_thresholds
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport, UnhealthyResultError
from fhe_face.client.verification import compare, cosine_of, sentence, told
from fhe_face.models.thresholds import MeasuredSet, OperatingPoint, Thresholds, Verdict

HEALTHY = HealthReport((400.0,), (100.0, 3000.0), ())
BAD = HealthReport((9000.0,), (100.0, 3000.0), ("squared norm is 9000: the network diverged",))


def thresholds(far: float = 0.001, tar: float = 0.98) -> Thresholds:
    """Same from 0.5 on, different below 0.25."""
    eer = OperatingPoint(0.25, 0.02, tar)
    strict = OperatingPoint(0.5, far, 0.9)
    measured = MeasuredSet("ORL", 40, 1800, 78000, "2026-11-30", "0", eer, far_01pct=strict)
    return Thresholds((measured,))


def turned(cosine: float, size: float = 1.0) -> tuple[Embedding, Embedding]:
    """Two embeddings at this cosine, one of them of another length."""
    left, right = np.zeros(256), np.zeros(256)
    left[0] = 1.0
    right[:2] = cosine, np.sqrt(max(0.0, 1 - cosine**2))
    return Embedding(left, HEALTHY), Embedding(right * size, HEALTHY)


@pytest.mark.parametrize(
    ("cosine", "verdict"),
    [
        (1.0, Verdict.SAME),
        (0.5001, Verdict.SAME),
        (0.4999, Verdict.NOT_SURE),
        (0.2501, Verdict.NOT_SURE),
        (0.2499, Verdict.DIFFERENT),
        (-1.0, Verdict.DIFFERENT),
    ],
)
def test_the_ends_of_the_verdicts(cosine: float, verdict: Verdict) -> None:
    found = compare(*turned(cosine, 1.2), thresholds())
    assert found.verdict is verdict
    assert found.cosine == pytest.approx(cosine, abs=1e-12)
    assert found.threshold == 0.5
    assert found.health == (HEALTHY, HEALTHY)
    assert told(found.cosine, thresholds())["verdict"] == verdict.value
    assert repr(found) == f"<Verification: {found}>"


def test_a_cosine_never_leaves_its_range() -> None:
    values = np.random.default_rng(3).normal(size=(200, 256))
    for row in values:
        for sign in (1, -1):
            cosine = cosine_of(Embedding(row, HEALTHY), Embedding(sign * row / 3, HEALTHY))
            assert -1 <= cosine <= 1
            assert abs(cosine) == pytest.approx(1)


def test_what_is_said() -> None:
    assert sentence(0.653, thresholds()) == (
        "same person: cosine 0.653, threshold 0.500, at which 1 stranger in 1,000 passes on ORL"
    )
    assert sentence(0.048, thresholds()) == (
        "different people: cosine 0.048, threshold 0.250, below which 1 pair of one person in 50 "
        "falls on ORL"
    )
    assert sentence(0.3, thresholds()) == (
        "not sure: cosine 0.300, between the thresholds 0.250 (different below) and 0.500 (same "
        "from there on; 1 stranger in 1,000 passes on ORL)"
    )
    assert "none of 78,000 pairs of strangers passes" in sentence(0.653, thresholds(far=0.0))
    assert "none of 1,800 pairs of one person falls" in sentence(0.1, thresholds(tar=1.0))
    assert "below which 30% of the pairs of one person" in sentence(0.1, thresholds(tar=0.7))


def test_the_bundled_weights_have_thresholds() -> None:
    with pytest.warns(UserWarning, match="fhe-face weights download"):
        found = load_thresholds("bundled")
    assert 0 < found.different_below < found.same_from < 1
    assert sentence(0.99, found).startswith("same person: ")


def test_refusals_name_their_photos() -> None:
    face, other = turned(1.0)
    for (left, right), said in (
        ((BAD, other), "a.jpg: squared norm"),
        ((face, BAD), "b.jpg: squared norm"),
        ((BAD, BAD), "a.jpg: squared norm is 9000: the network diverged; b.jpg: squared"),
    ):
        with pytest.raises(UnhealthyResultError) as caught:
            compare(left, right, thresholds(), ("a.jpg", "b.jpg"))
        assert str(caught.value).startswith(said)
    with pytest.raises(UnhealthyResultError, match=r"^second face: "):
        compare(face, BAD, thresholds())


def test_thresholds_themselves_belong_to_the_better_answer() -> None:
    assert thresholds().verdict(0.5) is Verdict.SAME
    assert thresholds().verdict(0.25) is Verdict.NOT_SURE
