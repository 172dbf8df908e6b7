"""From the slots of decrypted results to embeddings and scores, each with its health check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core.normalisation import Normalisation
from fhe_face.client.headroom import embeddings_fit, scores_fit
from fhe_face.client.health import (
    HealthReport,
    beside,
    check_embedding,
    check_score,
    expected_norm,
    fitting,
)
from fhe_face.places import Packing, Places, Run

Slots = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Embedding:
    """A decrypted embedding [length]; ``health`` has passed."""

    values: NDArray[np.float64]
    health: HealthReport

    def __repr__(self) -> str:
        norm = self.health.squared_norms[0]
        return f"<Embedding of {self.values.size} numbers, squared norm {norm:.1f}>"


@dataclass(frozen=True)
class Score:
    """A decrypted inner product of two normalised embeddings; ``health`` has passed.

    ``cosine`` divides out what the normalisation polynomial left of the norms; it is in [-1, 1].
    """

    value: float
    cosine: float
    health: HealthReport


@dataclass(frozen=True)
class Reader:
    """What decides what slots mean, all of it known to the client itself.

    length: of an embedding; places: of the faces of a batch.
    """

    normalisation: Normalisation
    length: int
    places: Places

    def embeddings(
        self, run: Run, slots: Sequence[Slots], rooms: Sequence[float]
    ) -> list[Embedding | HealthReport]:
        """Of a run; slots: of its ciphertexts, in the order of their names.

        rooms: the largest number that each ciphertext can hold (headroom.room).
        """
        if run.packing is Packing.BATCH:
            return self._batch(run, slots, rooms)
        together = run.packing is Packing.PAIR
        found: list[Embedding | HealthReport] = []
        for first in range(0, len(slots), 2):
            values, norm = slots[first][: self.length], slots[first + 1]
            report = check_embedding(values, norm, self.normalisation, together)
            found.append(self._embedding(values, report))
        return found

    def _batch(
        self, run: Run, slots: Sequence[Slots], rooms: Sequence[float]
    ) -> list[Embedding | HealthReport]:
        fit = [embeddings_fit(slots[i + 1].real, self.normalisation, rooms[i]) for i in (0, 2)]
        found: list[Embedding | HealthReport] = []
        for number in range(run.faces):
            half, start = self.places.locate(number)
            own = slice(start, start + self.length)
            values = slots[2 * half][own]
            norm = beside(slots[2 * half + 1][own], slots[3 - 2 * half][own])
            report = check_embedding(values, norm, self.normalisation, run.faces > 1)
            found.append(self._embedding(values, fitting(report, "embeddings", fit[half])))
        return found

    def scores(
        self, run: Run, slots: Sequence[Slots], rooms: Sequence[float]
    ) -> list[Score | HealthReport]:
        """As ``embeddings``. In a batch a score stands in the first slot of its block only."""
        if run.packing is not Packing.BATCH:
            value, report = check_score(slots[0], slots[1:], self.normalisation)
            return [self._score(value, report)]
        fit = [
            scores_fit(
                slots[i + 1].real, slots[i + 2].real, self.normalisation, self.length, rooms[i]
            )
            for i in (0, 3)
        ]
        found: list[Score | HealthReport] = []
        for number in range(run.faces):
            half, start = self.places.locate(number)
            own, other = (
                [part[start : start + self.length] for part in slots[3 * side + 1 : 3 * side + 3]]
                for side in (half, 1 - half)
            )
            norms = [beside(*pair) for pair in zip(own, other, strict=True)]
            score = slots[3 * half][start : start + 1]
            value, report = check_score(score, norms, self.normalisation, run.faces > 1)
            found.append(self._score(value, fitting(report, "scores", fit[half])))
        return found

    @staticmethod
    def _embedding(values: Slots, report: HealthReport) -> Embedding | HealthReport:
        return Embedding(values.real.copy(), report) if report.healthy else report

    def _score(self, value: float, report: HealthReport) -> Score | HealthReport:
        if not report.healthy:
            return report
        norms = np.prod([expected_norm(self.normalisation, y) for y in report.squared_norms])
        return Score(value, float(np.clip(value / norms, -1.0, 1.0)), report)
