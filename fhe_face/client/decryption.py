"""From the slots of decrypted results to embeddings and scores, each with its health check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core.normalisation import AnyNormalisation, ExactNormalisation
from fhe_face.client.headroom import embeddings_fit, scores_fit
from fhe_face.client.health import (
    HealthReport,
    check_embedding,
    check_score,
    expected_norm,
    fitting,
    undisturbed,
)
from fhe_face.client.normalising import normalised
from fhe_face.places import Packing, Places, Run

Slots = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Embedding:
    """A decrypted embedding [length]; ``health`` has passed.

    contrast: of the image, as a part of what it was given with, where `FaceClient.embed` has
    chosen it: this client's own number, below 1 where the network diverged at first; else 1.
    """

    values: NDArray[np.float64]
    health: HealthReport
    contrast: float = 1.0

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

    normalisation: by what results were multiplied, or are, where it is an exact one; length: of an
    embedding, which repeats after ``period`` slots; places: of the faces of a batch.
    """

    normalisation: AnyNormalisation
    length: int
    period: int
    places: Places

    def embeddings(
        self, run: Run, slots: Sequence[Slots], rooms: Sequence[float]
    ) -> list[Embedding | HealthReport]:
        """Of a run; slots: of its ciphertexts, in the order of their names.

        rooms: the largest number that each ciphertext can hold (headroom.room).
        """
        embeddings, norms, fit = self._opened(run, slots, rooms)
        if run.packing is not Packing.BATCH:
            values = embeddings[: self.length]
            report = check_embedding(values, norms, self.normalisation)
            return [self._embedding(values, report)]
        found: list[Embedding | HealthReport] = []
        for number in range(run.faces):
            own = self.places.slots(number, self.length)
            values = embeddings[own]
            report = check_embedding(values, norms[own], self.normalisation, run.faces > 1)
            report = undisturbed(report, self._beside(number, norms), self.normalisation)
            found.append(self._embedding(values, fitting(report, "embeddings", fit)))
        return found

    def _opened(
        self, run: Run, slots: Sequence[Slots], rooms: Sequence[float]
    ) -> tuple[Slots, Slots, bool]:
        """Normalised embeddings, squared norms, and whether a batch's embeddings fit their modulus.

        Embeddings that the client normalises show it themselves where they did not fit
        (docs/health.md).
        """
        if isinstance(self.normalisation, ExactNormalisation):
            (raw,) = slots
            block = self.places.block if run.packing is Packing.BATCH else raw.size
            return *normalised(raw, self.length, self.period, block), True
        embeddings, norms = slots
        batch = run.packing is Packing.BATCH
        fit = not batch or embeddings_fit(norms, self.normalisation, rooms[0])
        return embeddings, norms, fit

    def _beside(self, number: int, *norms: Slots) -> Slots:
        """Squared norms in the slots of the faces before and after a face of a batch."""
        places = [self.places.slots(n, self.length) for n in self.places.beside(number)]
        return np.concatenate([np.zeros(1), *(part[own] for part in norms for own in places)])

    def scores(
        self, run: Run, slots: Sequence[Slots], rooms: Sequence[float]
    ) -> list[Score | HealthReport]:
        """As ``embeddings``. In a batch a score stands in the first slot of its block only."""
        scores, left, right = slots
        if run.packing is not Packing.BATCH:
            value, report = check_score(scores, [left, right], self.normalisation)
            return [self._score(value, report)]
        fit = scores_fit(left, right, self.normalisation, self.length, rooms[0])
        found: list[Score | HealthReport] = []
        for number in range(run.faces):
            own = self.places.slots(number, self.length)
            score = scores[own][:1]
            both = [left[own], right[own]]
            value, report = check_score(score, both, self.normalisation, run.faces > 1)
            report = undisturbed(report, self._beside(number, left, right), self.normalisation)
            found.append(self._score(value, fitting(report, "scores", fit)))
        return found

    @staticmethod
    def _embedding(values: Slots, report: HealthReport) -> Embedding | HealthReport:
        return Embedding(values.copy(), report) if report.healthy else report

    def _score(self, value: float, report: HealthReport) -> Score | HealthReport:
        if not report.healthy:
            return report
        norms = np.prod([expected_norm(self.normalisation, y) for y in report.squared_norms])
        return Score(value, float(np.clip(value / norms, -1.0, 1.0)), report)
