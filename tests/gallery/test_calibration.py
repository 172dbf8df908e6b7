"""Thresholds from a gallery's own pairs: the rule, on scores that were written down."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_face.gallery.calibration import MIN_SAME, Calibrated, Sample, calibrate, pairs_of
from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.errors import CalibrationError
from fhe_face.gallery.facts import Mode
from fhe_face.models.evaluation.scores import roc
from fhe_face.models.templates import Array, centred, mean_template, unit

FEATURES = 64


def drawn(people: int, photos: int, spread: float, shift: float = 0.0) -> list[Array]:
    """Unit embeddings of people; shift: what all of them have in common, beside."""
    draw = np.random.default_rng(3)
    common = draw.normal(size=FEATURES)
    found = []
    for _ in range(people):
        own = draw.normal(size=FEATURES) + shift * common
        found.append(unit(own + spread * draw.normal(size=(photos, FEATURES))))
    return found


def sample(people: list[Array]) -> Sample:
    chosen = Sample()
    for number, own in enumerate(people):
        chosen.add(f"{number:04}", [f"{number}/{photo}" for photo in range(len(own))], own)
    return chosen


def run(people: list[Array], mode: Mode = Mode.MEAN, centre_from: int = 10) -> Calibrated:
    return calibrate(sample(people), mode, "2026-11-30", "0", centre_from)


def test_pairs_of_means_leave_the_photo_out() -> None:
    people = drawn(3, 4, 0.5)
    found = pairs_of(people, Mode.MEAN, None)
    assert len(found.same) == 12
    assert len(found.different) == 24
    others = mean_template(np.delete(people[1], 2, axis=0))
    assert float(people[1][2] @ others) == pytest.approx(found.same[6])
    assert found.probes.shape == (12, 3)
    assert found.own.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_pairs_of_single_templates_count_once() -> None:
    people = drawn(3, 4, 0.5)
    found = pairs_of(people, Mode.EACH, None)
    assert len(found.same) == 3 * 6
    assert len(found.different) == 3 * 16
    assert found.probes.shape == (12, 3)
    best = max(float(people[0][0] @ people[0][k]) for k in (1, 2, 3))
    assert found.probes[0, 0] == pytest.approx(best)


def test_somebody_with_one_photo_is_a_stranger_only() -> None:
    people = [*drawn(3, 4, 0.5), unit(np.ones((1, FEATURES)))]
    assert len(pairs_of(people, Mode.MEAN, None).same) == 12
    assert len(pairs_of(people, Mode.MEAN, None).different) == 36


@pytest.mark.parametrize("mode", Mode)
def test_centring_helps_where_all_have_something_in_common(mode: Mode) -> None:
    found = run(drawn(30, 5, 1.3, shift=2.0), mode)
    assert found.centre is not None
    assert found.eer_after < found.eer_before
    assert found.people == 30


def test_centring_waits_for_people() -> None:
    people = drawn(9, 6, 0.5)
    assert run(people).centre is None
    assert run(people, centre_from=9).centre is not None
    assert run(people).eer_before == run(people).eer_after


def test_the_rule_with_enough_pairs() -> None:
    """Both rates can be stated: 1,250 pairs of one person, 60,000 of different people."""
    people = drawn(250, 5, 1.5)
    found, pairs = run(people, centre_from=1000), pairs_of(people, Mode.MEAN, None)
    curve = roc(pairs.same, pairs.different)
    decision = found.decision
    assert np.mean(pairs.different >= decision.same_from) <= 0.001
    assert np.mean(pairs.same < decision.different_below) <= 0.01
    assert curve.eer == found.eer_before
    assert decision.different_below < decision.same_from


def test_few_pairs_without_errors_leave_the_middle_third_uncertain() -> None:
    people = drawn(5, 6, 0.2)
    pairs = pairs_of(people, Mode.MEAN, None)
    low, high = float(pairs.different.max()), float(pairs.same.min())
    assert low < high, "drawn so that nothing overlaps"
    decision = run(people).decision
    assert decision.different_below == pytest.approx(low + (high - low) / 3)
    assert decision.same_from == pytest.approx(high - (high - low) / 3)


def test_few_pairs_with_errors_make_everything_seen_twice_uncertain() -> None:
    people = drawn(8, 4, 2.5)
    pairs = pairs_of(people, Mode.MEAN, None)
    assert pairs.different.max() > pairs.same.min(), "drawn so that scores overlap"
    found = run(people)
    wrong = {one.template for one in found.suspects}
    kept = [
        own[[f"{number}/{photo}" not in wrong for photo in range(len(own))]]
        for number, own in enumerate(people)
    ]
    seen = pairs_of([own for own in kept if len(own)], Mode.MEAN, None)
    assert found.decision.same_from > seen.different.max()
    assert found.decision.different_below <= seen.same.min()


def test_the_temperature_is_the_best_of_the_grid() -> None:
    found = run(drawn(30, 5, 1.3))
    assert found.decision.temperature != 0.05
    sure = found.decision.confidences(np.array([0.9, 0.0, -0.1]))
    assert sure[0] > 0.9
    assert sure.sum() < 1


def test_too_few_pairs_are_refused_with_their_numbers() -> None:
    with pytest.raises(CalibrationError, match="6 pairs of one person and 12 of different people"):
        run(drawn(3, 2, 0.5))
    with pytest.raises(CalibrationError, match="empty"):
        run([])
    assert MIN_SAME == 10


def test_many_people_are_sampled_and_all_are_in_the_centre() -> None:
    people = [*drawn(1200, 1, 0.5), *drawn(40, 3, 0.5)]
    chosen = sample(people)
    assert chosen.people == 1240
    kept = chosen.chosen
    assert len(kept) == 500
    assert [len(one.embeddings) for one in kept[:41]] == [3] * 40 + [1]
    assert kept[0].templates == ("1200/0", "1200/1", "1200/2")
    means = np.stack([mean_template(own) for own in people])
    assert np.allclose(chosen.centre, means.mean(axis=0))


@pytest.mark.parametrize("mode", Mode)
def test_a_wrong_label_is_a_suspect(mode: Mode) -> None:
    people = drawn(6, 5, 0.5)
    people[2][3], people[4] = people[4][0], people[4][1:]
    found = run(people, mode)
    (first,) = found.suspects
    assert (first.template, first.subject, first.likelier) == ("2/3", "0002", "0004")
    assert first.own < first.other
    assert found.to_json()["suspects"][0]["likelier"] == "0004"
    assert run(drawn(6, 5, 0.5), mode).suspects == ()
    right = run(drawn(6, 5, 0.5), mode).decision
    assert found.decision.same_from == pytest.approx(right.same_from, abs=0.15)
    assert found.decision.different_below == pytest.approx(right.different_below, abs=0.15)


def test_somebody_with_one_photo_is_counted_past() -> None:
    """Rows of suspects belong to photos, also where people without pairs lie between."""
    people = drawn(6, 5, 0.5)
    people[1] = people[1][:1]
    people[2][3], people[4] = people[4][0], people[4][1:]
    (first,) = run(people).suspects
    assert (first.template, first.likelier) == ("2/3", "0004")


def test_centred_templates_are_of_length_one() -> None:
    people = np.concatenate(drawn(4, 2, 0.5))
    moved = centred(people, np.full(FEATURES, 0.05))
    assert np.allclose(np.linalg.norm(moved, axis=1), 1)
    assert centred(people, None) is people
    assert not centred(people[:1], people[0]).any(), "the centre itself is similar to nobody"


def test_answers_between_the_thresholds_are_uncertain() -> None:
    decision = run(drawn(5, 6, 0.2)).decision
    middle = decision.middle
    assert decision.answer(middle) is Answer.UNCERTAIN
    assert decision.answer(decision.same_from) is Answer.MATCH
    assert decision.answer(decision.different_below - 1e-9) is Answer.UNKNOWN
