"""What the API asks of a queue; `fhe_face.service.jobs.queue` is the durable one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from fhe_face.service.rows import Room


class State(str, Enum):
    """Of a job. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    def __str__(self) -> str:
        return self.value

    @property
    def final(self) -> bool:
        return self in (State.DONE, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class JobStatus:
    """A job at one moment.

    position: in the queue, 0 is next; None unless it waits. done of total: steps of its stage.
    error: {"code", "title", "detail"} of a failed job. Its result is the resource `target` in
    `target_room`. Times are UTC seconds.
    """

    id: str
    kind: str
    state: State
    position: int | None
    done: int
    total: int
    stage: str
    eta_seconds: float | None
    error: Mapping[str, Any] | None
    target_room: Room
    target: str
    created: float
    started: float | None = None
    finished: float | None = None


@dataclass(frozen=True)
class Answer:
    """Of a search. changes, version: of the store's state that its live masks are of.

    damaged: digests of blocks that could not be read.
    """

    scores: bytes
    changes: int
    version: int
    damaged: tuple[str, ...] = ()


class Queue(Protocol):
    """Jobs and searches. Safe to use from several threads; every method may block for a while."""

    def submit(
        self, tenant: str, kind: str, inputs: Mapping[str, str], target: tuple[Room, str]
    ) -> str:
        """Accept a job, for good; its id. Busy: there are too many. NotHere: an input is gone.

        kind "embedding": inputs "faces", "key", "model", "device" where they are of one; "score":
        "left", "right", "key": ids.
        The same again, while the job or its result is there, is the same job.
        """

    def status(self, tenant: str, id: str) -> JobStatus:
        """A job of this tenant. NotHere: it has none of this id."""

    def list(self, tenant: str, limit: int, state: State | None = None) -> list[JobStatus]:
        """The tenant's jobs, the newest first."""

    def cancel(self, tenant: str, id: str) -> JobStatus:
        """End a job that waits or runs; one that has ended stays as it is. NotHere."""

    def depth(self) -> Mapping[str, Mapping[str, int]]:
        """How many jobs of each kind are in each state; for metrics."""

    def waiting(self, tenant: str) -> int:
        """How many jobs of a tenant wait or run."""

    def search(self, gallery: Path, probe: bytes, timeout: float) -> Answer:
        """Search a gallery's folder, ahead of all jobs.

        Raises:
            Busy: no searcher is free. TimeoutError: no answer in so many seconds.
            Failure: of a probe that cannot be used; its text holds no path. One with the code
                "search-failed" says in `reason` the code of what went wrong.
        """

    def identity(self) -> str:
        """Names engine and weights; equal identities give equal results. "": not known yet."""

    def workers(self) -> int:
        """How many workers are alive."""

    def forget(self, tenant: str) -> int:
        """Cancel a tenant's jobs and forget all of them; how many there were."""

    def close(self) -> None:
        """Let go of connections; jobs stay."""
