"""Operating points of a network: the cosines at which a set's error rates have chosen values."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fhe_face.models.evaluation.scores import MIN_FALSE_ACCEPTS, Array, Roc, roc
from fhe_face.models.thresholds import POINTS, MeasuredSet, OperatingPoint


@dataclass(frozen=True)
class CosineThresholds:
    """The points of one set of pairs, by cosine; None where there are too few pairs."""

    eer: OperatingPoint
    far_1pct: OperatingPoint | None
    far_01pct: OperatingPoint | None
    frr_1pct: OperatingPoint | None

    @classmethod
    def of(cls, same: Array, different: Array) -> "CosineThresholds":
        """Of the cosines of one person's pairs (S,) and of different people's (D,).

        ValueError where one of them is empty or not finite.
        """
        curve = roc(same, different)
        return cls(
            eer=_point(curve, _equal_errors(curve)),
            far_1pct=_at_far(curve, 0.01),
            far_01pct=_at_far(curve, 0.001),
            frr_1pct=_at_frr(curve, 0.01, len(same)),
        )

    def to_json(self) -> dict[str, Any]:
        """Numbers by name; None where a point could not be stated."""
        points = {name: getattr(self, name) for name in POINTS}
        return {name: None if p is None else vars(p).copy() for name, p in points.items()}

    def named(
        self, name: str, people: int, same: int, different: int, date: str, version: str
    ) -> MeasuredSet:
        """As a weights file keeps them; same, different: numbers of pairs.

        ThresholdsError: a name, date or version that is no short printable text.
        """
        return MeasuredSet(
            *(name, people, same, different, date, version),
            *(self.eer, self.far_1pct, self.far_01pct, self.frr_1pct),
        )


def enough(pairs: int, rate: float) -> bool:
    """Whether so many pairs can state a rate: ten errors have to be possible."""
    return pairs * rate >= MIN_FALSE_ACCEPTS * (1 - 1e-12)


def _at_far(curve: Roc, far: float) -> OperatingPoint | None:
    """The lowest threshold with at most so many false accepts."""
    if not enough(curve.different, far):
        return None
    return _point(curve, int(np.flatnonzero(curve.far <= far * (1 + 1e-12))[-1]))


def _at_frr(curve: Roc, frr: float, same: int) -> OperatingPoint | None:
    """The highest threshold with at most so many false refusals."""
    if not enough(same, frr):
        return None
    return _point(curve, int(np.flatnonzero(1 - curve.tar <= frr * (1 + 1e-12))[0]))


def _equal_errors(curve: Roc) -> int:
    """Where false accepts and false refusals are closest; of equally close places the highest."""
    return int(np.argmin(np.abs(curve.far - (1 - curve.tar))))


def _point(curve: Roc, place: int) -> OperatingPoint:
    """Between the score that is just accepted and the next lower one, as far from both.

    Cosines of rounded numbers may leave [-1, 1] by a little.
    """
    thresholds = curve.thresholds
    above = float(thresholds[place])
    below = float(thresholds[place + 1]) if place + 1 < len(thresholds) else above
    if place == 0:  # nothing is accepted
        middle = float(np.nextafter(below, np.inf))
    else:
        middle = (above + below) / 2
        # Rounding may put the middle on the lower score, which must not pass.
        middle = middle if middle > below else above
    cosine = min(1.0, max(-1.0, middle))
    return OperatingPoint(cosine, float(curve.far[place]), float(curve.tar[place]))
