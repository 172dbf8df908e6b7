"""What a decryption gives for values that exceed the modulus, without encrypting them.

Ciphertexts compute in the integers: a value that wraps around on the way is still congruent to the
true one modulo what is left of Q, and rescaling keeps that (docs/health.md). So only results can
wrap around, coefficient by coefficient, when they are decrypted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core import encoding


def wrapped(slots: NDArray[Any], room: float) -> NDArray[np.float64]:
    """Slots [..., N] as they decrypt where coefficients over the scale must lie in +-``room``.

    Values may be so large that a double holds nothing of their remainder: it is then that of the
    nearest double, which stands for the noise that such values carry.

    Raises:
        ValueError: a value is not finite.
    """
    if not np.all(np.isfinite(slots)):
        raise ValueError("values that wrap around must be finite")
    ring_dimension = slots.shape[-1]
    true = encoding.coefficients(slots, ring_dimension)
    return encoding.decode(remainder(true, room), 1.0)


def remainder(coefficients: NDArray[np.float64], room: float) -> NDArray[np.float64]:
    """Coefficients minus the multiple of 2 room that leaves them in +-room; exact for doubles."""
    modulus = 2 * room
    rest = np.fmod(coefficients, modulus)
    rest = np.where(rest > room, rest - modulus, rest)
    return np.asarray(np.where(rest < -room, rest + modulus, rest), dtype=np.float64)
