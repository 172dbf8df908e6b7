"""Counts and what they allow to say."""

from __future__ import annotations

import math

#: Two-sided 95 %.
_Z = 1.959964


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a probability (Wilson 1927), for ``hits`` in ``trials`` > 0."""
    share, square = hits / trials, _Z**2 / trials
    middle = (share + square / 2) / (1 + square)
    width = _Z / (1 + square) * math.sqrt(share * (1 - share) / trials + square / 4 / trials)
    return max(0.0, middle - width), min(1.0, middle + width)


def log2_within(limit: float, deviation: float) -> float:
    """log2 of the probability that a Gaussian of that deviation stays within +-limit."""
    return math.log2(math.erf(limit / deviation / math.sqrt(2)))
