"""A score between two thresholds, as a drawing: numbers for an SVG of 1000 units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WIDTH: Final = 1000.0
#: Cosines of faces lie here; a score beyond is drawn at the end.
_LOW: Final = -0.4
_HIGH: Final = 1.0
_TICKS: Final = (-0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Tick:
    """x: on the scale; text: of the cosine there."""

    x: float
    text: str


@dataclass(frozen=True)
class Scale:
    """score, low, high: cosines; x, low_x, high_x: where they are drawn. No score yet: None."""

    score: float | None
    low: float
    high: float
    x: float
    low_x: float
    high_x: float

    @classmethod
    def of(cls, score: float | None, low: float, high: float) -> Scale:
        """A score, with the thresholds below which and from which an answer is sure."""
        return cls(score, low, high, place(score or 0.0), place(low), place(high))

    @property
    def ticks(self) -> list[Tick]:
        """Of the axis."""
        return [
            Tick(place(value), f"{value:.1f}".replace("-", "\N{MINUS SIGN}")) for value in _TICKS
        ]


def place(cosine: float) -> float:
    """Where a cosine lies on the scale, 0..1000."""
    share = (cosine - _LOW) / (_HIGH - _LOW)
    return round(WIDTH * min(max(share, 0.0), 1.0), 1)
