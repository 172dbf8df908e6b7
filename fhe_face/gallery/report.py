"""What an enrolment says: on its way, and at its end."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from fhe_face.gallery.words import counted
from fhe_face.models.faces.face import Box


class Why(str, Enum):
    """Why a photo, or a face of it, was not enrolled; the value is for machines."""

    UNREADABLE = "unreadable"
    NO_FACE = "no-face"
    DIVERGED = "diverged"
    OTHER_PREPARATION = "other-preparation"
    DELETED = "deleted"
    EARLIER = "refused-before"
    TAKEN = "id-taken"

    @property
    def text(self) -> str:
        """For people."""
        return _TEXTS[self]


_TEXTS = {
    Why.UNREADABLE: "unreadable",
    Why.NO_FACE: "without a face",
    Why.DIVERGED: "refused by the health check",
    Why.OTHER_PREPARATION: "prepared in another way",
    Why.DELETED: "deleted before",
    Why.EARLIER: "refused in an earlier run",
    Why.TAKEN: "whose id belongs to another face",
}


@dataclass(frozen=True)
class Progress:
    """On the way. done, total: photos; seconds: so far; left: seconds to go, estimated."""

    done: int
    total: int
    enrolled: int
    refused: int
    seconds: float
    left: float


@dataclass(frozen=True)
class EnrolledFace:
    """A face that is in the gallery now; name: where the gallery keeps names."""

    photo: str
    face: int
    template: str
    subject: str
    name: str | None = None
    box: Box | None = None


@dataclass(frozen=True)
class Refused:
    """A photo, or one face of it, that was not enrolled."""

    photo: str
    why: Why
    reason: str
    face: int | None = None

    def __str__(self) -> str:
        return f"{self.photo}: {self.reason}"


@dataclass(frozen=True)
class Repeated:
    """A photo that is another one of the same person once more."""

    photo: str
    other: str


@dataclass(frozen=True)
class Conflicting:
    """A photo that belongs to somebody else already: one of the two labels is wrong.

    other: the person that it is enrolled for, or, where `enrolled` is false, the photo of another
    person among those given that is the same.
    """

    photo: str
    other: str
    enrolled: bool

    def __str__(self) -> str:
        if self.enrolled:
            return f"{self.photo}: is enrolled for another person ({self.other})"
        return f"{self.photo}: is the same photo as {self.other}, of another person"


@dataclass(eq=False)
class Enrolment:
    """What became of all photos. known: enrolled before; remarks: one line each.

    sealed: subjects or templates that got a place in a block; seconds: without sealing.
    """

    enrolled: list[EnrolledFace] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    repeated: list[Repeated] = field(default_factory=list)
    conflicting: list[Conflicting] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    sealed: int = 0
    seconds: float = 0.0

    @property
    def per_hour(self) -> float:
        """Healthy templates per hour, retries included."""
        return 3600 * len(self.enrolled) / self.seconds if self.seconds else math.inf

    def summary(self) -> str:
        """One line for people."""
        counts = Counter(one.why for one in self.refused)
        parts = [f"{counted(len(self.enrolled), 'face')} enrolled"]
        parts += [f"{count} {why.text}" for why, count in counts.items()]
        named: dict[str, list[Any]] = {
            "known before": self.known,
            "double": self.repeated,
            "of two people": self.conflicting,
        }
        parts += [f"{len(some)} {what}" for what, some in named.items() if some]
        return f"{', '.join(parts)}; {self.seconds:.1f} s"

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return {
            "enrolled": [asdict(one) for one in self.enrolled],
            "refused": [{**asdict(one), "why": one.why.value} for one in self.refused],
            "known": list(self.known),
            "repeated": [asdict(one) for one in self.repeated],
            "conflicting": [asdict(one) for one in self.conflicting],
            "remarks": list(self.remarks),
            "sealed": self.sealed,
            "seconds": self.seconds,
        }
