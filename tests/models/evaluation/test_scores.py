"""ROC, equal error rate and rates at a false accept rate, against brute force in fractions."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhe_face.models.evaluation.folds import best_threshold
from fhe_face.models.evaluation.scores import Distribution, pair_scores, roc

# Few distinct values, so that most lists have ties.
SCORES = st.lists(st.integers(-4, 4).map(lambda n: n / 4), min_size=1, max_size=25)
Point = tuple[Fraction, Fraction]


def points(same: list[float], different: list[float]) -> list[Point]:
    """(false accepts, false refusals) as fractions for every threshold, none accepted first."""
    thresholds = [np.inf, *sorted({*same, *different}, reverse=True)]
    return [
        (
            Fraction(sum(d >= t for d in different), len(different)),
            Fraction(sum(s < t for s in same), len(same)),
        )
        for t in thresholds
    ]


def brute_eer(same: list[float], different: list[float]) -> Fraction:
    """The crossing of the line through all points with the diagonal."""
    found = points(same, different)
    for (far0, frr0), (far1, frr1) in itertools.pairwise(found):
        if far0 - frr0 <= 0 <= far1 - frr1:
            part = (frr0 - far0) / ((far1 - frr1) - (far0 - frr0))
            return far0 + part * (far1 - far0)
    raise AssertionError("the line from (0, 1) to (1, 0) crosses the diagonal")


@given(SCORES, SCORES)
def test_roc_and_eer_against_brute_force(same: list[float], different: list[float]) -> None:
    curve = roc(np.array(same), np.array(different))
    expected = points(same, different)
    assert len(curve.far) == len(expected)
    assert np.allclose(curve.far, [float(far) for far, _ in expected], atol=1e-14)
    assert np.allclose(1 - curve.tar, [float(frr) for _, frr in expected], atol=1e-14)
    assert curve.eer == pytest.approx(float(brute_eer(same, different)), abs=1e-12)
    assert np.all(np.diff(curve.thresholds[1:]) < 0)


@given(SCORES, SCORES)
def test_eer_of_swapped_scores_is_the_complement(same: list[float], other: list[float]) -> None:
    there = roc(np.array(same), np.array(other)).eer
    back = roc(np.array(other), np.array(same)).eer
    assert there + back == pytest.approx(1, abs=1e-12)


@given(SCORES, SCORES, st.randoms(use_true_random=False))
def test_order_does_not_matter(same: list[float], other: list[float], random: object) -> None:
    before = roc(np.array(same), np.array(other))
    random.shuffle(same)  # type: ignore[attr-defined]
    after = roc(np.array(same), np.array(other))
    assert np.array_equal(before.far, after.far)
    assert np.array_equal(before.tar, after.tar)


@pytest.mark.parametrize(
    ("same", "different", "eer"),
    [
        ([1.0, 2.0], [-1.0, 0.0], 0.0),
        ([0.0], [1.0], 1.0),
        ([0.5] * 7, [0.5] * 3, 0.5),
        ([0.0, 1.0], [0.0, 1.0], 0.5),
        ([3.0, 2.0, 1.0, 0.0], [0.5, -1.0, -2.0, -3.0], 0.25),
        ([1.0, 0.0], [0.5, 0.0, 0.0], Fraction(3, 7)),
    ],
    ids=["apart", "reversed", "all equal", "same values", "one of four", "tie"],
)
def test_eer_by_hand(same: list[float], different: list[float], eer: float) -> None:
    assert roc(np.array(same), np.array(different)).eer == pytest.approx(float(eer), abs=1e-15)


def test_tar_needs_enough_pairs() -> None:
    same = np.array([0.9, 0.5, 0.05])
    different = np.linspace(0, 0.6, 1000)
    curve = roc(same, different)
    # Ten of a thousand may be accepted: those above 0.6 * 989 / 999 = 0.594.
    assert curve.tar_at(0.01) == pytest.approx(1 / 3)
    assert curve.tar_at(0.001) is None
    assert roc(same, different[:-1]).tar_at(0.01) is None
    assert roc(same, np.tile(different, 10)).tar_at(0.001) == pytest.approx(1 / 3)
    assert curve.tar_at(1.0) == 1.0


@given(SCORES, st.integers(1000, 1200), st.integers(0, 2**32 - 1))
def test_tar_never_takes_more_false_accepts(same: list[float], count: int, seed: int) -> None:
    different = np.random.default_rng(seed).integers(-8, 8, count) / 8
    stated = roc(np.array(same), different).tar_at(0.01)
    expected = max(
        np.mean(np.array(same) >= t)
        for t in [np.inf, *same, *different]
        if np.count_nonzero(different >= t) <= 0.01 * count
    )
    assert stated == pytest.approx(expected)


def test_pair_scores() -> None:
    embeddings = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 2.0]])
    same, different = pair_scores(embeddings, [7, 7, 3])
    assert np.allclose(same, [0.6])
    assert np.allclose(different, [0.0, 1.6])
    with pytest.raises(ValueError, match="NaN or infinite"):
        pair_scores(np.full((2, 2), np.nan), [0, 0])
    with pytest.raises(ValueError, match="with labels"):
        pair_scores(embeddings, [0, 1])


def test_nothing_to_compare() -> None:
    for same, different in (([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.inf])):
        with pytest.raises(ValueError, match="at least one finite score"):
            roc(np.array(same), np.array(different))
    with pytest.raises(ValueError, match="at least one finite score"):
        Distribution.of(np.zeros(0))


@given(SCORES, SCORES)
def test_best_threshold_against_brute_force(same: list[float], different: list[float]) -> None:
    def right(threshold: float) -> int:
        return sum(s >= threshold for s in same) + sum(d < threshold for d in different)

    best = max(right(t) for t in [np.inf, *same, *different])
    assert right(best_threshold(np.array(same), np.array(different))) == best
