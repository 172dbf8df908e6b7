"""A detected face, and what is asked of pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.faces.errors import FaceError
from fhe_face.models.faces.geometry import ARCFACE_112, Matrix, Points, moved, roll_of, similarity

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]

#: OpenCV does not turn pictures of 32,767 pixels or more.
MAX_SIDE: Final = 30_000


@dataclass(frozen=True, eq=False)
class Face:
    """A detected face in pixels of the picture.

    box: x, y, width, height; landmarks: (5, 2) eyes, nose, corners of the mouth, the picture's
    left first; score: mean confidence; scales: at how many of the five scales it was found.
    """

    box: Box
    landmarks: Points
    score: float
    scales: int

    @property
    def area(self) -> float:
        """Of the box, in pixels."""
        return self.box[2] * self.box[3]

    @property
    def side(self) -> float:
        """Longer side of the box, in pixels."""
        return max(self.box[2:])

    @property
    def centre(self) -> Points:
        """Of the box, (2,)."""
        x, y, width, height = self.box
        return np.array([x + width / 2, y + height / 2])

    @property
    def roll(self) -> float:
        """By how many degrees the picture must be turned for the face to stand upright."""
        return roll_of(similarity(self.landmarks, ARCFACE_112))

    def moved(self, matrix: Matrix) -> "Face":
        """The face after a similarity of the picture, (2, 3); the box stays upright."""
        centre = moved(matrix, self.centre)
        # The box around a turned ellipse, not around the turned box, which would grow.
        wide, high = (float(n) for n in np.hypot(*(matrix[:, :2] * self.box[2:]).T))
        box = (float(centre[0]) - wide / 2, float(centre[1]) - high / 2, wide, high)
        return Face(box, moved(matrix, self.landmarks), self.score, self.scales)


def overlap(one: Sequence[float] | Points, two: Sequence[float] | Points) -> float:
    """Intersection over union of two boxes."""
    ends = (min(one[k] + one[k + 2], two[k] + two[k + 2]) for k in (0, 1))
    sides = [max(0.0, end - max(one[k], two[k])) for k, end in enumerate(ends)]
    common = sides[0] * sides[1]
    return float(common / (one[2] * one[3] + two[2] * two[3] - common))


def check_image(image: NDArray[Any]) -> None:
    """FaceError unless it is uint8 (H, W, 3) with sides of 1 to 30,000."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise FaceError(f"image: {image.dtype} {image.shape}; it must be uint8 (H, W, 3) RGB")
    if not 0 < min(image.shape[:2]) <= max(image.shape[:2]) <= MAX_SIDE:
        raise FaceError(f"image: {image.shape}; sides must be 1 to {MAX_SIDE} pixels")
