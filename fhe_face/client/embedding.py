"""Faces to embeddings, through a server: a face that diverges costs its partners a retry only."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from fhe_core.formats.ciphertexts import Bundle
from fhe_face.client.decryption import Embedding, Score
from fhe_face.client.health import Cause, HealthReport
from fhe_face.places import Packing, Run, numbered
from fhe_face.planning import plan_runs

if TYPE_CHECKING:
    from fhe_face.client.client import Face, FaceClient

#: Rounds after the first, at most: a server sees how many there are.
RETRIES = 2


#: Runs of a bundle, so that ciphertexts take at most 2 GB.
MAX_RUNS = 8


class Embedder(Protocol):
    """A server, or what carries bundles to one and back."""

    def embed(self, bundle: Bundle, /) -> Bundle:
        """Encrypted faces to encrypted embeddings."""


@runtime_checkable
class FixedRounds(Protocol):
    """A server that must not see which faces were refused, because it is somebody else's.

    rounds: so many there are, whatever comes out of them.
    """

    @property
    def rounds(self) -> int: ...


@dataclass(frozen=True)
class Round:
    """What was computed at once: how many faces in which runs, in how many seconds."""

    runs: tuple[Run, ...]
    seconds: float

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
) -> Embedded:
    """See `FaceClient.embed`."""
    fixed = server.rounds if isinstance(server, FixedRounds) else None
    most = fixed or RETRIES + 1
    if fixed and Packing.ALONE in client.engine.packings:  # nobody loses anything through others
        runs = client.plan(len(faces), packings=[Packing.ALONE])
    else:
        runs = client.plan(len(faces), memory=memory)
    order = list(range(len(faces)))
    results: dict[int, Embedding | HealthReport] = {}
    rounds: list[Round] = []
    for left in reversed(range(most)):
        seconds = 0.0
        for some in shares(runs):
            numbers = [order[place] for run in some for place in run.numbers]
            own = numbered([(run.packing, run.faces) for run in some])
            bundle = client.encrypt([faces[number] for number in numbers], runs=own)
            started = time.perf_counter()
            answer = server.embed(bundle)
            seconds += time.perf_counter() - started
            for number, result in zip(numbers, client.decrypt(answer, [bundle]), strict=True):
                assert not isinstance(result, Score)
                results[number] = result
        rounds.append(Round(runs, seconds))
        partners = _because_of(Cause.PARTNER, order, results)
        suspects = _because_of(Cause.UNCLEAR, order, results)
        if not left or not (partners or suspects):
            break
        order = partners + suspects
        runs = again(len(partners), len(suspects), client, left == 1, memory)
    return Embedded([results[number] for number in range(len(faces))], rounds)


def shares(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that travel in one bundle: single faces take much more memory than those of a batch."""
    bundles: list[list[Run]] = [[]]
    for run in runs:
        if run.packing is Packing.BATCH or len(bundles[-1]) >= MAX_RUNS:
            bundles.append([])
        bundles[-1].append(run)
    return [bundle for bundle in bundles if bundle]


def _because_of(
    cause: Cause, order: Sequence[int], results: dict[int, Embedding | HealthReport]
) -> list[int]:
    found = []
    for number in order:
        result = results[number]
        if isinstance(result, HealthReport) and result.cause is cause:
            found.append(number)
    return found


def again(
    partners: int,
    suspects: int,
    client: FaceClient,
    last: bool,
    memory: int | None,
) -> tuple[Run, ...]:
    """Runs for faces that were refused because of others, and for those that may be the cause.

    The cause of a refusal is among the suspects: they are parted from the others and from each
    other, in the last round entirely.
    """
    packings, capacity = client.engine.packings, client.engine.capacity
    groups: list[tuple[Packing, int]] = []
    if last:
        single = Packing.ALONE if Packing.ALONE in packings else Packing.BATCH
        return numbered([(single, 1)] * (partners + suspects))
    if partners:
        runs = plan_runs(partners, packings, capacity, memory)
        groups += [(run.packing, run.faces) for run in runs]
    if Packing.ALONE in packings:
        groups += [(Packing.ALONE, 1)] * suspects
    elif suspects:
        size = max(1, math.isqrt(min(suspects, capacity)))
        groups += [(Packing.BATCH, min(size, suspects - n)) for n in range(0, suspects, size)]
    return numbered(groups)
