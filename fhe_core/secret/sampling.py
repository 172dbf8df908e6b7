"""Secret and error sampling from the operating system, without branches or indices on secrets."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from fhe_core.parameters import ERROR_ETA


def ternary(count: int) -> NDArray[np.int64]:
    """Uniform values in {-1, 0, 1}; bias below 2^-60."""
    words = _random_words(count) >> np.uint64(2)
    return ((words * np.uint64(3)) >> np.uint64(62)).astype(np.int64) - 1


def error(count: int) -> NDArray[np.int64]:
    """Centred binomial values with eta = 21: variance 10.5, |value| <= 21."""
    words = _random_words(count)
    mask = np.uint64((1 << ERROR_ETA) - 1)
    ones = _popcount(words & mask)
    zeros = _popcount((words >> np.uint64(ERROR_ETA)) & mask)
    return ones.astype(np.int64) - zeros.astype(np.int64)


def _random_words(count: int) -> NDArray[np.uint64]:
    return np.frombuffer(os.urandom(8 * count), dtype=np.uint64)


def _popcount(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Bits set in each word below 2^32, by the usual tree of masked additions."""
    for shift, mask in ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F)):
        m = np.uint64(mask)
        words = (words & m) + ((words >> np.uint64(shift)) & m)
    return ((words * np.uint64(0x01010101)) >> np.uint64(24)) & np.uint64(0xFF)


def gaussian(count: int) -> NDArray[np.float64]:
    """Standard normal values (Box-Muller); those beyond 9.4 deviations, 2^-65 of all, are missing.

    They are floats, whose lowest bits are not those of a real Gaussian (Mironov 2012): round sums
    with them to a grid before they leave.
    """
    uniform = (_random_words(2 * count).astype(np.float64) + 0.5) * 2.0**-64
    radius = np.sqrt(-2 * np.log(uniform[:count]))
    result: NDArray[np.float64] = radius * np.cos(2 * np.pi * uniform[count:])
    return result
