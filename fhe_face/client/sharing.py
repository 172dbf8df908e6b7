"""What of a decrypted score may leave the key's owner: a decision, a rounded or a flooded cosine.

A CKKS decryption carries noise that depends on the secret key (Li-Micciancio, ia.cr/2020/1533), and
an exact score helps to rebuild a face. docs/security.md derives the numbers, and says why rounding
is a heuristic and why flooding destroys scores at any parameter that means something.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fhe_core.errors import Failure
from fhe_core.secret import sampling
from fhe_face.client.decryption import Score

#: Deviation of the error of a decrypted cosine, at most. Simulated with the precision model, preset
#: 'lean', official checkpoint, 28 pairs of real faces: 0.0015 for two faces together in the
#: standard ring, noisier than any way of today; measured errors are up to 1.5 times the predicted.
COSINE_DEVIATION = 2.0**-8
#: No error of a decrypted cosine is larger: twice the largest relative L2 error of an embedding in
#: that simulation (1.7 %), times 1.5, in the worst direction. Flooding needs a bound.
COSINE_BOUND = 2.0**-4
#: More digits would follow the error.
MAX_DIGITS = 2
#: A cosine lies in [-1, 1]: noise of a larger deviation leaves nothing of it.
MAX_FLOODING_DEVIATION = 1.0
#: Flooded values are rounded to this share of the deviation, so that no low bits of floats leave.
_FLOODING_GRID = 2.0**-6


class SharingError(Failure, ValueError):
    """A value cannot leave in the way that was asked for; the text says what would be right."""

    code = "sharing"


@dataclass(frozen=True)
class Decision:
    """Only whether the cosine reaches the threshold."""

    threshold: float

    def __post_init__(self) -> None:
        """Raise SharingError for a threshold that no cosine can be compared with."""
        if not -1 < self.threshold < 1:
            raise SharingError(f"the threshold is {self.threshold:g}; it must be between -1 and 1")

    def release(self, score: Score) -> dict[str, Any]:
        """JSON-ready, without any number that was decrypted."""
        return {"threshold": self.threshold, "same": self.decide(score)}

    def decide(self, score: Score) -> bool:
        return score.cosine >= self.threshold


@dataclass(frozen=True)
class Rounding:
    """The cosine, rounded to decimal digits that its error seldom moves. A heuristic."""

    digits: int = 1

    def __post_init__(self) -> None:
        """Raise SharingError for digits that are none, or follow the error."""
        if not 1 <= self.digits <= MAX_DIGITS:
            raise SharingError(f"{self.digits} digits; it must be 1 to {MAX_DIGITS}")

    @property
    def crossing_probability(self) -> float:
        """How often, at most, the error changes the rounded value: E|error| / step."""
        return COSINE_DEVIATION * math.sqrt(2 / math.pi) * 10.0**self.digits

    def release(self, score: Score) -> dict[str, Any]:
        """JSON-ready: the rounded cosine, and how often the error moves it."""
        cosine = round(score.cosine, self.digits) + 0.0  # no minus zero
        return {
            "cosine": cosine,
            "digits": self.digits,
            "crossing_probability": self.crossing_probability,
        }


def flooding_deviation(bound: float, queries: int, bits: float) -> float:
    """Deviation of Gaussian noise that hides errors up to ``bound``: sqrt(12 t) 2^(s/2) bound.

    queries: values t that will ever be shared; bits: the statistical parameter s, beside the
    computational one of the scheme (Li-Micciancio-Schultz-Sorrell, ia.cr/2022/816; in this form in
    OpenFHE's documentation).
    """
    return float(bound * math.sqrt(12 * queries) * 2.0 ** (bits / 2))


@dataclass(frozen=True)
class Flooding:
    """The cosine with fresh Gaussian noise, for a number of queries and a statistical parameter."""

    queries: int
    bits: float

    def __post_init__(self) -> None:
        """Raise SharingError where the noise would leave nothing of a cosine."""
        if not 1 <= self.queries <= 1 << 40 or not 1 <= self.bits <= 128:
            raise SharingError("flooding takes 1 to 2^40 queries and 1 to 128 bits")
        if self.deviation > MAX_FLOODING_DEVIATION:
            raise SharingError(
                f"flooding for {self.queries} queries and {self.bits:g} bits takes noise of "
                f"deviation {self.deviation:.3g}, which leaves nothing of a cosine; share a "
                "decision instead"
            )

    @property
    def deviation(self) -> float:
        return flooding_deviation(COSINE_BOUND, self.queries, self.bits)

    def release(self, score: Score) -> dict[str, Any]:
        """JSON-ready: the flooded cosine, which may lie beyond 1, and the noise's deviation."""
        step = 2.0 ** math.floor(math.log2(self.deviation * _FLOODING_GRID))
        noisy = score.cosine + self.deviation * float(sampling.gaussian(1)[0])
        return {
            "cosine": round(noisy / step) * step,
            "deviation": self.deviation,
            "queries": self.queries,
            "bits": self.bits,
        }


Release = Decision | Rounding | Flooding
