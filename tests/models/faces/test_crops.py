"""From pictures to pixels: known transforms, odd pictures, and what a crop says about itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fhe_face.models.faces import (
    ARCFACE_112,
    Aligner,
    Detector,
    Face,
    FaceError,
    Flag,
    Preparation,
    PreparationError,
    letterboxed,
)
from fhe_face.models.faces.geometry import moved

Pixels = NDArray[np.uint8]
IDENTITY = np.hstack([np.eye(2), np.zeros((2, 1))])


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def crop(picture: Pixels, matrix: NDArray[np.float64], size: int = 64) -> Any:
    """The crop of a face whose landmarks a transform brings to the template."""
    linear = np.linalg.inv(matrix[:, :2])
    back = np.hstack([linear, -linear @ matrix[:, 2:]])
    landmarks = moved(back, ARCFACE_112)
    face = Face((0.0, 0.0, 80.0, 80.0), landmarks, 0.95, 5)
    return Aligner(size, _Never()).crop(picture, face)


class _Never(Detector):
    """The face is known already."""

    def __init__(self) -> None:
        self.digest = "0" * 64


@pytest.fixture(autouse=True)
def _opencv() -> None:
    pytest.importorskip("cv2", reason="face preparation needs OpenCV")


def test_a_face_on_the_template_stays() -> None:
    picture = noise(112, 112, 3)
    import cv2

    for size in (64, 96, 128):
        found = crop(picture, IDENTITY, size)
        expected = cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(found.pixels, expected)
        assert found.outside == 0
        assert found.fit_error == pytest.approx(0, abs=1e-12)


def test_positions_are_exact() -> None:
    ramp = np.arange(200.0)[None, :, None].repeat(200, axis=0).repeat(3, axis=2).astype(np.uint8)
    shifted = np.hstack([np.eye(2), [[-10.5], [-20.0]]])
    found = crop(ramp, shifted).pixels.astype(float)
    # Pixel k of 64 looks at (k + 0.5) * 112 / 64 - 0.5 of the template, 10.5 further right.
    expected = (np.arange(64) + 0.5) * 112 / 64 + 10
    # Halves are rounded to even, then averaged.
    assert np.abs(found[32, :, 0] - expected).max() <= 1.2


def test_borders_are_repeated() -> None:
    picture = np.full((60, 60, 3), 255, np.uint8)
    found = crop(picture, IDENTITY)
    assert (found.pixels == 255).all()
    assert found.outside == pytest.approx(1 - (60 / 112) ** 2, abs=0.01)
    assert Flag.OUTSIDE in found.flags


def test_large_pictures_are_averaged_first() -> None:
    fine = np.indices((1120, 1120)).sum(axis=0) % 2 * 255
    chess = fine[..., None].repeat(3, axis=2).astype(np.uint8)
    found = crop(chess, np.hstack([np.eye(2) / 10, np.full((2, 1), 0.05 - 0.5)]))
    assert np.abs(found.pixels.astype(int) - 127).max() <= 2  # no moire


def test_a_small_face_is_flagged() -> None:
    picture = noise(60, 60, 3)
    enlarged = np.hstack([3 * np.eye(2), np.zeros((2, 1))])
    assert Flag.SMALL in crop(picture, enlarged).flags
    assert Flag.SMALL not in crop(picture, IDENTITY).flags


def test_landmarks_that_fit_no_face_are_flagged() -> None:
    landmarks = ARCFACE_112.copy()
    landmarks[2, 0] += 60
    face = Face((0.0, 0.0, 80.0, 80.0), landmarks, 0.95, 5)
    assert Flag.POSE in Aligner(64, _Never()).crop(noise(112, 112, 3), face).flags
    unsure = Face((0.0, 0.0, 80.0, 80.0), ARCFACE_112, 0.81, 3)
    assert Aligner(64, _Never()).crop(noise(112, 112, 3), unsure).flags == (Flag.UNCERTAIN,)


@pytest.mark.parametrize(
    "image",
    [noise(9, 9), noise(9, 9, 4), np.zeros((0, 5, 3), np.uint8), np.zeros((9, 9, 3))],
    ids=["grey", "four channels", "empty", "float"],
)
def test_what_is_no_picture(image: Any) -> None:
    with pytest.raises(FaceError, match="image: "):
        Aligner(64, _Never()).align(image)
    with pytest.raises(FaceError, match="image: "):
        letterboxed(image, 64)


def test_sizes() -> None:
    with pytest.raises(FaceError, match="one of 64, 96, 128"):
        Aligner(80, _Never())


@given(st.sampled_from([64, 96, 128]), st.booleans())
def test_preparations_survive_json(size: int, flip: bool) -> None:
    for one in (
        Preparation.aligned(size, "a" * 64),
        Preparation.letterboxed(size),
        Preparation.as_given(size),
    ):
        flipped = one.with_flip(flip)
        assert Preparation.from_description(flipped.describe()) == flipped
        assert flipped.fallback is (one == Preparation.letterboxed(size))


@pytest.mark.parametrize(
    "change",
    [{"size": 80}, {"size": "64"}, {"flip": 1}, {"version": 2}, {"detector": None}, {"more": 1}],
)
def test_bad_preparations(change: dict[str, Any]) -> None:
    content = Preparation.as_given(64).describe() | change
    with pytest.raises(PreparationError, match="preparation: "):
        Preparation.from_description(content)
    others: list[Any] = [None, [], "text", {}]
    for other in others:
        with pytest.raises(PreparationError):
            Preparation.from_description(other)
