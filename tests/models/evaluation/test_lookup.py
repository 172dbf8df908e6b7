"""Probes against enrolled people, intervals, people and pairs, fused networks."""

import numpy as np
import pytest

from fhe_face.models.evaluation.bootstrap import eer_interval, pair_people
from fhe_face.models.evaluation.details import by_person, worst_pairs
from fhe_face.models.evaluation.fusion import (
    Disagreements,
    Named,
    Voice,
    disagreement,
    fused,
    fused_lookup,
)
from fhe_face.models.evaluation.identification import enrol
from fhe_face.models.evaluation.lookup import Lookup, look_up
from fhe_face.models.evaluation.resolution import reduced
from fhe_face.models.evaluation.scores import pair_scores, roc
from fhe_face.models.quality import photo_weights, sharpness
from fhe_face.models.templates import TemplateError, centred, mean_templates, unit
from tests.models.evaluation.kit import clusters

LABELS = np.repeat(np.arange(3), 2)


def test_who_is_enrolled() -> None:
    labels = [0, 0, 0, 0, 0, 1, 1, 2]
    assert enrol(labels, None).tolist() == [1, 1, 0, 0, 0, 1, 0, 1]
    assert enrol(labels, 3).tolist() == [1, 1, 1, 0, 0, 1, 1, 1]
    drawn = [enrol(labels, 2, seed).tolist() for seed in range(10)]
    assert all(sum(one[:5]) == 2 and all(one[5:]) for one in drawn)
    assert len(set(map(tuple, drawn))) > 1
    assert drawn[3] == enrol(labels, 2, 3).tolist()


def test_ranks_by_hand() -> None:
    scores = np.array([[0.9, 0.1, 0.5], [0.9, 0.8, 0.7], [0.5, 0.5, 0.1], [0.9, 0.9, 0.9]])
    found = Lookup(scores, np.array([0, 0, 1, 7]), np.array([0, 1, 0]))
    assert found.ranks.tolist() == [1, 1, 2], "a tie counts against the probe; 7 is not enrolled"
    assert found.rank(1) == pytest.approx(2 / 3)
    assert found.rank(2) == 1.0
    assert found.at(0.7) == {"threshold": 0.7, "tar": 3 / 5, "far": 4 / 7}
    facts = found.to_json((2,), 0.7)
    assert (facts["probes"], facts["probes_of_strangers"], facts["enrolled"]) == (3, 1, 2)
    assert facts["ranks"] == {"2": 1.0}
    assert facts["at_threshold"] == {"threshold": 0.7, "tar": 3 / 5, "far": 4 / 7}


def test_templates_and_centring() -> None:
    embeddings, names = clusters(12, 8, noise=2.0, seed=3)
    embeddings = embeddings + 0.3  # what all faces share
    labels = np.array(names)
    chosen = enrol(labels, None)
    sides = embeddings[chosen], labels[chosen], embeddings[~chosen], labels[~chosen]
    single, template, middle = (look_up(*sides, m) for m in ("single", "template", "centred"))
    assert single.scores.shape == (48, 48)
    assert template.scores.shape == middle.scores.shape == (48, 12)
    assert middle.curve.eer < template.curve.eer < single.curve.eer
    entries, _ = mean_templates(unit(sides[0]), sides[1])
    centre = entries.mean(axis=0)
    wanted = centred(unit(sides[2]), centre) @ centred(entries, centre).T
    assert np.allclose(middle.scores, wanted)


def test_a_weight_of_nothing_is_a_face_less() -> None:
    embeddings, names = clusters(3, 4, noise=0.5)
    labels = np.array(names)
    weights = np.ones(12)
    weights[1] = 0
    found, people = mean_templates(embeddings, labels, weights)
    kept = weights > 0
    assert np.allclose(found, mean_templates(embeddings[kept], labels[kept])[0])
    weights[:4] = 0
    assert mean_templates(embeddings, labels, weights)[1].tolist() == [1, 2]
    assert people.tolist() == [0, 1, 2]
    for wrong in (np.zeros(12), np.ones(3)):
        with pytest.raises(TemplateError):
            mean_templates(embeddings, labels, wrong)


def test_intervals_hold_the_rate_and_repeat() -> None:
    embeddings, names = clusters(20, 4, noise=2.5, seed=1)
    labels = np.array(names)
    same, different = pair_scores(embeddings, labels)
    rate = roc(same, different).eer
    found = eer_interval(same, different, *pair_people(labels))
    assert found == eer_interval(same, different, *pair_people(labels))
    assert found != eer_interval(same, different, *pair_people(labels), seed=1)
    assert found.low < rate < found.high
    assert found.people == 20
    fewer = eer_interval(*pair_scores(embeddings[:20], labels[:20]), *pair_people(labels[:20]))
    assert fewer.to_json()["few_people"] is True
    assert fewer.high - fewer.low > found.high - found.low, "fewer people say less"


def test_intervals_by_hand() -> None:
    """Whoever is drawn, nobody is taken for another: the rate is 0; swapped, it is 1."""
    own = np.array([0, 1])
    others = np.array([[0, 1], [1, 0]])
    assert eer_interval(np.ones(2), np.zeros(2), own, others).high == 0
    assert eer_interval(np.zeros(2), np.ones(2), own, others).low == 1


def test_people_and_worst_pairs() -> None:
    angles = np.radians([0.0, 10, 60, 100, 105])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = np.array([0, 0, 0, 1, 2])
    ann, bob, eve = by_person(embeddings, labels, ["ann", "bob", "eve"])
    assert (ann.person, ann.images, ann.nearest, ann.taken_for) == ("ann", 3, "bob", 1)
    assert ann.same_min == pytest.approx(0.5)
    assert ann.different_max == pytest.approx(np.cos(np.radians(40)))
    assert bob.same_mean is bob.same_min is eve.same_min is None
    assert (bob.nearest, eve.nearest) == ("eve", "bob")
    same, different = worst_pairs(embeddings, labels, 2)
    assert [(p.first, p.second) for p in same] == [(0, 2), (1, 2)]
    assert [(p.first, p.second) for p in different] == [(3, 4), (2, 3)]


def test_smaller_faces() -> None:
    draw = np.random.default_rng(0)
    crops = draw.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    small = reduced(crops, 16)
    assert small.shape == crops.shape
    assert small.std() < crops.std() / 2
    assert reduced(crops, 64) is crops
    assert (sharpness(small) < sharpness(crops)).all()
    flat = np.full((1, 64, 64, 3), 9, np.uint8)
    assert sharpness(flat).tolist() == [0.0]
    assert photo_weights(np.concatenate([crops, flat])).tolist() == [1.0, 1.0, 0.05]
    with pytest.raises(ValueError, match="0 pixels"):
        reduced(crops, 0)


def test_two_networks() -> None:
    """By hand; where one network refused a face, only the other counts."""
    one = Voice(np.array([0.8, 0.3, np.nan, np.nan]), 0.4, 3.0)
    two = Voice(np.array([0.3, 0.2, 0.9, np.nan]), 0.5, 1.0)
    found = fused((one, two))
    assert found[:3] == pytest.approx([(3 * 0.4 - 0.2) / 4, (-0.3 - 0.3) / 4, 0.4])
    assert np.isnan(found[3])
    assert disagreement((one, two)).tolist() == [True, False, False, False]
    counted = Disagreements.counted((one, two), np.array([True, False, True, True]))
    assert counted == Disagreements(1, 2, (1, 0))
    for weight in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="weight"):
            Voice(one.scores, 0.4, weight)
    with pytest.raises(ValueError, match="same pairs"):
        fused((one, Voice(np.zeros(3), 0.5, 1.0)))


def test_two_networks_look_up() -> None:
    """Probes of 0, 1, 2 and a stranger among entries of 0, 1, 2; both refuse the last but one."""
    gone = np.full(3, np.nan)
    one = Voice(np.stack([[0.9, 0.1, 0.0], gone, gone, [0.1, 0.3, 0.0]]), 0.5, 1.0)
    second = [[0.2, 0.4, np.nan], [0.1, 0.5, np.nan], gone, [0.5, 0.1, np.nan]]
    two = Voice(np.array(second), 0.3, 1.0)
    probes, entries = np.array([0, 1, 2, 9]), np.arange(3)
    found = fused_lookup((one, two), probes, entries)
    assert found.probes.tolist() == [0, 1, 9]
    assert found.scores[0] == pytest.approx([0.15, -0.15, -0.5])
    assert found.scores[1] == pytest.approx([-0.2, 0.2, -3.0])
    assert found.ranks.tolist() == [1, 1]
    named = Named.by((one, two), entries)
    assert named.rows.tolist() == [0, 3]
    assert named.people.tolist() == [[0, 1], [1, 0]]
    assert named.apart.tolist() == [True, True]
    silent = Voice(np.full((4, 3), np.nan), 0.3, 1.0)
    assert Named.by((one, silent), entries).rows.tolist() == []
    assert fused_lookup((one, silent), probes, entries).probes.tolist() == [0, 9]
