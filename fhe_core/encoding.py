"""CKKS encoding: real slots <-> integer coefficients of the real ring, by numpy's FFT.

Slot j is the value of a_0 + sum of a_i (X^i + X^-i) at zeta^(5^j), zeta = exp(i pi / 2N), which is
real (Kim and Song 2018, ia.cr/2018/952, section 3). The powers of 5 are 1 modulo 4, all of them, so
that with exponents 4r + 1 the coefficients are a discrete cosine transform of the values.
A vector that repeats with period G encodes to an element in Y = X^(N/G): encoding its first G
values with ring dimension G gives those G coefficients.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fhe_core.errors import Failure

Float = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Largest coefficient that is sure to fit the signed 64-bit words that enter the RNS.
MAX_COEFFICIENT = 2.0**62


class EncodingError(Failure, ValueError):
    """Values that cannot be encoded at the scale asked for."""

    code = "encoding"


@lru_cache(maxsize=4)  # of a plan: the ring's, and periods of its weights
def slot_places(ring_dimension: int) -> NDArray[np.int64]:
    """(5^j mod 4N - 1) / 4 for j in [0, N): which value, in the order of the FFT, is slot j."""
    modulus = 4 * ring_dimension
    powers = np.ones(1, dtype=np.int64)
    while powers.size < ring_dimension:  # 5^(j + size) = 5^j * 5^size
        powers = np.concatenate([powers, powers * pow(5, powers.size, modulus) % modulus])
    places = powers // 4
    places.flags.writeable = False
    return places


@lru_cache(maxsize=4)
def _twist(ring_dimension: int) -> Complex:
    """zeta^i for i in [0, N)."""
    angles = np.arange(ring_dimension) * (np.pi / (2 * ring_dimension))
    twist = np.asarray(np.exp(1j * angles))
    twist.flags.writeable = False
    return twist


def coefficients(slots: Float, ring_dimension: int) -> Float:
    """Unscaled coefficients [..., N] of slots [..., N]."""
    values = np.empty(slots.shape)
    values[..., slot_places(ring_dimension)] = slots
    transformed = np.fft.fft(values, axis=-1) * np.conj(_twist(ring_dimension))
    result: Float = np.real(transformed) / ring_dimension
    return result


def encode(slots: Float, ring_dimension: int, scale: float) -> NDArray[np.int64]:
    """Integer coefficients [..., N] of slots [..., N] at ``scale``, the nearest.

    Raises:
        EncodingError: a value is not finite, or a coefficient would not fit 62 bits.
    """
    scaled = _scaled(slots, ring_dimension, scale)
    if not np.max(np.abs(scaled), initial=0.0) < MAX_COEFFICIENT:  # also when it overflowed to NaN
        raise EncodingError("values are too large for the scale: a coefficient exceeds 62 bits")
    return np.rint(scaled).astype(np.int64)


def encode_wide(slots: Float, ring_dimension: int, scale: float) -> tuple[NDArray[np.int64], int]:
    """Integer coefficients and an exponent of two, for scales that are too large for words.

    Raises:
        EncodingError: a value is not finite, or too large for any word.
    """
    scaled = _scaled(slots, ring_dimension, scale)
    largest = float(np.max(np.abs(scaled), initial=0.0))
    if not largest < np.inf:
        raise EncodingError("values are too large for the scale")
    shift = max(0, math.ceil(math.log2(largest / MAX_COEFFICIENT) + 1)) if largest else 0
    return np.rint(scaled / 2.0**shift).astype(np.int64), shift


def _scaled(slots: Float, ring_dimension: int, scale: float) -> Float:
    """Coefficients times ``scale``; they may have overflowed."""
    if not np.all(np.isfinite(slots)):
        raise EncodingError("values to encode must be finite")
    with np.errstate(over="ignore", invalid="ignore"):
        return coefficients(slots, ring_dimension) * scale


def decode(coefficient_values: Float, scale: float) -> Float:
    """Slots [N] of real coefficients [N]."""
    n = coefficient_values.shape[-1]
    # X^-i = -X^2N X^-i, and zeta^N = i: i times the mirror image is the other half of every pair.
    mirrored = np.zeros(coefficient_values.shape)
    mirrored[..., 1:] = coefficient_values[..., :0:-1]
    values = np.fft.ifft((coefficient_values - 1j * mirrored) * _twist(n), axis=-1) * n
    result: Float = np.real(values)[..., slot_places(n)] / scale
    return result
