"""Which masks the products of a convolution take.

Products that share a rotated input share a mask as well where none of them minds: a mask may do
anything where an output is free, or, if weights change along a row, where a weight can be zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Bool = NDArray[np.bool_]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Pattern:
    """Pixels where a product is wanted, and those where it matters that it is not; boolean, of
    equal parts of all slots."""

    on: Bool
    off: Bool


@dataclass(frozen=True)
class Use:
    """How the products of a baby step that want one pattern are masked.

    Attributes:
        baby, pattern: their numbers.
        mask: its number, or -1: none.
        columns: pixels of a row where this mask is theirs.
    """

    baby: int
    pattern: int
    mask: int
    columns: Int


@dataclass
class _Draft:
    """A mask that is being decided, [rows, columns]."""

    on: Bool
    off: Bool

    def takes(self, column: int, on: Bool, off: Bool) -> bool:
        return not ((self.on[:, column] & off) | (self.off[:, column] & on)).any()

    def add(self, column: int, on: Bool, off: Bool) -> None:
        self.on[:, column] |= on
        self.off[:, column] |= off

    def agrees(self, mask: Bool) -> bool:
        return not ((self.on & ~mask) | (self.off & mask)).any()

    def decided(self) -> Bool:
        """Nowhere more than wanted, but columns that may be anything are as most others are."""
        asked = (self.on | self.off).any(axis=0)
        if asked.all() or not asked.any():
            return self.on
        found, counts = np.unique(self.on[:, asked], axis=1, return_counts=True)
        mask = self.on.copy()
        mask[:, ~asked] = found[:, [int(counts.argmax())]]
        return mask


@dataclass
class Masks:
    """Distinct masks, as they are asked for; columns: pixels of a row, of which each may have a
    weight of its own."""

    columns: int
    patterns: list[Bool] = field(default_factory=list)

    def assign(
        self, pairs: Sequence[tuple[int, int, int]], patterns: Sequence[Pattern]
    ) -> list[Use]:
        """A mask for all products of a baby step, or several where they cannot share one.

        pairs: baby step, pattern, and how many products want it; each pair once.
        """
        drafts: dict[int, list[_Draft]] = {}
        places: list[tuple[int, int, int, list[int]]] = []
        for baby, number, _ in sorted(pairs, key=lambda pair: (pair[0], -pair[2], pair[1])):
            own = drafts.setdefault(baby, [])
            chosen = self._place(own, patterns[number])
            places += [(baby, number, draft, columns) for draft, columns in chosen.items()]
        wanted = [draft for own in drafts.values() for draft in own]
        order = sorted(range(len(wanted)), key=lambda i: -int((wanted[i].on | wanted[i].off).sum()))
        numbers = {id(wanted[i]): self._number(wanted[i]) for i in order}
        return [
            Use(baby, number, numbers[id(drafts[baby][draft])], np.array(columns))
            for baby, number, draft, columns in places
        ]

    def _place(self, drafts: list[_Draft], pattern: Pattern) -> dict[int, list[int]]:
        """Columns of a pattern by the draft that takes them; new drafts where none does."""
        on, off = (part.reshape(-1, self.columns) for part in (pattern.on, pattern.off))
        chosen: dict[int, list[int]] = {}
        for column in range(self.columns):
            if not on[:, column].any():  # its weights are zero there
                continue
            for number in range(len(drafts) + 1):
                if number == len(drafts):
                    drafts.append(_Draft(np.zeros_like(on), np.zeros_like(on)))
                if drafts[number].takes(column, on[:, column], off[:, column]):
                    drafts[number].add(column, on[:, column], off[:, column])
                    chosen.setdefault(number, []).append(column)
                    break
        return chosen

    def _number(self, draft: _Draft) -> int:
        if not draft.off.any():
            return -1
        for number, mask in enumerate(self.patterns):
            if draft.agrees(mask.reshape(draft.on.shape)):
                return number
        self.patterns.append(draft.decided().ravel())
        return len(self.patterns) - 1


class Spread:
    """Products, once for every column of pixels where they have a mask.

    Attributes:
        product, column, mask: their numbers.
    """

    def __init__(self, pair: Int, numbers: dict[tuple[int, ...], int], uses: list[Use]) -> None:
        order = np.argsort(pair, kind="stable")
        bounds = np.searchsorted(pair[order], np.arange(len(numbers) + 1))
        parts: list[tuple[Int, Int, Int]] = []
        for use in uses:
            number = numbers[use.baby, use.pattern]
            own = order[bounds[number] : bounds[number + 1]]
            size = own.size * use.columns.size
            parts.append(
                (
                    np.repeat(own, use.columns.size),
                    np.tile(use.columns, own.size),
                    np.full(size, use.mask),
                )
            )
        self.product, self.column, self.mask = (np.concatenate(p) for p in zip(*parts, strict=True))


def distinct(numbers: Int, patterns: list[Pattern]) -> tuple[Int, list[Pattern]]:
    """The same patterns without repetitions, and numbers of these."""
    known: dict[tuple[bytes, bytes], int] = {}
    first: list[Pattern] = []
    renumbered = []
    for one in patterns:
        key = (one.on.tobytes(), one.off.tobytes())
        if key not in known:
            known[key] = len(first)
            first.append(one)
        renumbered.append(known[key])
    return np.array(renumbered, dtype=np.int64)[numbers], first
