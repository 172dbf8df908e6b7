"""Faces as a distant camera sees them: crops with fewer pixels."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def reduced(crops: Pixels, size: int) -> Pixels:
    """Crops (N, S, S, 3) reduced to size x size by averaging areas, and enlarged again (bicubic).

    Reduced after alignment: a detector on photos as small would do worse. As large or larger a
    size leaves them as they are. ValueError: a size below 1.
    """
    if size < 1:
        raise ValueError(f"faces of {size} pixels; it must be at least 1")
    side = crops.shape[1]
    if size >= side:
        return crops
    found = np.empty_like(crops)
    for crop, target in zip(crops, found, strict=True):
        small = Image.fromarray(crop).resize((size, size), Image.Resampling.BOX)
        target[:] = np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))
    return found
