"""CKKS encoding: real or complex slots <-> integer polynomial coefficients, by numpy's FFT.

Slot j is the value at zeta^(5^j), zeta = exp(i pi / N) (Cheon-Kim-Kim-Song 2017, section 3.2).
A vector that repeats with period G encodes to a polynomial in Y = X^(N/2G): encoding its first G
values with ring dimension 2G gives those 2G coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fhe_core.errors import Failure

Float = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Largest coefficient that is sure to fit the signed 64-bit words that enter the RNS.
MAX_COEFFICIENT = 2.0**62
_ROUNDING_SEED = 0


class EncodingError(Failure, ValueError):
    """Values that cannot be encoded at the scale asked for."""

    code = "encoding"


def slot_exponents(ring_dimension: int) -> NDArray[np.int64]:
    """(5^j mod 2N - 1) / 2 for j in [0, N/2): where slot j lies among the odd powers of zeta."""
    modulus = 2 * ring_dimension
    powers = np.ones(1, dtype=np.int64)
    while powers.size < ring_dimension // 2:  # 5^(j + size) = 5^j * 5^size
        powers = np.concatenate([powers, powers * pow(5, powers.size, modulus) % modulus])
    return (powers - 1) // 2


def coefficients(slots: NDArray[np.generic], ring_dimension: int) -> Float:
    """Unscaled real coefficients [..., N] of slots [..., N/2]."""
    exponents = slot_exponents(ring_dimension)
    values = np.zeros((*slots.shape[:-1], ring_dimension), dtype=np.complex128)
    values[..., exponents] = slots
    values[..., ring_dimension - 1 - exponents] = np.conj(slots)
    twist = np.exp(-1j * np.pi * np.arange(ring_dimension) / ring_dimension)
    result: Float = np.real(np.fft.fft(values, axis=-1) * twist) / ring_dimension
    return result


def round_real(scaled: Float) -> Float:
    """Integers [..., N] near coefficients [..., N] whose slots have the nearest real parts.

    The real part of a slot depends on the differences d_k = c_k - c_(N-k) only (X^(N-k) is the
    conjugate of -X^k at every slot), which plain rounding of both moves twice as far. Here the
    differences are rounded; the coefficients of an odd one move by a half in opposite directions,
    which shows in the imaginary parts alone. These must not matter: they only do so, as squares,
    where messages are real.
    """
    n = scaled.shape[-1]
    result = np.rint(scaled)
    low, high = slice(1, n // 2), slice(n - 1, n // 2, -1)
    differences = np.rint(scaled[..., low] - scaled[..., high])
    # Which of the two takes the larger part must not depend on the message: fixed random bits.
    up = np.random.default_rng(_ROUNDING_SEED).integers(0, 2, n // 2 - 1)
    result[..., low] = np.floor((differences + up) / 2)
    result[..., high] = result[..., low] - differences
    return result


def encode(
    slots: NDArray[np.generic],
    ring_dimension: int,
    scale: float,
    rounding: Callable[[Float], Float] = np.rint,
) -> NDArray[np.int64]:
    """Integer coefficients [..., N] of slots [..., N/2] at ``scale``, rounded by ``rounding``.

    Raises:
        EncodingError: a value is not finite, or a coefficient would not fit 62 bits.
    """
    scaled = _scaled(slots, ring_dimension, scale)
    if not np.max(np.abs(scaled), initial=0.0) < MAX_COEFFICIENT:  # also when it overflowed to NaN
        raise EncodingError("values are too large for the scale: a coefficient exceeds 62 bits")
    return rounding(scaled).astype(np.int64)


def encode_wide(
    slots: NDArray[np.generic], ring_dimension: int, scale: float
) -> tuple[NDArray[np.int64], int]:
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


def _scaled(slots: NDArray[np.generic], ring_dimension: int, scale: float) -> Float:
    """Coefficients times ``scale``; they may have overflowed."""
    if not np.all(np.isfinite(slots)):
        raise EncodingError("values to encode must be finite")
    with np.errstate(over="ignore", invalid="ignore"):
        return coefficients(slots, ring_dimension) * scale


def decode(coefficient_values: Float, scale: float) -> Complex:
    """Slots [N/2] of real coefficients [N]."""
    ring_dimension = coefficient_values.shape[-1]
    twist = np.exp(1j * np.pi * np.arange(ring_dimension) / ring_dimension)
    values = np.fft.ifft(coefficient_values * twist, axis=-1) * ring_dimension
    result: Complex = values[..., slot_exponents(ring_dimension)] / scale
    return result
