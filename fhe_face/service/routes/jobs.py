"""Jobs: asking for a result, watching it come, and taking it back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import anyio
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from fhe_core.formats.purpose import DEVICE_ID
from fhe_face.circuit import ENTRY as CIRCUIT
from fhe_face.circuit import Circuit
from fhe_face.service.context import Context, Embedder, Here, Submitter
from fhe_face.service.errors import Busy, NotComplete, NotHere, TooManyRequests
from fhe_face.service.models import EmbeddingJob, Job, JobError, Jobs, Progress, Result, ScoreJob
from fhe_face.service.queueing import JobStatus, State
from fhe_face.service.remembered import Remembered
from fhe_face.service.routes.files import result_name
from fhe_face.service.rows import Caller, Resource, Room
from fhe_face.service.tenants import quotas_of, require_room

EMBEDDING: Final = "embedding"
SCORE: Final = "score"
#: How often a job is looked at while somebody watches, soon after a change and later, and how often
#: silence is broken.
_SOON_SECONDS, _LOOK_SECONDS, _LATER = 0.1, 1.0, 1.5
_COMMENT_SECONDS: Final = 15.0
#: How long one connection may watch; clients come back.
_WATCH_SECONDS: Final = 3600.0

router = APIRouter(prefix="/v1", tags=["jobs"], route_class=Remembered)
JobId = Annotated[str, Path(max_length=128, pattern="^[A-Za-z0-9_-]+$")]


@router.post("/embeddings", status_code=202, responses={200: {"model": Job}})
def embed(body: EmbeddingJob, caller: Submitter, here: Here, response: Response) -> Job:
    """Ask for the encrypted embeddings of encrypted faces; 200 where they are there already.

    Faces of a device take its switching key, which must be there still: else it was revoked.
    """
    faces = _input(here, caller, Room.FACES, body.faces)
    key = _input(here, caller, Room.KEYS, body.key)
    inputs = {"faces": body.faces, "key": body.key, "model": body.model}
    names = [EMBEDDING, faces.digest, key.digest, body.model, here.queue.identity()]
    device = faces.facts.get(DEVICE_ID)
    if device is not None:
        names.append(_input(here, caller, Room.DEVICE_KEYS, device).digest)
        inputs[DEVICE_ID] = device
    asked = Asked(EMBEDDING, inputs, Room.EMBEDDINGS, result_name(*names), body.id)
    return _submit(here, caller, asked, response)


@router.post("/scores", status_code=202, responses={200: {"model": Job}})
def score(body: ScoreJob, caller: Embedder, here: Here, response: Response) -> Job:
    """Ask for the encrypted scores of two encrypted embeddings; 422 where the key's client
    normalises, so that there are none."""
    left = _input(here, caller, Room.EMBEDDINGS, body.left)
    right = _input(here, caller, Room.EMBEDDINGS, body.right)
    key = _input(here, caller, Room.KEYS, body.key)
    Circuit.from_description(key.facts[CIRCUIT]).require_scores()
    inputs = {"left": body.left, "right": body.right, "key": body.key}
    name = result_name(SCORE, left.digest, right.digest, key.digest)
    return _submit(here, caller, Asked(SCORE, inputs, Room.SCORES, name, body.id), response)


@router.get("/jobs")
def jobs(
    caller: Embedder,
    here: Here,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    state: State | None = None,
) -> Jobs:
    """Your jobs, the newest first."""
    return Jobs(items=[job_of(one) for one in here.queue.list(caller.tenant, limit, state)])


@router.get("/jobs/{id}")
def job(id: JobId, caller: Embedder, here: Here) -> Job:
    """A job."""
    return job_of(here.queue.status(caller.tenant, id))


@router.delete("/jobs/{id}")
def cancel(id: JobId, caller: Embedder, here: Here) -> Job:
    """Cancel a job that waits or runs."""
    return job_of(here.queue.cancel(caller.tenant, id))


@router.get(
    "/jobs/{id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def events(id: JobId, caller: Embedder, here: Here) -> StreamingResponse:
    """Server-sent events: `job` whenever it changes, until it has ended."""
    first = await anyio.to_thread.run_sync(here.queue.status, caller.tenant, id)
    return Events(_watch(here, caller, first), here.streams)


class Events(StreamingResponse):
    """A stream that counts while it is sent: a client may go before its first piece is asked for.

    Raises Busy, before anything is sent, where too many are open.
    """

    def __init__(self, pieces: AsyncIterator[str], streams: anyio.CapacityLimiter) -> None:
        super().__init__(pieces, media_type="text/event-stream")
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            self._streams.acquire_on_behalf_of_nowait(self)
        except anyio.WouldBlock:
            raise Busy("too many streams are open; ask for the job now and then", 5.0) from None
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.release_on_behalf_of(self)


async def _watch(here: Context, caller: Caller, first: JobStatus) -> AsyncIterator[str]:
    status, silent, pause = first, 0.0, _SOON_SECONDS
    began = anyio.current_time()
    yield _event(status)
    while not status.state.final and anyio.current_time() - began < _WATCH_SECONDS:
        await anyio.sleep(pause)
        silent += pause
        pause = min(_LOOK_SECONDS, pause * _LATER)
        before = status
        try:
            status = await anyio.to_thread.run_sync(here.queue.status, caller.tenant, first.id)
        except NotHere:
            return
        if status != before:
            yield _event(status)
            silent, pause = 0.0, _SOON_SECONDS
        elif silent >= _COMMENT_SECONDS:
            yield ": still there\n\n"
            silent = 0.0


def _event(status: JobStatus) -> str:
    return f"event: job\ndata: {json.dumps(job_of(status).model_dump(mode='json'))}\n\n"


def job_of(status: JobStatus) -> Job:
    """A job as JSON."""
    error = status.error
    return Job(
        id=status.id,
        kind=status.kind,
        state=status.state.value,
        position=status.position,
        progress=Progress(done=status.done, total=status.total, stage=status.stage),
        eta_seconds=status.eta_seconds,
        error=None if error is None else JobError(**error),
        result=_result(status.target_room, status.target),
        created=status.created,
        started=status.started,
        finished=status.finished,
    )


def _result(room: Room, id: str) -> Result:
    return Result(room=room.value, id=id, location=f"/v1/{room}/{id}")


def _input(here: Context, caller: Caller, room: Room, id: str) -> Resource:
    resource = here.service.blobs.find(caller.tenant, room, id)
    if not resource.complete:
        raise NotComplete(f"sections of '{id}' in {room} are missing: send them first")
    return resource


@dataclass(frozen=True)
class Asked:
    """A job to be. name: of the result, made of what it is computed from; chosen: the caller's."""

    kind: str
    inputs: Mapping[str, str]
    room: Room
    name: str
    chosen: str | None


def _submit(here: Context, caller: Caller, asked: Asked, response: Response) -> Job:
    """Hand it to the queue, unless its result is there.

    Of a name that the caller chose, only the queue knows whether what has it is this result.
    """
    kind, room, id = asked.kind, asked.room, asked.chosen or asked.name
    if id == asked.name and here.service.blobs.holds(caller.tenant, room, id):
        response.status_code = 200
        none = Progress(done=0, total=0, stage="")
        return Job(id=None, kind=kind, state="done", progress=none, result=_result(room, id))
    _require_quota(here, caller.tenant)
    job_id = here.queue.submit(caller.tenant, kind, asked.inputs, (room, id))
    response.headers["Location"] = f"/v1/jobs/{job_id}"
    return job_of(here.queue.status(caller.tenant, job_id))


def _require_quota(here: Context, tenant: str) -> None:
    quotas = quotas_of(here.service.database, tenant)
    if quotas is not None and here.queue.waiting(tenant) >= quotas.jobs:
        raise TooManyRequests(f"{quotas.jobs} jobs of yours wait: let some end first", 10.0)
    with here.service.database.reading() as connection:
        require_room(connection, tenant, 0)
