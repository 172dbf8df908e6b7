"""Jobs of the server: what it says about them, waiting for one, cancelling it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Final

from fhe_core.files import one_line
from fhe_face.progress import Stage
from fhe_face.remote.answers import ID, Fields, quoted
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import BadAnswer, JobFailed
from fhe_face.remote.resources import Room

#: Of what a server calls a stage.
_STAGE_LENGTH: Final = 60
_MOST_JOBS: Final = 1000


class State(str, Enum):
    """How far a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (State.DONE, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Job:
    """What the server says of a job.

    id: None where the result was there already; position: in the queue, from 1; eta: seconds;
    result: where it is; problem, reason: of a failure.
    """

    id: str | None
    kind: str
    state: State
    position: int | None
    done: int
    total: int
    stage: str
    eta: float | None
    problem: str
    reason: str
    result: tuple[Room, str] | None

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        result = None if self.result is None else {"room": self.result[0], "id": self.result[1]}
        return {**asdict(self), "state": self.state.value, "result": result}


def job_of(fields: Fields) -> Job:
    """BadAnswer: what the server says is no job."""
    try:
        state = State(fields.code("state"))
    except ValueError:
        raise BadAnswer(
            f"{fields.where}: the server knows a state of jobs that there is not"
        ) from (None)
    progress = fields.inner("progress")
    error = None if fields.values.get("error") is None else fields.inner("error")
    position = None if fields.values.get("position") is None else fields.integer("position")
    return Job(
        fields.maybe_id("id"),
        fields.code("kind"),
        state,
        position,
        progress.integer("done"),
        progress.integer("total"),
        progress.shown("stage"),
        fields.number("eta_seconds"),
        "" if error is None else error.code("code"),
        "" if error is None else error.shown("detail") or error.shown("title"),
        _result(fields),
    )


def _result(fields: Fields) -> tuple[Room, str] | None:
    if fields.values.get("result") is None:
        return None
    result = fields.inner("result")
    try:
        return Room(result.code("room")), result.id("id")
    except ValueError:
        raise BadAnswer(f"{fields.where}: the server names a room that there is not") from None


def submit(connection: Connection, kind: str, inputs: dict[str, str]) -> Job:
    """Ask for a job. kind: "embeddings" or "scores"."""
    return job_of(connection.post(f"v1/{kind}", inputs).fields())


def find(connection: Connection, id: str) -> Job:
    """A job. Refused: there is none."""
    return job_of(connection.get(path_of(id)).fields())


def every(connection: Connection) -> Iterator[Job]:
    """The latest ones, newest first."""
    fields = connection.get("v1/jobs", {"limit": _MOST_JOBS}).fields()
    return map(job_of, fields.objects("items", _MOST_JOBS))


def cancel(connection: Connection, id: str) -> Job:
    """Cancel a job; how it ended."""
    return job_of(connection.delete(path_of(id)).fields())


def path_of(id: str) -> str:
    """Of a job. JobFailed: that can be no id of one."""
    if not ID.fullmatch(id):
        raise JobFailed(f"{quoted(id)} is no id of a job", one_line(id, 80), "usage")
    return f"v1/jobs/{id}"


def tell(job: Job, stage: Stage) -> None:
    """Show how far a job is."""
    if job.state is State.QUEUED:
        stage("waiting for the server", 0, 0)
        return
    what = f"at the server: {job.stage}" if job.stage else "computing at the server"
    stage(what[:_STAGE_LENGTH], min(job.done, job.total), job.total)


def result_of(job: Job) -> tuple[Room, str]:
    """Where the result of a job that has ended is.

    Raises:
        JobFailed: it has none. BadAnswer: it is done, and the server does not say where it is.
    """
    named = f"job {job.id}" if job.id else "the job"
    if job.state is State.CANCELLED:
        raise JobFailed(f"{named} was cancelled", job.id or "", "cancelled")
    if job.state is State.FAILED:
        said = job.reason or "no reason given"
        raise JobFailed(f"{named} failed; the server says: {said}", job.id or "", job.problem)
    if job.result is None:
        raise BadAnswer(f"{named} is done, and the server names no result")
    return job.result
