"""The ArcFace template and the similarity transform to it. numpy only.

Points are (x, y) in pixels, the centre of the first pixel at (0, 0).
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.architecture import INPUT_SIZES
from fhe_face.models.faces.errors import FaceError

Points = NDArray[np.float64]
Matrix = NDArray[np.float64]

#: Sides of the crops: the input sizes of CryptoFaceNet4, 9 and 16.
SIZES: Final = INPUT_SIZES
TEMPLATE_SIDE: Final = 112
#: Eyes, nose and corners of the mouth in the 112x112 crop, the picture's left first (InsightFace).
ARCFACE_112: Final[Points] = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
ARCFACE_112.flags.writeable = False


def similarity(source: NDArray[Any], target: NDArray[Any]) -> Matrix:
    """The similarity (rotation, scale, shift; no mirroring) from source to target points, (2, 3).

    Least squares after Umeyama (1991). FaceError: shapes differ, fewer than two points, values
    that are not finite, or all source points in one place.
    """
    start, end = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if start.shape != end.shape or start.ndim != 2 or start.shape[1] != 2 or len(start) < 2:
        raise FaceError(f"points: {start.shape} and {end.shape}; both must be (n, 2), n >= 2")
    if not (np.isfinite(start).all() and np.isfinite(end).all()):
        raise FaceError("points: NaN or infinite coordinates")
    from_centre, to_centre = start.mean(axis=0), end.mean(axis=0)
    spread = start - from_centre
    variance = float(np.square(spread).sum()) / len(start)
    if variance < 1e-12:
        raise FaceError("points: all in one place, which has no direction or scale")
    left, singular, right = np.linalg.svd((end - to_centre).T @ spread / len(start))
    signs = np.array([1.0, 1.0 if np.linalg.det(left) * np.linalg.det(right) >= 0 else -1.0])
    rotation = left @ np.diag(signs) @ right
    turned = float(singular @ signs) / variance * rotation
    return np.hstack([turned, (to_centre - turned @ from_centre)[:, None]])


def moved(matrix: Matrix, points: NDArray[Any]) -> Points:
    """The points (..., 2) after a transform (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def scale_of(matrix: Matrix) -> float:
    """How much a similarity enlarges."""
    return float(np.sqrt(np.abs(np.linalg.det(matrix[:, :2]))))


def roll_of(matrix: Matrix) -> float:
    """By how many degrees a similarity turns, in (-180, 180]."""
    return float(np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0])))


def outside_share(matrix: Matrix, width: int, height: int) -> float:
    """The share of the 112x112 crop that lies outside the picture it is cut from."""
    linear = np.linalg.inv(matrix[:, :2])
    grid = np.stack(np.meshgrid(*[np.arange(TEMPLATE_SIDE)] * 2), axis=-1)
    points = (grid - matrix[:, 2]) @ linear.T
    inside = (points >= -0.5) & (points <= np.array([width, height]) - 0.5)
    return float(1 - inside.all(axis=-1).mean())


def template_shift(matrix: Matrix, width: int, height: int) -> float:
    """How far a picture's corners end from the corners of the 112x112 crop, in its pixels.

    Small where the picture is an aligned crop already; infinite for one that is not square.
    """
    if width != height:
        return float("inf")
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    ends = moved(matrix, corners * width - 0.5) - (corners * TEMPLATE_SIDE - 0.5)
    return float(np.hypot(*ends.T).max())
