"""From a cosine to an answer: thresholds that were measured on named sets of faces.

Pure Python: a client that holds no network can read them and decide.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Final

from fhe_core.errors import Failure

_MAX_SETS: Final = 100
_MAX_NAME: Final = 100


class ThresholdsError(Failure, ValueError):
    """Thresholds that cannot be used; the text says what is wrong."""

    code = "thresholds"


class Verdict(str, Enum):
    """What is said about two faces."""

    SAME = "same"
    DIFFERENT = "different"
    NOT_SURE = "not sure"


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold and what it did on the set that it was measured on.

    cosine: from here on two faces pass as one person, -1..1; far: share of the pairs of different
    people that pass; tar: of the pairs of one person, both 0..1.
    """

    cosine: float
    far: float
    tar: float

    def __post_init__(self) -> None:
        """ThresholdsError: a number out of its range, or no number."""
        for name, low in (("cosine", -1.0), ("far", 0.0), ("tar", 0.0)):
            value = getattr(self, name)
            if type(value) is not float or not low <= value <= 1:
                raise ThresholdsError(f"{name} is {_cut(value)}; it must be in [{low:g}, 1]")


#: The points of a set, by their names in JSON, and what people are told.
POINTS: Final = {
    "eer": "equal error rate",
    "far_1pct": "FAR 1 %",
    "far_01pct": "FAR 0.1 %",
    "frr_1pct": "FRR 1 %",
}


@dataclass(frozen=True)
class MeasuredSet:
    """What was measured on one set of faces.

    name: of the set; same_pairs, different_pairs: how many were compared; date: ISO, such as
    2026-11-30; version: of the program that measured. far_1pct, far_01pct: at most so many
    strangers pass; frr_1pct: at most so many pairs of one person are refused; None where the set
    has too few pairs to state it (ten errors have to be possible).
    """

    name: str
    people: int
    same_pairs: int
    different_pairs: int
    date: str
    version: str
    eer: OperatingPoint
    far_1pct: OperatingPoint | None = None
    far_01pct: OperatingPoint | None = None
    frr_1pct: OperatingPoint | None = None

    def __post_init__(self) -> None:
        """ThresholdsError: a text that is empty or long, or a count below 1."""
        for name in ("name", "date", "version"):
            text = getattr(self, name)
            if not isinstance(text, str) or not 0 < len(text) <= _MAX_NAME:
                raise ThresholdsError(f"{name} must be a text of 1 to {_MAX_NAME} characters")
            if not text.isprintable():
                raise ThresholdsError(f"{name} must be printable")
        for name in ("people", "same_pairs", "different_pairs"):
            count = getattr(self, name)
            if type(count) is not int or count < 1:
                raise ThresholdsError(f"{name} is {_cut(count)}; it must be a count of at least 1")

    @property
    def points(self) -> dict[str, OperatingPoint]:
        """Those that could be stated, by name."""
        found = {name: getattr(self, name) for name in POINTS}
        return {name: point for name, point in found.items() if point is not None}

    def to_json(self) -> dict[str, Any]:
        """Plain values by name; null for what could not be stated."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: object) -> "MeasuredSet":
        """Inverse of `to_json`; ThresholdsError for anything else."""
        if not isinstance(content, Mapping):
            raise ThresholdsError("a set must be an object")
        known = set(cls.__dataclass_fields__)
        if set(content) != known:
            wrong = sorted(known ^ set(map(str, content)))
            raise ThresholdsError(f"a set with or without {', '.join(map(_cut, wrong[:3]))}")
        values: dict[str, Any] = dict(content)
        values.update((name, _point(content[name])) for name in POINTS)
        if values["eer"] is None:
            raise ThresholdsError("a set without eer")
        return cls(**values)


@dataclass(frozen=True)
class Thresholds:
    """Of one network, from one or more sets; the strictest and the most lenient decide.

    ThresholdsError: no set, too many, or one name twice.
    """

    sets: tuple[MeasuredSet, ...]

    def __post_init__(self) -> None:
        """See the class."""
        names = [measured.name for measured in self.sets]
        if not 0 < len(names) <= _MAX_SETS:
            raise ThresholdsError(f"{len(names)} sets; it must be 1 to {_MAX_SETS}")
        if len(set(names)) < len(names):
            raise ThresholdsError("two sets have one name")

    @property
    def same_from(self) -> float:
        """The strict threshold: highest cosine of the sets' points EER, FAR 1 % and FAR 0.1 %."""
        return max(p.cosine for p in self._points("eer", "far_1pct", "far_01pct"))

    @property
    def different_below(self) -> float:
        """The lenient threshold: lowest cosine of the sets' points EER and FRR 1 %.

        Never above `same_from`, which is at least every EER.
        """
        return min(p.cosine for p in self._points("eer", "frr_1pct"))

    def verdict(self, cosine: float) -> Verdict:
        """same from the strict threshold on, different below the lenient one, else not sure.

        Raises:
            ValueError: NaN or infinite; such a result has no meaning.
        """
        if not math.isfinite(cosine):
            raise ValueError(f"the cosine is {cosine}; nothing can be said about it")
        if cosine >= self.same_from:
            return Verdict.SAME
        return Verdict.DIFFERENT if cosine < self.different_below else Verdict.NOT_SURE

    def with_set(self, measured: MeasuredSet) -> "Thresholds":
        """One more set; it takes the place of one that has its name."""
        kept = [one for one in self.sets if one.name != measured.name]
        return Thresholds((*kept, measured))

    def to_json(self) -> dict[str, Any]:
        """The sets and, for whoever reads it, the two thresholds that follow from them."""
        return {
            "same_from": self.same_from,
            "different_below": self.different_below,
            "sets": [measured.to_json() for measured in self.sets],
        }

    @classmethod
    def from_json(cls, content: object) -> "Thresholds":
        """Inverse of `to_json`; ThresholdsError for anything else, and for other conclusions."""
        if not isinstance(content, Mapping) or not isinstance(content.get("sets"), list):
            raise ThresholdsError("thresholds must be an object with a list of sets")
        if len(content["sets"]) > _MAX_SETS:
            raise ThresholdsError(f"more than {_MAX_SETS} sets")
        found = cls(tuple(MeasuredSet.from_json(one) for one in content["sets"]))
        if dict(content) != found.to_json():
            raise ThresholdsError("same_from and different_below must be those of the sets")
        return found

    def _points(self, *names: str) -> Iterable[OperatingPoint]:
        for measured in self.sets:
            points = measured.points
            yield from (points[name] for name in names if name in points)


def _point(content: object) -> OperatingPoint | None:
    if content is None:
        return None
    if not isinstance(content, Mapping) or set(content) != {"cosine", "far", "tar"}:
        raise ThresholdsError("a point must have cosine, far and tar")
    numbers = {n: float(v) if type(v) is int and abs(v) < 2 else v for n, v in content.items()}
    return OperatingPoint(**numbers)


def _cut(value: object) -> str:
    """A value of unknown size, for a message."""
    text = ascii(value) if isinstance(value, str | int | float) else type(value).__name__
    return text if len(text) <= 40 else text[:37] + "..."
