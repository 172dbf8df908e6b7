"""The parts of face preparation that need no detector."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_face.models.faces import ARCFACE_112, FaceError, letterboxed, mirrored, similarity
from fhe_face.models.faces.geometry import moved, roll_of, scale_of


@pytest.mark.parametrize("degrees", [-150.0, -30.0, 0.0, 30.0, 90.0])
@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_similarity_is_recovered(degrees: float, scale: float) -> None:
    angle = np.radians(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.hstack([turn, [[7.0], [-3.0]]])
    found = similarity(ARCFACE_112, moved(matrix, ARCFACE_112))
    np.testing.assert_allclose(found, matrix, atol=1e-9)
    assert scale_of(found) == pytest.approx(scale)
    assert roll_of(found) == pytest.approx(degrees)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.ones((5, 3))])
def test_points_without_a_similarity_are_refused(points: NDArray[np.float64]) -> None:
    with pytest.raises(FaceError):
        similarity(points, ARCFACE_112)


def test_letterboxing_keeps_the_aspect_ratio_and_mirroring_undoes_itself() -> None:
    image = np.full((20, 80, 3), 200, dtype=np.uint8)
    boxed = letterboxed(image, 64)
    assert boxed.shape == (64, 64, 3)
    assert (boxed[:20] == 0).all()
    assert (boxed[28:36] == 200).all()
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    np.testing.assert_array_equal(mirrored(mirrored(noise)), noise)
