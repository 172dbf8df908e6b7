"""From scores to answers: match, uncertain or unknown, and how sure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.gallery.errors import GalleryError
from fhe_face.models.thresholds import Thresholds

Array = NDArray[np.float64]
#: Of scores between people who are strangers, a typical spread; calibration sets a better one.
TEMPERATURE: Final = 0.05


class Answer(str, Enum):
    """What is said about a face."""

    MATCH = "match"
    UNCERTAIN = "uncertain"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Decision:
    """How a gallery decides.

    same_from: scores from here on are a match; different_below: lower ones are unknown, both in
    [-1, 1]; temperature: of confidences, above 0; origin: who set the thresholds ("weights",
    "calibration" or "caller").
    """

    same_from: float
    different_below: float
    temperature: float = TEMPERATURE
    origin: str = "caller"

    def __post_init__(self) -> None:
        """GalleryError: numbers out of order or range."""
        numbers = (self.same_from, self.different_below, self.temperature)
        finite = all(isinstance(n, float | int) and math.isfinite(n) for n in numbers)
        if not finite or not -1 <= self.different_below <= self.same_from <= 1:
            raise GalleryError(
                f"thresholds {self.different_below!r} and {self.same_from!r}: they must lie in "
                "[-1, 1], the one for a match not below the other"
            )
        if self.temperature <= 0:
            raise GalleryError(f"a temperature of {self.temperature}; it must be above 0")

    @classmethod
    def of(cls, thresholds: Thresholds) -> Decision:
        """Those of weights, which were measured on raw cosines of single photos."""
        return cls(thresholds.same_from, thresholds.different_below, origin="weights")

    @property
    def middle(self) -> float:
        """Between the two thresholds: what a stranger's best score is held against."""
        return (self.same_from + self.different_below) / 2

    def answer(self, score: float) -> Answer:
        """GalleryError: the score is not finite."""
        if not math.isfinite(score):
            raise GalleryError(f"the score is {score}; nothing can be said about it")
        if score >= self.same_from:
            return Answer.MATCH
        return Answer.UNKNOWN if score < self.different_below else Answer.UNCERTAIN

    def confidences(self, scores: Array) -> Array:
        """Softmax of the subjects' scores (n,) with the temperature, nobody being one more.

        Nobody has the score in the middle of the thresholds. Without it, the only subject of a
        gallery would have confidence 1 in every stranger. The sum over subjects is below 1.
        """
        if not scores.size:
            return np.zeros(0)
        top = max(float(scores.max()), self.middle)
        shares = np.exp((scores - top) / self.temperature)
        nobody = math.exp((self.middle - top) / self.temperature)
        return np.asarray(shares / (shares.sum() + nobody))

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Decision:
        """Inverse of `to_json`; GalleryError for anything else."""
        try:
            return cls(**content)
        except TypeError:
            raise GalleryError("the gallery's thresholds are damaged") from None


def fitted_temperature(scores: Array, own: NDArray[np.intp], decision: Decision) -> float:
    """The temperature whose confidences explain labelled probes best.

    scores: (probes, subjects), NaN where a subject must not count; own: (probes,) the right one.
    The likelihood is looked at on a grid from 0.02 to 0.5: lower ones would be sure of anything
    where nothing overlaps.
    """
    usable = np.nan_to_num(scores, nan=-np.inf)
    best, least = decision.temperature, math.inf
    for temperature in np.geomspace(0.02, 0.5, 41):
        top = np.maximum(usable.max(axis=1), decision.middle)
        shares = np.exp((usable - top[:, None]) / temperature)
        total = shares.sum(axis=1) + np.exp((decision.middle - top) / temperature)
        right = usable[np.arange(len(own)), own]
        loss = float(np.mean(np.log(total) - (right - top) / temperature))
        if loss < least:
            best, least = float(temperature), loss
    return best
