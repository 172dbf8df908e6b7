"""How much a photo says of a face: its weight in a person's template."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.evaluation.resolution import Pixels, reduced

Weights = NDArray[np.float64]

#: Three quarters of the photos of ORL are above it, and with 12 pixels all of them below .11.
_SHARP: Final = 0.25
#: A blurred photo is better than none.
_LEAST: Final = 0.05


def sharpness(crops: Pixels) -> Weights:
    """How much fine detail crops (N, S, S, 3) show, (N,), 0 to 1.

    The share of the brightness's deviation that a reduction to a quarter of the side loses, from
    0 (blurred, or one colour) on. It says nothing about pose or light.
    """
    grey = crops.astype(np.float64).mean(axis=3)
    coarse = reduced(crops, max(1, crops.shape[1] // 4)).astype(np.float64).mean(axis=3)
    fine = (grey - coarse).reshape(len(crops), -1).std(axis=1)
    whole = grey.reshape(len(crops), -1).std(axis=1)
    return np.asarray(np.clip(np.where(whole > 0, fine / np.where(whole > 0, whole, 1), 0), 0, 1))


def photo_weights(crops: Pixels) -> Weights:
    """Weights (N,) of photos in a template, 0.05 to 1: all sharp ones weigh the same.

    crops: (N, S, S, 3). Measured beside size, the detector's confidence, norms and agreement with
    a person's other photos: docs/evaluation.md.
    """
    return np.clip(sharpness(crops) / _SHARP, _LEAST, 1.0)
