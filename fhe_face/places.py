"""Where the faces of a bundle lie: in which runs of which plan, and under which names.

A bundle holds 1 to n faces. A *run* is what one plan computes at once: one face, or a batch.
Items are found by name, never by position: ``face 3 input.0`` or ``faces 1-64 input.0``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from fhe_core.container import Corrupt

#: In the facts of a bundle.
ENTRY = "runs"
#: What bundles hold.
IMAGE, EMBEDDING, SCORE = "image", "embedding", "score"
#: The ciphertexts of a score.
SCORE_NAMES = ("score", "left squared norm", "right squared norm")
#: More faces than anyone puts into one file, and few enough that facts stay small.
MAX_FACES = 256


class Packing(str, Enum):
    """How the faces of a run share ciphertexts.

    ALONE: a face, with its mirror image where the circuit has two views. BATCH: many.
    """

    ALONE = "alone"
    BATCH = "batch"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Run:
    """Faces that are computed at once: ``faces`` of them, the bundle's ``first`` (from 0) on."""

    packing: Packing
    first: int
    faces: int

    @property
    def numbers(self) -> range:
        """Which faces of the bundle, from 0."""
        return range(self.first, self.first + self.faces)

    @property
    def label(self) -> str:
        """What the names of its ciphertexts begin with."""
        first, last = self.first + 1, self.first + self.faces
        return f"faces {first}-{last}" if self.packing is Packing.BATCH else f"face {first}"


def numbered(groups: Iterable[tuple[Packing, int]]) -> tuple[Run, ...]:
    """Runs of so many faces each, one after the other."""
    runs: list[Run] = []
    for packing, faces in groups:
        runs.append(Run(packing, runs[-1].first + runs[-1].faces if runs else 0, faces))
    return tuple(runs)


def describe(runs: Sequence[Run]) -> list[list[Any]]:
    """JSON-ready: [packing, faces] of every run."""
    return [[run.packing.value, run.faces] for run in runs]


def runs_of(facts: Mapping[str, Any], capacity: int) -> tuple[Run, ...]:
    """The runs that a bundle's facts list; capacity: of a batch, which only this side decides.

    Raises:
        Corrupt: they list none, or one that cannot be.
    """
    found = facts.get(ENTRY)
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_FACES:
        raise Corrupt("a bundle does not say how its faces are packed")
    groups = [_group(entry, capacity) for entry in found]
    if sum(faces for _, faces in groups) > MAX_FACES:
        raise Corrupt(f"a bundle of more than {MAX_FACES} faces")
    return numbered(groups)


def _group(entry: Any, capacity: int) -> tuple[Packing, int]:
    if not isinstance(entry, list) or len(entry) != 2 or type(entry[1]) is not int:
        raise Corrupt("a bundle does not say how its faces are packed")
    room = {Packing.ALONE: (1, 1), Packing.BATCH: (1, capacity)}
    for packing, (least, most) in room.items():
        if entry[0] == packing.value and least <= entry[1] <= most:
            return packing, entry[1]
    raise Corrupt("a bundle says that it holds faces where there is no room for them")


def packings_of(facts: Mapping[str, Any]) -> list[Packing]:
    """The packings that a bundle needs, each once; nothing of what its facts say otherwise."""
    found = facts.get(ENTRY)
    entries = found if isinstance(found, list) else []
    named = [entry[0] for entry in entries if isinstance(entry, list) and entry]
    return [packing for packing in Packing if packing.value in named]


@dataclass(frozen=True)
class Places:
    """Places of the faces of a batch: face i from slot i * block on."""

    capacity: int
    block: int

    def slots(self, number: int, length: int) -> slice:
        """The first ``length`` slots of a face."""
        start = number * self.block
        return slice(start, start + length)

    def beside(self, number: int) -> list[int]:
        """The places before and after a face, in the circle of all slots."""
        around = {(number + step) % self.capacity for step in (-1, 1)}
        return sorted(around - {number})
