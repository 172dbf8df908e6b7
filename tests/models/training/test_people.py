"""Held-out people stay held out; batches hold different images of the same people."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.people import Classify, Contrast, People, RankOne


def numbered(counts: list[int]) -> People:
    """Every image is known again by its first pixel's three values."""
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    crops = np.zeros((len(labels), 64, 64, 3), np.uint8)
    crops[:, 0, 0, 0], crops[:, 0, 0, 1] = np.arange(len(labels)) % 256, labels
    return People(crops, labels)


@settings(max_examples=40)
@given(
    counts=st.lists(st.integers(1, 5), min_size=4, max_size=12),
    held_out=st.integers(2, 4),
    seed=st.integers(0, 99),
)
def test_split(counts: list[int], held_out: int, seed: int) -> None:
    people = numbered(counts)
    if sum(c > 1 for c in counts) < held_out or len(counts) - held_out < 2:
        with pytest.raises(TrainingError, match="too few"):
            people.split(held_out, seed)
        return
    train, test = people.split(held_out, seed)
    assert (train.count, test.count) == (len(counts) - held_out, held_out)
    assert len(train.labels) + len(test.labels) == sum(counts)
    one, two = (set(p.crops[:, 0, 0, 1].tolist()) for p in (train, test))
    assert not one & two
    assert set(train.labels.tolist()) == set(range(train.count))
    assert np.unique(test.labels, return_counts=True)[1].min() > 1


@settings(max_examples=30)
@given(
    counts=st.lists(st.integers(1, 6), min_size=3, max_size=9),
    images=st.integers(2, 4),
    step=st.integers(0, 50),
)
def test_contrast_batches(counts: list[int], images: int, step: int) -> None:
    people = numbered(counts)
    if sum(c > 1 for c in counts) < 3:
        with pytest.raises(TrainingError, match="two or more images"):
            Contrast(people, 3, images, seed=1)
        return
    crops, labels = Contrast(people, 3, images, seed=1).batch(step)
    again, _ = Contrast(people, 3, images, seed=1).batch(step)
    assert torch.equal(crops, again)
    shown = crops[:, 0, 0, 0].tolist()
    assert len(set(shown)) == len(shown), "every image is another one"
    found, each = np.unique(labels.numpy(), return_counts=True)
    assert len(found) == 3
    assert [min(images, counts[p]) for p in found.tolist()] == each.tolist()
    assert each.min() >= 2


def test_classify_shows_every_image_once_per_epoch() -> None:
    objective = Classify(numbered([3, 4, 5]), batch=4, seed=2)
    assert objective.steps_per_epoch == 3
    epochs = []
    for epoch in range(2):
        batches = [objective.batch(3 * epoch + i)[0][:, 0, 0, 0].tolist() for i in range(3)]
        epochs.append([image for batch in batches for image in batch])
        assert sorted(epochs[-1]) == list(range(12))
    assert epochs[0] != epochs[1]


def test_too_little_data_is_named() -> None:
    with pytest.raises(TrainingError, match="--batch is 64"):
        Classify(numbered([3, 3]), batch=64, seed=0)
    with pytest.raises(TrainingError, match="must be 2 or more"):
        Contrast(numbered([3, 3]), 2, 1, seed=0)
    with pytest.raises(TrainingError, match="--held-out is 1; it must be 0"):
        numbered([3, 3, 3]).split(1, 0)
    with pytest.raises(TrainingError, match=r"one step takes 16 of them \(--people"):
        Contrast(numbered([3, 3]), 16, 2, seed=0)
    with pytest.raises(TrainingError, match="--held-out 3 leaves too few"):
        numbered([3, 3, 3]).split(3, 0)


@pytest.mark.parametrize(
    ("counts", "held_out"),
    [([3, 3], 0), ([3] * 3, 0), ([3] * 4, 2), ([11] * 5, 2), ([2] * 20, 4), ([2] * 80, 10)],
)
def test_usual_numbers_suit_few_people(counts: list[int], held_out: int) -> None:
    train, test = numbered(counts).split(None, 0)
    assert test.count == held_out
    assert train.count == len(counts) - held_out
    classify, contrast = Classify(train, None, 0), Contrast(train, None, 2, 0)
    assert classify.size == min(128, len(train.labels))
    assert contrast.groups == min(16, train.count)
    assert classify.steps_per_epoch > 0 < contrast.steps_per_epoch


def test_validation_looks_across_images() -> None:
    """Copies of one picture per person are all found; unrelated pictures are found by chance."""
    torch.manual_seed(0)
    network = CryptoFaceNet()
    random = np.random.default_rng(1)
    base = random.integers(0, 256, (6, 64, 64, 3)).astype(np.uint8)
    for _ in range(3):
        network(torch.randn(8, 3, 64, 64))
    network.eval()
    labels = np.repeat(np.arange(6), 4)
    copies = RankOne(People(base[labels], labels))(network)
    assert copies == {
        "rank1": 1.0,
        "rank1_chance": pytest.approx(1 / 6),
        "probes": 12,
        "eer": 0.0,
        "paired": pytest.approx(1, abs=1e-3),
    }
    noise = random.integers(0, 256, (24, 64, 64, 3)).astype(np.uint8)
    assert RankOne(People(noise, labels))(network)["rank1"] < 0.7
