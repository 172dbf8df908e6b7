"""The precision model for a foreign library: what its own arithmetic adds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fhe_core.analysis.precision import SECRET_VARIANCE, ErrorModel
from fhe_core.oracles.chain import Chain
from fhe_core.parameters import Parameters

#: OpenFHE's special primes, in bits.
OPENFHE_SPECIAL_BITS = 60

#: OpenFHE's bias is nearly all in the few slots next to slot 0, times the secret's value there: one
#: Gaussian, the same for all rotations under one key, decides the root mean square over all slots.
#: Its standard deviation therefore counts twice (1 run in 300 exceeded four of them, else).
_BIAS_SPREAD = 2.0


def openfhe_specials(chain: Chain) -> int:
    """As many special primes as OpenFHE takes: they cover the largest digit."""
    first = chain.base_bits + (chain.digit_limbs - 1) * chain.limb_bits
    return math.ceil(max(first, chain.digit_limbs * chain.limb_bits) / OPENFHE_SPECIAL_BITS)


@dataclass(frozen=True)
class StandardErrors(ErrorModel):
    """In the standard ring of degree 2N, whose N slots are complex: of errors with coefficients of
    the same size only half of the variance is real. Encodings round to the same numbers. What we
    compute in the ring of half the degree, others compute in this one as well.
    """

    def dimension(self, level: int) -> int:
        return self.parameters.ring_dimension

    def slot(self, coefficient_variance: float, level: int, scale: float) -> float:
        return super().slot(coefficient_variance, level, scale) / 2


@dataclass(frozen=True)
class OpenFheErrors(StandardErrors):
    """OpenFHE divides by P after every single rotation, and without rounding.

    Its division of x by P takes a sum of k remainders in [0, 1), one per special prime, for x / P's
    fraction (the fast basis conversion neither centres nor corrects), so that both halves are off
    by numbers with mean k/2 and variance k/12, where ours are off by at most one half.  The mean
    counts ``_BIAS_SPREAD`` times.
    """

    specials: int = 1

    def switching(self, level: int, scale: float) -> float:
        square = (_BIAS_SPREAD * self.specials / 2) ** 2 + self.specials / 12
        secret = 2 * self.parameters.ring_dimension * SECRET_VARIANCE
        down = self.slot(square * (1 + secret), level, scale)
        return super().switching(level, scale) + down


def openfhe_errors(parameters: Parameters, chain: Chain) -> OpenFheErrors:
    return OpenFheErrors(parameters, openfhe_specials(chain))


@dataclass(frozen=True)
class SameEncodings(ErrorModel):
    """For the difference of two backends that encode to the same integers, as ours and SEAL do:
    the rounding of plaintexts is common to both.
    """

    @staticmethod
    def encoding(period: int, scale: float) -> float:
        return 0.0


@dataclass(frozen=True)
class SealErrors(StandardErrors):
    """As `SameEncodings`, of SEAL."""

    @staticmethod
    def encoding(period: int, scale: float) -> float:
        return 0.0
