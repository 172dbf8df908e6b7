"""Faces to embeddings, through a server: a face that diverges costs its partners a retry only,
and gets another one itself, with less contrast."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from fhe_core.formats.ciphertexts import Bundle
from fhe_face.client.decryption import Embedding, Score
from fhe_face.client.health import Cause, HealthReport
from fhe_face.places import Packing, Run, numbered
from fhe_face.planning import PlanningError, plan_runs

if TYPE_CHECKING:
    from fhe_face.client.client import FaceClient
    from fhe_face.client.encryption import Face

#: Of a round's images, as parts of the contrast that they were given with. Nearly all faces that
#: the official weights diverge on are healthy at 0.9 (docs/health.md); in the last round faces are
#: parted instead. A server sees how many rounds there are.
CONTRASTS = (1.0, 0.9, 0.8, 0.8)
#: Rounds after the first, at most.
RETRIES = len(CONTRASTS) - 1

#: Runs of a bundle, so that ciphertexts take at most 2 GB.
MAX_RUNS = 8


class Embedder(Protocol):
    """A server, or what carries bundles to one and back."""

    def embed(self, bundle: Bundle, /) -> Bundle:
        """Encrypted faces to encrypted embeddings."""


@runtime_checkable
class FixedRounds(Protocol):
    """A server that must not see which faces were refused, because it is somebody else's.

    rounds: so many there are, at least one, whatever comes out of them.
    """

    @property
    def rounds(self) -> int: ...


@dataclass(frozen=True)
class Round:
    """What was computed at once: how many faces in which runs, in how many seconds; with which
    part of their contrast."""

    runs: tuple[Run, ...]
    seconds: float
    contrast: float = 1.0

    @property
    def faces(self) -> int:
        return sum(run.faces for run in self.runs)


@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings, or the reasons why there are none, in the order of the faces.

    seconds: of the server, and of the way to it and back; retried: the faces of later rounds.
    """

    results: list[Embedding | HealthReport]
    rounds: list[Round]

    @property
    def seconds(self) -> float:
        return sum(one.seconds for one in self.rounds)

    @property
    def healthy(self) -> int:
        """Faces that have an embedding."""
        return sum(isinstance(result, Embedding) for result in self.results)

    @property
    def refused(self) -> list[int]:
        """Faces that have none, from 0."""
        return [n for n, result in enumerate(self.results) if isinstance(result, HealthReport)]

    @property
    def retried(self) -> int:
        """Faces that were computed again, over all rounds."""
        return sum(one.faces for one in self.rounds[1:])

    @property
    def healthy_per_hour(self) -> float:
        """Healthy embeddings per hour, retries included."""
        return 3600 * self.healthy / self.seconds if self.seconds else math.inf

    def __repr__(self) -> str:
        return f"<Embedded: {self.summary()}>"

    def summary(self) -> str:
        """One line for people."""
        again = f", {self.retried} of them again" if self.retried else ""
        return (
            f"{self.healthy} of {len(self.results)} faces healthy in {len(self.rounds)} rounds and "
            f"{self.seconds:.1f} s{again}; {self.healthy_per_hour:.0f} healthy embeddings per hour"
        )


def embed_faces(
    client: FaceClient,
    faces: Sequence[Face],
    server: Embedder,
    memory: int | None = None,
    *,
    copies: int = 1,
    contrast: float = 1.0,
) -> Embedded:
    """See `FaceClient.embed`. copies: so many faces in a row are one, and need one contrast."""
    fixed = isinstance(server, FixedRounds)
    most = server.rounds if isinstance(server, FixedRounds) else len(CONTRASTS)
    if most < 1:
        raise PlanningError(f"a server of {most} rounds; there must be one at least")
    if fixed and Packing.ALONE in client.engine.packings:  # nobody loses anything through others
        runs = client.plan(len(faces), packings=[Packing.ALONE])
    else:
        runs = client.plan(len(faces), memory=memory)
    order = lacking = list(range(len(faces)))
    results: dict[int, Embedding | HealthReport] = {}
    rounds: list[Round] = []
    for number in range(most):
        factor = contrast * CONTRASTS[min(number, RETRIES)]
        found, seconds = _computed(client, faces, order, runs, server, factor)
        rounds.append(Round(runs, seconds, factor))
        results |= {face: found[face] for face in lacking if face in found}
        lacking = _refused(lacking, results, copies)
        if fixed:
            continue
        order = _worth_another(lacking, results, number, copies)
        if not order or number == RETRIES:
            break
        runs = again(len(order), client, number + 1, memory)
    return Embedded([results[number] for number in range(len(faces))], rounds)


def _computed(
    client: FaceClient,
    faces: Sequence[Face],
    order: Sequence[int],
    runs: Sequence[Run],
    server: Embedder,
    contrast: float,
) -> tuple[dict[int, Embedding | HealthReport], float]:
    """Results of the faces of these numbers, in so many seconds of the server."""
    seconds = 0.0
    results: dict[int, Embedding | HealthReport] = {}
    for some in shares(runs):
        numbers = [order[place] for run in some for place in run.numbers]
        own = numbered([(run.packing, run.faces) for run in some])
        bundle = client.encrypt([faces[face] for face in numbers], runs=own, contrast=contrast)
        started = time.perf_counter()
        answer = server.embed(bundle)
        seconds += time.perf_counter() - started
        for face, result in zip(numbers, client.decrypt(answer, [bundle]), strict=True):
            assert not isinstance(result, Score)
            if isinstance(result, Embedding):
                result = replace(result, contrast=contrast)
            results[face] = result
    return results, seconds


def _refused(
    faces: Sequence[int], results: Mapping[int, Embedding | HealthReport], copies: int
) -> list[int]:
    """Of these faces, those of which not all copies have an embedding yet."""
    refused = {face // copies for face in faces if isinstance(results[face], HealthReport)}
    return [face for face in faces if face // copies in refused]


def _worth_another(
    refused: Sequence[int],
    results: Mapping[int, Embedding | HealthReport],
    number: int,
    copies: int,
) -> list[int]:
    """The refused faces that the round after this one may give an embedding.

    The last one has the contrast of the one before: only who was spoiled by others gains.
    """
    if number + 1 < RETRIES:
        return list(refused)
    certain = {
        face // copies
        for face in refused
        if isinstance(result := results[face], HealthReport) and result.cause is Cause.OWN
    }
    return [face for face in refused if face // copies not in certain]


def shares(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that travel in one bundle: single faces take much more memory than those of a batch."""
    bundles: list[list[Run]] = [[]]
    for run in runs:
        if run.packing is Packing.BATCH or len(bundles[-1]) >= MAX_RUNS:
            bundles.append([])
        bundles[-1].append(run)
    return [bundle for bundle in bundles if bundle]


def again(faces: int, client: FaceClient, number: int, memory: int | None) -> tuple[Run, ...]:
    """Runs of a later round for so many faces that were refused, who knows because of which.

    Whole batches again, as long as less contrast may help: they cost less than their faces one by
    one. In the last round everybody is parted from everybody.
    """
    packings, capacity = client.engine.packings, client.engine.capacity
    alone = Packing.ALONE in packings
    if number == RETRIES:
        return numbered([(Packing.ALONE if alone else Packing.BATCH, 1)] * faces)
    if number + 1 < RETRIES or alone:
        return plan_runs(faces, packings, capacity, memory)
    # Batches only, which cost the same for one face: few are left for the last round.
    size = max(1, math.isqrt(min(faces, capacity)))
    return numbered([(Packing.BATCH, min(size, faces - n)) for n in range(0, faces, size)])
