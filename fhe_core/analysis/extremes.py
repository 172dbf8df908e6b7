"""The worst of many slots: the largest error to expect, and the room before a wrap-around."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fhe_core.parameters import Parameters
from fhe_core.plan import Value

#: Deviations are sorted into so many classes per factor of two, and far smaller ones forgotten.
_CLASSES = 32
_OCTAVES = 8
_BISECTIONS = 40
#: Standard deviations that no largest of 2^60 slots exceeds.
_BEYOND = 12.0


def likely_largest(deviations: NDArray[Any]) -> float:
    """Median of the largest absolute error, of independent normal errors with these deviations.

    Within about two percent. Zero where all are zero; not finite where one of them is not.
    """
    top = float(np.max(deviations))
    if not 0 < top < math.inf:
        return top
    positive = deviations[deviations > 0]
    number = (np.log2(top / positive) * _CLASSES).astype(np.int64)
    counts = np.bincount(number[number < _CLASSES * _OCTAVES])
    sizes = 2.0 ** (-np.arange(counts.size) / _CLASSES)
    low, high = 0.0, _BEYOND
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        with np.errstate(divide="ignore"):
            all_smaller = float(np.dot(counts, np.log1p(-2 * special.ndtr(-middle / sizes))))
        low, high = (middle, high) if all_smaller < math.log(0.5) else (low, middle)
    return top * high


def headroom_bits(parameters: Parameters, value: Value, magnitude: float) -> float:
    """log2 of how often larger a value's slots could be before its coefficients wrap around.

    magnitude: the largest absolute slot. A coefficient of a polynomial is at most as large as its
    largest value at a root of unity, magnitude * scale, and must stay below half the modulus of
    its level. So the room is at least this; inf for a magnitude of zero.
    """
    if not magnitude > 0:
        return math.inf if magnitude == 0 else math.nan
    return parameters.log2_modulus(value.level) - 1 - math.log2(value.scale) - math.log2(magnitude)
