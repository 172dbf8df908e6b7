"""From a cosine to same, different or not sure; what weights files say of it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhe_face.models.checkpoint import CheckpointError, load, save_safetensors
from fhe_face.models.evaluation.thresholds import CosineThresholds
from fhe_face.models.known_thresholds import known_thresholds
from fhe_face.models.manifest import WeightsManifest, WeightsManifestError
from fhe_face.models.synthetic import untrained
from fhe_face.models.thresholds import (
    MeasuredSet,
    OperatingPoint,
    Thresholds,
    ThresholdsError,
    Verdict,
)


def point(cosine: float, far: float = 0.01, tar: float = 0.9) -> OperatingPoint:
    return OperatingPoint(cosine, far, tar)


def measured(name: str = "drawn", **points: OperatingPoint | None) -> MeasuredSet:
    given: dict[str, Any] = {"eer": point(0.4), **points}
    return MeasuredSet(name, 5, 265, 1166, "2026-11-30", "0.1.0", **given)


BOTH = Thresholds(
    (
        measured(far_01pct=point(0.5), far_1pct=point(0.45), frr_1pct=point(0.35)),
        measured("other", eer=point(0.42), far_1pct=point(0.3)),
    )
)


def test_the_strictest_and_the_most_lenient_of_all_sets_decide() -> None:
    assert BOTH.same_from == 0.5
    assert BOTH.different_below == 0.35


@pytest.mark.parametrize(
    ("cosine", "verdict"),
    [
        (1.0003, Verdict.SAME),
        (0.5, Verdict.SAME),
        (math.nextafter(0.5, 0), Verdict.NOT_SURE),
        (0.35, Verdict.NOT_SURE),
        (math.nextafter(0.35, 0), Verdict.DIFFERENT),
        (-1.0, Verdict.DIFFERENT),
    ],
)
def test_verdicts_at_their_edges(cosine: float, verdict: Verdict) -> None:
    assert BOTH.verdict(cosine) is verdict


@pytest.mark.parametrize("cosine", [math.nan, math.inf, -math.inf])
def test_no_verdict_about_what_is_no_number(cosine: float) -> None:
    with pytest.raises(ValueError, match="nothing can be said"):
        BOTH.verdict(cosine)


def test_a_perfect_network_is_never_unsure() -> None:
    one = Thresholds((measured(eer=point(0.4), frr_1pct=point(0.6)),))
    assert one.same_from == one.different_below == 0.4


def test_round_trip_and_replacement() -> None:
    content = json.loads(json.dumps(BOTH.to_json()))
    assert Thresholds.from_json(content) == BOTH
    again = BOTH.with_set(measured("other", eer=point(0.7)))
    assert [one.name for one in again.sets] == ["drawn", "other"]
    assert again.same_from == 0.7


def edited(path: tuple[str | int, ...], value: object) -> object:
    content: Any = json.loads(json.dumps(BOTH.to_json()))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return content


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("same_from",), 0.1),
        (("different_below",), -1.0),
        (("extra",), 1),
        (("sets",), []),
        (("sets",), "x"),
        (("sets", 0), None),
        (("sets", 0, "name"), ""),
        (("sets", 0, "name"), "x" * 101),
        (("sets", 0, "name"), "a\x1b[1m"),
        (("sets", 1, "name"), "drawn"),
        (("sets", 0, "date"), 5),
        (("sets", 0, "people"), 0),
        (("sets", 0, "people"), True),
        (("sets", 0, "same_pairs"), 2.5),
        (("sets", 0, "eer"), None),
        (("sets", 0, "eer"), {"cosine": 0.4}),
        (("sets", 0, "eer", "cosine"), 1.5),
        (("sets", 0, "eer", "cosine"), "0.4"),
        (("sets", 0, "eer", "far"), -0.1),
        (("sets", 0, "more"), 1),
    ],
)
def test_other_content_is_refused(path: tuple[str | int, ...], value: object) -> None:
    with pytest.raises(ThresholdsError):
        Thresholds.from_json(edited(path, value))


def test_points_of_known_scores() -> None:
    """1000 of each; strangers 0..0.999 in steps of 0.001, one person 0.9895 and up."""
    different = np.arange(1000) / 1000
    same = 0.9895 + np.arange(1000) / 1e6
    found = CosineThresholds.of(same, different)
    assert found.far_1pct is not None
    assert found.frr_1pct is not None
    assert found.far_01pct is None  # 10,000 pairs could state it
    assert found.eer.far == pytest.approx(1 - found.eer.tar, abs=2e-3)
    assert found.far_1pct.far == 0.01
    assert different[-11] < found.far_1pct.cosine <= different[-10]
    assert found.frr_1pct.tar == 0.99
    assert found.frr_1pct.cosine == pytest.approx(same[10], abs=1e-6)


def test_too_few_pairs_and_scores_that_are_apart() -> None:
    found = CosineThresholds.of(np.array([0.8, 0.9]), np.array([0.1, 0.2]))
    assert found.eer == OperatingPoint(0.5, 0.0, 1.0)
    assert found.far_1pct is found.far_01pct is found.frr_1pct is None


@given(
    same=st.lists(st.floats(-1, 1), min_size=1, max_size=30),
    different=st.lists(st.floats(-1, 1), min_size=1, max_size=30),
)
def test_a_point_does_what_it_says(same: list[float], different: list[float]) -> None:
    found = CosineThresholds.of(np.array(same), np.array(different)).eer
    assert found.tar == np.mean([s >= found.cosine for s in same]) or abs(found.cosine) == 1
    assert found.far == np.mean([d >= found.cosine for d in different]) or abs(found.cosine) == 1


def test_weights_files_carry_them(tmp_path: Path) -> None:
    state = untrained(3)
    manifest = WeightsManifest.of(state, thresholds=BOTH)
    save_safetensors(state, tmp_path / "w.safetensors", manifest=manifest)
    found = load(tmp_path / "w.safetensors").manifest
    assert found is not None
    assert found.thresholds == BOTH
    assert "thresholds" not in WeightsManifest.of(state).to_json()
    wrong = manifest.to_json().replace('"same_from":0.5', '"same_from":0.1')
    with pytest.raises(WeightsManifestError, match="thresholds: same_from"):
        WeightsManifest.from_json(wrong)
    assert replace(manifest, thresholds=None).to_json() == WeightsManifest.of(state).to_json()


def test_known_thresholds_are_of_the_official_weights(checkpoint: Path) -> None:
    found = known_thresholds(load(checkpoint).tensors_sha256)
    assert found is not None
    assert [one.name for one in found.sets] == ["johns", "ORL"]
    assert known_thresholds("0" * 64) is None


def test_a_file_that_says_otherwise_is_named(tmp_path: Path) -> None:
    state = untrained(3)
    save_safetensors(state, tmp_path / "w.safetensors", manifest=WeightsManifest.of(state))
    content = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(content.replace(b"training", b"traininG", 1))
    load(tmp_path / "w.safetensors")  # an unknown field is none of this program's
    (tmp_path / "w.safetensors").write_bytes(
        content.replace(b"tensors_sha256", b"thresholds____", 1)
    )
    with pytest.raises(CheckpointError, match="its manifest"):
        load(tmp_path / "w.safetensors")
