"""Which file a name of weights means, how good it is, and whether it decides right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.evaluation import embed_crops, pair_scores
from fhe_face.models.evaluation.embedding import unit
from fhe_face.models.hub import CACHE_VARIABLE, published_file
from fhe_face.models.synthetic import untrained
from fhe_face.models.thresholds import Verdict
from fhe_face.network import (
    BUNDLED_TENSORS,
    WeightsError,
    bundled_weights,
    caution,
    fused,
    require_thresholds,
    thresholds_of,
    weights_file,
)
from fhe_face.photos.people import find_photos, read_faces


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return tmp_path


def test_names_of_weights(cache: Path) -> None:
    for name in (None, "bundled", Path("bundled")):
        assert weights_file(name) == bundled_weights()
    for name in ("official", Path("official")):
        with pytest.raises(WeightsError, match="get them with fhe-face weights download, or name"):
            weights_file(name)
    with pytest.raises(WeightsError, match="weights download --size 96"):
        weights_file("official", 96)
    with pytest.raises(WeightsError, match="no official weights for faces of 65 pixels"):
        weights_file("official", 65)
    published_file(64).touch()
    assert weights_file("official") == published_file(64)
    assert weights_file("./official") == Path("official")
    assert str(weights_file("x.safetensors")) == "x.safetensors"


def test_the_bundled_network_is_called_a_demonstration(checkpoint: Path) -> None:
    bundled = load(bundled_weights())
    assert bundled.tensors_sha256 == BUNDLED_TENSORS
    said = caution(bundled)
    assert said is not None
    assert "is a demonstration" in said
    assert "fhe-face weights download" in said
    assert caution(load(checkpoint)) is None


def unmeasured(kind: str) -> Checkpoint:
    bundled = load(bundled_weights())
    return replace(bundled, state=untrained(4), path=Path("own"), manifest=None, kind=kind)  # type: ignore[arg-type]


def test_weights_without_thresholds_say_what_makes_some() -> None:
    with pytest.raises(WeightsError) as caught:
        require_thresholds(unmeasured("safetensors"))
    assert "fhe-face evaluate FOLDER --weights own --set-thresholds NAME" in str(caught.value)
    with pytest.raises(WeightsError, match=r"convert own OUT\.safetensors, then fhe-face ev"):
        require_thresholds(unmeasured("torch"))


def test_bundled_and_official_weights_have_thresholds(checkpoint: Path) -> None:
    bundled, official = thresholds_of(load(bundled_weights())), thresholds_of(load(checkpoint))
    assert bundled is not None
    assert official is not None
    assert {one.name for one in official.sets} == {one.name for one in bundled.sets}
    assert official.same_from < bundled.same_from


@pytest.mark.slow
@pytest.mark.parametrize("name", ["official", "bundled"])
def test_verdicts_on_real_faces(name: str, checkpoint: Path, shared: Path) -> None:
    """Every pair of johns with the official weights: one person is never called two, and two
    people are never called one. The bundled weights err, as often as their thresholds say."""
    weights = load(checkpoint if name == "official" else bundled_weights())
    thresholds = require_thresholds(weights)
    network = fused(weights)
    faces = read_faces(
        find_photos(shared / "faces" / "johns").photos, 64, aligned=False, warn=print
    )
    raw = embed_crops(network, faces.crops)
    healthy = raw.healthy((100.0, 3000.0))
    cosines = pair_scores(unit(raw.raw[healthy]), faces.labels[healthy])
    same, different = (verdicts(thresholds.verdict, part) for part in cosines)
    assert len(same) > 200
    assert len(different) > 1000
    if name == "official":
        assert Verdict.DIFFERENT not in same
        assert Verdict.SAME not in different
        assert same.count(Verdict.SAME) > 0.9 * len(same)
    assert different.count(Verdict.SAME) <= 0.01 * len(different)


def verdicts(decide: Callable[[float], Verdict], cosines: NDArray[np.float64]) -> list[Verdict]:
    return [decide(cosine) for cosine in cosines.tolist()]
