"""Choices of the compiler: scales, where to rescale, how many pre-rotations per step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """Scales are log2 of the exact scale wanted; limbs are counts of primes.

    Attributes:
        log_scale: of activations after every rescale, and of the input.
        log_mask_scale: of 0/1 masks; their rounding error is about sqrt(N/12) / scale.
        square_rescale, linear_rescale: limbs dropped after a square and after a linear step.
        pre_rotations: channel distances that are covered by rotating inputs instead of sums
            (baby steps of the channel dimension), at most; a power of two.
        health_limbs: limbs of the squared norm that travels with a result.
    """

    log_scale: float
    log_mask_scale: float
    square_rescale: int = 1
    linear_rescale: int = 1
    pre_rotations: int = 4
    health_limbs: int = 2


#: 43 bits per level, one rescale per multiplication. Masks and weights share one rescale; 19 bits
#: for the masks give the smallest error (docs/precision.md).
SAFE = Policy(log_scale=43.0, log_mask_scale=19.0)

#: As SAFE, for batches: masks repeat from image to image and weights after a few slots, so that
#: masks have smaller errors by 2.5 bits and weights almost none. 20.5 bits balance them.
BATCH = Policy(log_scale=43.0, log_mask_scale=20.5)
