"""Which limbs and sprouts give moduli of the sizes that one wants, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

#: Of a sprout, in bits: there are primes = 1 mod 4N from here on for N = 2^16.
SMALLEST_SPROUT = 23


def levels_of(limb_bits: Sequence[int], sizes: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """For ``Specification.levels``: moduli of about those sizes in bits, bottom first.

    As many limbs as fit, and a sprout for the rest; where that is too small for a prime, a limb
    less and two sprouts, which are as many primes.

    Raises:
        ValueError: a size is too small for the first limb, or too large for all of them.
    """
    totals = list(accumulate(limb_bits, initial=0))
    return tuple(_level(totals, max(limb_bits), size) for size in sizes)


def _level(totals: Sequence[int], largest: int, size: float) -> tuple[int, ...]:
    limbs = max((k for k, total in enumerate(totals) if total <= size + 0.5), default=0)
    rest = round(size - totals[limbs])
    if rest <= 0 < limbs:
        return (limbs,)
    if SMALLEST_SPROUT <= rest <= largest and limbs:
        return limbs, rest
    rest += totals[limbs] - totals[limbs - 1]
    if limbs < 2 or not 2 * SMALLEST_SPROUT <= rest <= 2 * largest:
        raise ValueError(f"no limbs and sprouts give a modulus of {size} bits")
    return limbs - 1, rest // 2, rest - rest // 2
