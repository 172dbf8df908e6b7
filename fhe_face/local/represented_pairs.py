"""What pairs of represented faces say: cosines within people and between them, and verdicts."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.local.represented import Row
from fhe_face.models.evaluation.scores import Distribution
from fhe_face.models.thresholds import Thresholds, Verdict

PAIRS: Final = "pairs.csv"
#: Faces of which all pairs are looked at, and pairs that are listed.
MAX_COMPARED: Final = 4000
MAX_LISTED: Final = 100_000
_ROWS: Final = 1024


@dataclass(frozen=True)
class Report:
    """Pairs of faces on different photos. pairs: a CSV of those worth a look."""

    same: Distribution | None = None
    different: Distribution | None = None
    verdicts: dict[str, int] | None = None
    pairs: bytes | None = None

    @classmethod
    def of(
        cls, rows: Sequence[Row], vectors: Sequence[NDArray[np.float32]], by: Thresholds | None
    ) -> Report:
        if not 1 < len(rows) <= MAX_COMPARED:
            return cls()
        same, different = [], []
        listed: list[tuple[int, int, float]] = []
        counts = dict.fromkeys((verdict.value for verdict in Verdict), 0)
        for found in pairs_of(rows, vectors):
            cosines = found.cosines
            same.append(cosines[found.alike])
            different.append(cosines[found.named & ~found.alike])
            if by is None:
                continue
            says_same, unsure = cosines >= by.same_from, cosines >= by.different_below
            counts[Verdict.SAME.value] += int(says_same.sum())
            counts[Verdict.NOT_SURE.value] += int((unsure & ~says_same).sum())
            counts[Verdict.DIFFERENT.value] += int((~unsure).sum())
            for k in np.flatnonzero(unsure | found.alike)[: MAX_LISTED - len(listed)]:
                listed.append((int(found.one[k]), int(found.two[k]), float(cosines[k])))
        own, others = (
            Distribution.of(part) if part.size else None
            for part in (np.concatenate(same), np.concatenate(different))
        )
        if by is None:
            return cls(own, others)
        return cls(own, others, counts, _pairs(rows, listed, by))


@dataclass(frozen=True, eq=False)
class Pairs:
    """Some pairs of faces on different photos: rows `one` and `two`, (n,) each.

    named: whether both are somebody's, alike: whether they are the same person's.
    """

    one: NDArray[np.intp]
    two: NDArray[np.intp]
    cosines: NDArray[np.float64]
    named: NDArray[np.bool_]
    alike: NDArray[np.bool_]


def pairs_of(rows: Sequence[Row], vectors: Sequence[NDArray[np.float32]]) -> Iterator[Pairs]:
    """All pairs, some at a time: they would not fit the memory together."""
    matrix = np.stack(vectors)
    people = np.unique([row.person for row in rows], return_inverse=True)[1]
    named = np.array([bool(row.person) for row in rows])
    photos = np.unique([row.sha256 for row in rows], return_inverse=True)[1]
    for start in range(0, len(rows), _ROWS):
        scores = matrix[start : start + _ROWS] @ matrix[start:].T
        one, two = np.nonzero(np.triu(np.ones(scores.shape, bool), 1))
        cosines = scores[one, two].astype(np.float64)
        one, two = one + start, two + start
        kept = photos[one] != photos[two]
        one, two, cosines = one[kept], two[kept], cosines[kept]
        both = named[one] & named[two]
        yield Pairs(one, two, cosines, both, both & (people[one] == people[two]))


def _pairs(rows: Sequence[Row], listed: Sequence[tuple[int, int, float]], by: Thresholds) -> bytes:
    """Said to be the same or not sure, and those of one person that are said to be different."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("row", "other_row", "cosine", "verdict", "photo", "other_photo"))
    for one, two, cosine in sorted(listed, key=lambda pair: -pair[2]):
        verdict = by.verdict(cosine).value
        writer.writerow((one, two, f"{cosine:.4f}", verdict, rows[one].photo, rows[two].photo))
    return stream.getvalue().encode("utf-8", "surrogateescape")
