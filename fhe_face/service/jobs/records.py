"""What queue and workers hand to each other: kinds of jobs, claims, limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from fhe_core.errors import Failure
from fhe_core.formats.purpose import DEVICE_ID
from fhe_face.service.rows import Room
from fhe_face.service.settings import Settings

DAY_SECONDS: Final = 86400.0


class Kind(str, Enum):
    """What is computed: embeddings of faces, or scores of two embeddings."""

    EMBEDDING = "embedding"
    SCORE = "score"

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the files are called that it takes beside the evaluation keys, in order."""
        return ("faces",) if self is Kind.EMBEDDING else ("left", "right")

    def files(self, inputs: Mapping[str, str]) -> tuple[str, ...]:
        """The same with the switching key, where the faces are of a device."""
        device = self is Kind.EMBEDDING and DEVICE_ID in inputs
        return (*self.inputs, DEVICE_ID) if device else self.inputs

    def __str__(self) -> str:
        return self.value


#: Where inputs are, by what they are called.
ROOMS: Final = {
    "faces": Room.FACES,
    "left": Room.EMBEDDINGS,
    "right": Room.EMBEDDINGS,
    DEVICE_ID: Room.DEVICE_KEYS,
    "key": Room.KEYS,
}


@dataclass(frozen=True)
class Limits:
    """What a queue and its workers allow.

    Attributes:
        waiting: jobs that wait, of all tenants.
        results_seconds: how long outputs are kept after the end of their job.
        job_seconds: of one part; a job that takes longer is ended.
        retries: tries after failures that may pass, such as a full disk.
        deaths: of workers in the middle of a job, until it is set aside.
        turn_seconds: keys are loaded no more often while those in memory have jobs.
        lease_seconds: after which a worker that says nothing is taken for dead.
        pause_seconds: before the first new try; it doubles with every further one.
    """

    waiting: int = 20_000
    results_seconds: float = 7 * DAY_SECONDS
    job_seconds: float = 3600.0
    retries: int = 3
    deaths: int = 3
    turn_seconds: float = 60.0
    lease_seconds: float = 30.0
    pause_seconds: float = 1.0

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """As the operator set them."""
        return cls(
            waiting=settings.queue_limit,
            results_seconds=settings.result_days * DAY_SECONDS,
            job_seconds=settings.job_seconds,
            retries=settings.retries,
            deaths=settings.deaths,
            turn_seconds=settings.turn_seconds,
        )


class JobFailed(Failure):
    """A job ends without a result; `reason` is its code, the text has no path."""

    code = "job-failed"

    def __init__(self, text: str, *, reason: str = "job-failed") -> None:
        super().__init__(text)
        self.reason = reason


class NodeFailed(Failure):
    """What failed on another machine; `reason` is the code of the failure there."""

    code = "node-failed"

    def __init__(self, text: str, *, reason: str = "node-failed") -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class Claim:
    """A job that this worker may compute, as long as `token` is the newest.

    inputs: names of resources by what they are ("faces", "key", ...), and "model".
    """

    number: int
    id: str
    tenant: str
    kind: Kind
    inputs: Mapping[str, str]
    key: str
    work: str
    target_room: Room
    target: str
    token: int
    failures: int
    deaths: int
