"""From a picture to the pixels of a crop."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.faces.errors import FaceError
from fhe_face.models.faces.face import Pixels, check_image
from fhe_face.models.faces.geometry import TEMPLATE_SIDE, Matrix, moved, scale_of
from fhe_face.models.faces.opencv import opencv

#: Around the part that is warped, so that interpolation sees its neighbours.
_ROOM: Final = 2


def warped(image: Pixels, matrix: Matrix, size: int) -> Pixels:
    """The picture under a transform to the 112x112 template, then at `size`: bilinear, border
    repeated. A picture that shrinks to less than one half is averaged over areas first.

    Positions are exact: OpenCV's warpAffine rounds them to 1/32 pixel in some of its versions.
    """
    from scipy.ndimage import map_coordinates

    cv2 = opencv()
    source = np.ascontiguousarray(image)
    shrink = 2 * scale_of(matrix)
    if shrink < 1:
        high, wide = (max(1, round(n * shrink)) for n in image.shape[:2])
        source = cv2.resize(source, (wide, high), interpolation=cv2.INTER_AREA)
        ratio = np.array([image.shape[1], image.shape[0]]) / source.shape[1::-1]
        # From pixels of the reduced picture to those of the picture, then on.
        matrix = np.hstack([matrix[:, :2] * ratio, moved(matrix, 0.5 * ratio - 0.5).reshape(2, 1)])
    grid = np.stack(np.meshgrid(*[np.arange(TEMPLATE_SIDE)] * 2), axis=-1)
    places = (grid - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    limits = np.array(source.shape[1::-1]) - 1
    places = np.clip(places, 0, limits)  # the border repeated
    low = np.maximum(np.floor(places.min(axis=(0, 1))).astype(int) - _ROOM, 0)
    end = np.ceil(places.max(axis=(0, 1))).astype(int) + 1 + _ROOM
    part = source[low[1] : end[1], low[0] : end[0]].astype(np.float64)
    rows_columns = (places - low).transpose(2, 0, 1)[::-1]
    colours = [
        map_coordinates(part[..., colour], rows_columns, order=1, mode="nearest")
        for colour in range(3)
    ]
    crop = np.rint(np.stack(colours, axis=-1)).astype(np.uint8)
    out: Pixels = cv2.resize(crop, (size, size), interpolation=cv2.INTER_LINEAR)
    return out


def letterboxed(image: Pixels, size: int) -> Pixels:
    """The whole picture, its aspect ratio kept, in the middle of a black square."""
    from PIL import Image  # here, as servers import this package for its errors

    check_image(image)
    high, wide = (max(1, round(n * size / max(image.shape[:2]))) for n in image.shape[:2])
    whole = Image.fromarray(image).resize((wide, high), Image.Resampling.BICUBIC)
    top, left = round((size - high) / 2), round((size - wide) / 2)
    out = np.zeros((size, size, 3), dtype=np.uint8)
    out[top : top + high, left : left + wide] = np.array(whole)
    return out


def mirrored(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Left and right exchanged, (..., S, S, 3): the second view for flip averaging."""
    if image.ndim < 3 or image.shape[-1] != 3:
        raise FaceError(f"image: shape {image.shape}; it must be (..., H, W, 3)")
    return np.ascontiguousarray(image[..., ::-1, :])
