"""The split into gallery and probes, looking up, and ten-fold verification."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhe_face.models.evaluation.folds import FOLDS, MAX_PAIRS, fold_accuracy, make_folds
from fhe_face.models.evaluation.identification import identify, split
from tests.models.evaluation.kit import clusters

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=40)


@given(LABELS, st.none() | st.integers(0, 9))
def test_split(labels: list[int], seed: int | None) -> None:
    gallery, probes = split(labels, seed)
    assert sorted([*gallery, *probes]) == list(range(len(labels)))
    people = np.array(labels)
    for person in set(labels):
        count = labels.count(person)
        assert np.count_nonzero(people[gallery] == person) == max(1, count // 2)
        if seed is None:
            own = np.flatnonzero(people == person)
            assert set(own[: max(1, count // 2)]) <= set(gallery)
    again = split(labels, seed)
    assert np.array_equal(gallery, again[0])
    assert np.array_equal(probes, again[1])


def test_seeds_split_differently() -> None:
    labels = [k // 10 for k in range(100)]
    assert not np.array_equal(split(labels, 0)[0], split(labels, 1)[0])


def test_lookup_by_hand() -> None:
    # Person 0 enrolled at 0 degrees, person 1 at 90; probes at 10 degrees, 80, and 30.
    angles = np.deg2rad([0, 10, 80, 90, 30])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = identify(embeddings, [0, 0, 0, 1, 1])
    # Enrolled are 0 and 3; the probe at 80 of person 0 and the one at 30 of person 1 are taken
    # for the other.
    assert (found.hits, found.probes, found.gallery) == (1, 3, 2)
    assert found.rank1 == pytest.approx(1 / 3)
    assert found.chance == pytest.approx(0.5)


def test_ties_are_no_hits() -> None:
    found = identify(np.ones((10, 4)), [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    assert found.rank1 == 0


def test_chance_counts_enrolled_images() -> None:
    """Random embeddings get the stated chance, with people of unequal numbers of images."""
    labels = np.repeat([0, 1, 2], [20, 6, 2])
    draw = np.random.default_rng(0)
    found = [identify(draw.normal(size=(28, 16)), labels) for _ in range(300)]
    assert np.mean([f.rank1 for f in found]) == pytest.approx(found[0].chance, abs=0.03)


def test_single_images_are_enrolled() -> None:
    embeddings, labels = clusters(4, 2, 0.1)
    labels[7] = 9
    found = identify(embeddings, labels)
    assert (found.probes, found.gallery, found.rank1) == (3, 5, 1.0)


def test_nobody_to_look_up() -> None:
    with pytest.raises(ValueError, match="no person has two images"):
        identify(np.eye(3), [0, 1, 2])
    with pytest.raises(ValueError, match="one person only"):
        identify(np.eye(3), [0, 0, 0])


@pytest.mark.parametrize(("people", "images", "by"), [(40, 10, "people"), (5, 11, "pairs")])
def test_folds(people: int, images: int, by: str) -> None:
    labels = np.repeat(np.arange(people), images)
    folds, made_by = make_folds(labels, 0)
    assert made_by == by
    assert len(folds) == FOLDS
    seen: set[tuple[int, int]] = set()
    members: list[set[int]] = []
    for same, different in folds:
        assert len(same) == len(different) <= MAX_PAIRS
        assert np.all(labels[same[:, 0]] == labels[same[:, 1]])
        assert np.all(labels[different[:, 0]] != labels[different[:, 1]])
        pairs = {tuple(sorted(pair)) for pair in np.concatenate([same, different]).tolist()}
        assert len(pairs) == 2 * len(same)
        assert not pairs & seen
        seen |= pairs
        members.append(set(labels[np.concatenate([same, different])].ravel().tolist()))
    if by == "people":
        assert sum(len(m) for m in members) == len(set().union(*members))
    again, _ = make_folds(labels, 0)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(folds, again, strict=True))
    other, _ = make_folds(labels, 1)
    assert not all(np.array_equal(a[0], b[0]) for a, b in zip(folds, other, strict=True))


def test_fold_accuracy() -> None:
    for people in (40, 5):
        near, labels = clusters(people, 8, 0.1)
        perfect = fold_accuracy(near, labels)
        assert perfect is not None
        assert perfect.accuracy == 1.0
        assert perfect.standard_error == 0.0
        noise = fold_accuracy(np.random.default_rng(0).normal(size=near.shape), labels)
        assert noise is not None
        deviation = 0.5 / np.sqrt(noise.pairs)
        assert noise.accuracy == pytest.approx(0.5, abs=4 * deviation)


def test_too_few_pairs_for_folds() -> None:
    embeddings, labels = clusters(3, 3, 0.1)  # nine pairs of one person
    assert fold_accuracy(embeddings, labels) is None
