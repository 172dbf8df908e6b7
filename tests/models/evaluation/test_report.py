"""The report as a whole, and the trap: images that resemble themselves recognise nobody."""

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.models.calibration import images
from fhe_face.models.evaluation.embedding import (
    Embeddings,
    embed_crops,
    paired_similarity,
    pixels_as_embeddings,
    unit,
)
from fhe_face.models.evaluation.identification import Identification
from fhe_face.models.evaluation.report import Baseline, EvaluationError, evaluate, judge
from fhe_face.models.fused import fuse
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import embed, normalise
from fhe_face.models.synthetic import untrained
from tests.models.evaluation.kit import clusters

PEOPLE, IMAGES = 20, 6


@pytest.fixture(scope="module")
def network() -> FusedNetwork:
    """Nobody trained it."""
    return fuse(untrained(0))


def test_people_that_are_apart() -> None:
    embeddings, labels = clusters(40, 10, 0.2)
    report = evaluate(embeddings, labels)
    facts = report.to_json()
    assert (facts["people"], facts["images"]) == (40, 400)
    assert facts["same"]["pairs"] == 40 * 45
    assert facts["different"]["pairs"] == 400 * 399 // 2 - 40 * 45
    assert facts["same_mean"] > 0.9 > 0.1 > abs(facts["different_mean"])
    assert facts["eer"] < 0.01
    assert facts["tar_at_far_1pct"] == facts["tar_at_far_01pct"] == 1.0
    assert facts["gallery_probe_rank1"] == facts["gallery_probe_rank1_mean"] == 1.0
    assert facts["ten_fold"]["accuracy"] > 0.99
    assert facts["recognises"] is facts["verdict"]["recognises"] is True
    json.dumps(facts, allow_nan=False)


def test_noise_does_not_recognise() -> None:
    embeddings, labels = clusters(40, 10, 0.2)
    noise = np.random.default_rng(1).normal(size=embeddings.shape)
    report = evaluate(noise, labels)
    assert report.curve.eer == pytest.approx(0.5, abs=0.03)
    assert not report.verdict.recognises
    assert report.verdict.reason.startswith("does not recognise people")


def content_network(crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A model that keeps what a picture looks like: a fixed random projection of its pixels."""
    flat = pixels_as_embeddings(crops)
    return flat @ np.random.default_rng(0).normal(size=(flat.shape[1], 256))


def test_the_trap() -> None:
    """Nearly 1 between an image and its copy, yet the model knows nobody: it must fail."""
    draw = np.random.default_rng(2)
    labels = np.repeat(np.arange(PEOPLE), IMAGES)
    crops = images(draw, len(labels), 32)  # the pictures of a person have nothing in common
    noise = draw.normal(scale=1.5, size=crops.shape)
    copies = np.clip(crops * 0.95 + 5 + noise, 0, 255).astype(np.uint8)
    embeddings, of_copies = content_network(crops), content_network(copies)
    assert paired_similarity(embeddings, of_copies) > 0.99

    report = evaluate(unit(embeddings), labels)
    found = report.identification
    assert found.rank1 < found.chance + 0.1
    assert not report.verdict.recognises
    assert not report.to_json()["recognises"]
    assert "does not recognise people" in report.verdict.reason
    assert not any("paired" in name for name in report.to_json())


def test_an_untrained_network_does_not_recognise(network: FusedNetwork) -> None:
    draw = np.random.default_rng(3)
    crops = images(draw, 40, 64)
    found = embed_crops(network, crops)
    embeddings = found.normalised("cleartext", FittedNormalisation.load())
    assert not evaluate(embeddings, np.repeat(np.arange(10), 4)).verdict.recognises


def test_verdicts() -> None:
    assert judge(Identification(200, 200, 200, 0.025), 0.0).recognises
    assert judge(Identification(60, 200, 200, 0.025), 0.3).recognises
    assert not judge(Identification(8, 200, 200, 0.025), 0.1).recognises
    assert not judge(Identification(0, 200, 200, 0.025), 0.5).recognises
    few = judge(Identification(2, 2, 2, 0.5), 0.0)
    assert not few.recognises
    assert few.reason.startswith("too few images to tell")
    assert judge(Identification(25, 30, 25, 0.2), 0.1).recognises
    assert not judge(Identification(100, 200, 200, 0.5), 0.1).recognises


def test_pixels_are_the_lower_limit() -> None:
    """Where similar pictures are of the same person, a network of random numbers does well too."""
    found = Identification(171, 200, 200, 0.025)  # of such a network, on the ORL faces
    alone = Baseline(0.875, 0.227)
    assert judge(found, 0.204).recognises
    verdict = judge(found, 0.204, alone)
    assert not verdict.recognises
    assert "hardly better than comparing pixels" in verdict.reason
    assert judge(found, 0.15, alone).recognises
    # Images on which pixels make no error cannot show recognition.
    assert not judge(found, 0.0, Baseline(1.0, 0.0)).recognises


def test_an_untrained_network_on_easy_images(network: FusedNetwork) -> None:
    """The second trap: pictures of a person that are nearly one picture."""
    draw = np.random.default_rng(6)
    labels = np.repeat(np.arange(8), 6)
    base = images(draw, 8, 64)[labels].astype(np.float64)
    crops = np.clip(base + draw.normal(scale=8, size=base.shape), 0, 255).astype(np.uint8)
    found = embed_crops(network, crops)
    embeddings = found.normalised("cleartext", FittedNormalisation.load())
    report = evaluate(embeddings, labels, pixels_as_embeddings(crops))
    assert report.identification.rank1 == 1.0
    assert not report.verdict.recognises
    assert report.to_json()["pixels_alone"]["gallery_probe_rank1"] == 1.0


def test_what_cannot_be_evaluated() -> None:
    with pytest.raises(EvaluationError, match="images of 1 people; it takes two"):
        evaluate(np.eye(3), [5, 5, 5])
    with pytest.raises(EvaluationError, match="images of 0 people"):
        evaluate(np.zeros((0, 3)), [])
    with pytest.raises(EvaluationError, match="one image only"):
        evaluate(np.eye(3), [0, 1, 2])


def test_modes_and_health() -> None:
    draw = np.random.default_rng(4)
    normalisation = FittedNormalisation.load()
    raw = draw.normal(size=(1, 6, 256)) * np.sqrt([[50], [101], [300], [2999], [4000], [1]]) / 16
    raw[0, 5] = np.nan
    exact = np.sqrt(np.array([50, 100, 300, 3000, 3000.1]) / np.sum(raw[0, :5] ** 2, axis=1))
    raw[0, :5] *= exact[:, None] * [[1], [1 + 1e-12], [1], [1 - 1e-12], [1]]
    found = Embeddings(raw)
    assert found.healthy(normalisation.interval).tolist() == [
        False, True, True, True, False, False,
    ]  # fmt: skip
    clear = found.normalised("cleartext", normalisation)
    assert np.allclose(np.linalg.norm(clear[:5], axis=1), 1)
    polynomial = found.normalised("polynomial", normalisation)
    assert np.allclose(polynomial[:4], normalise(raw[0, :4], normalisation.coefficients))
    # The polynomial changes scores, not cosines.
    assert np.allclose(unit(polynomial[:4]), clear[:4])
    assert not np.allclose(polynomial[:4] @ polynomial[:4].T, clear[:4] @ clear[:4].T, atol=0.05)


def test_two_views(network: FusedNetwork) -> None:
    crops = images(np.random.default_rng(5), 3, 64)
    calls: list[tuple[int, int]] = []
    found = embed_crops(network, crops, flip=True, progress=lambda *n: calls.append(n))
    assert calls[-1] == (6, 6)
    mirrored = np.ascontiguousarray(crops[:, :, ::-1])
    for view, own in zip(found.views, (crops, mirrored), strict=True):
        wanted = embed(network, own)
        errors = np.linalg.norm(view - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
        assert errors.max() < 1e-5, "float32 in place of float64"
    clear = found.normalised("cleartext", FittedNormalisation.load())
    assert np.allclose(clear, unit(found.views[0] + found.views[1]))
    every = np.ones(3, dtype=bool)
    assert found.paired_similarity(every) == paired_similarity(*found.views)
    assert found.paired_similarity(~every) is None
    assert embed_crops(network, crops).paired_similarity(every) is None
    # The mean counts, as under encryption: opposite views cancel, one bad view spoils it.
    views = np.ones((2, 3, 256))
    views[1, 1:] = [[-0.9], [np.inf]]
    both = Embeddings(views)
    assert np.allclose(both.squared_norms[:2], [256, 256 * 0.05**2])
    assert both.healthy((100.0, 3000.0)).tolist() == [True, False, False]


def test_no_images(network: FusedNetwork) -> None:
    found = embed_crops(network, np.zeros((0, 64, 64, 3), np.uint8))
    assert found.views.shape == (1, 0, 256)
    assert pixels_as_embeddings(np.full((1, 64, 64, 3), 7, np.uint8)).tolist() == [[0.0] * 3072]
