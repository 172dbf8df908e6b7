"""Images on which the network diverges by a chosen amount; needs nothing but the network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fhe_face.models import reference
from fhe_face.models.layers import FusedNetwork

Image = NDArray[np.float64]
_STEPS = 60


def blend(network: FusedNetwork, good: Image, bad: Image, target: float) -> Image:
    """The image (3, S, S) between two whose squared norm in the clear is ``target``.

    Squared norms grow with an exponent that doubles from square to square: between a face and
    noise they pass from hundreds to overflow within a few per cent of the way.

    Raises:
        ValueError: the target does not lie between those of the two images.
    """
    if not squared_norm(network, good) < target < squared_norm(network, bad):
        raise ValueError(f"no image between the two has the squared norm {target:g}")
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if squared_norm(network, good + middle * (bad - good)) < target:
            low = middle
        else:
            high = middle
    return np.asarray(good + high * (bad - good))


def squared_norm(network: FusedNetwork, image: Image) -> float:
    """Of one image, before normalisation; infinite where the network overflows."""
    found = float(reference.squared_norm(reference.embed(network, image[None]))[0])
    return found if np.isfinite(found) else np.inf
