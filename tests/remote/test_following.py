"""Following a job by the server's events, and without them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhe_face.remote.errors import BadAnswer, JobFailed, JobLeft
from fhe_face.remote.jobs import Job, State, submit
from fhe_face.remote.resources import Room
from fhe_face.remote.waiting import wait
from tests.remote.fake import Fake, problem

Events = Callable[[str], bytes]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    """Whose jobs end when the test says so."""
    return Fake(tmp_path)


@pytest.fixture
def job(fake: Fake) -> Job:
    """One that is asked for as if it were there."""
    fake.jobs["j1"] = told("queued")
    return job_from(fake)


def told(state: str, done: int = 0, stage: str = "", id: str = "j1") -> dict[str, Any]:
    result = {"room": "embeddings", "id": "r"} if state == "done" else None
    return {
        "id": id, "kind": "embedding", "state": state, "position": None, "error": None,
        "progress": {"done": done, "total": 9, "stage": stage}, "eta_seconds": None,
        "result": result, "target": {"room": "embeddings", "id": "r"}, "asked": 0,
    }  # fmt: skip


def job_from(fake: Fake) -> Job:
    answers = [httpx.Response(202, json=fake.jobs["j1"])]
    connection = fake.connect()
    fake.before.append(lambda _request: answers.pop() if answers else None)
    return submit(connection, "embeddings", {})


def event(content: dict[str, Any]) -> bytes:
    return f"event: job\ndata: {json.dumps(content)}\n\n".encode()


class Torn(httpx.SyncByteStream):
    """Pieces, and then nothing any more."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        raise httpx.ReadError("cut off")


def streaming(fake: Fake, *answers: httpx.Response) -> list[httpx.Response]:
    """Requests for events get these, one after the other."""
    left = list(answers)

    def hook(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/events"):
            return None
        return left.pop(0) if left else problem(404, "not-here")

    fake.before.append(hook)
    return left


def stream(*pieces: bytes, torn: bool = False) -> httpx.Response:
    headers = {"content-type": "text/event-stream"}
    body: Any = Torn(*pieces) if torn else httpx.ByteStream(b"".join(pieces))
    return httpx.Response(200, headers=headers, stream=body)


def waited(fake: Fake, job: Job, **options: Any) -> tuple[Any, list[tuple[str, int, int]]]:
    shown: list[tuple[str, int, int]] = []
    connection = fake.connect(attempts=1)
    found = wait(connection, job, lambda *one: shown.append(one), sleep=_nothing, **options)
    return found, shown


def _nothing(_seconds: float) -> None:
    """A wait that takes no time."""


def test_events_are_shown_as_they_come(fake: Fake, job: Job) -> None:
    data = b"".join(
        [
            event(told("queued")),
            b": still there\n\n",
            event(told("running", 3, "embedding")),
            event(told("running", 8, "embedding")).replace(b"\n", b"\r\n"),
            event(told("done", 9)),
        ]
    )
    streaming(fake, stream(*(data[n : n + 7] for n in range(0, len(data), 7))))
    found, shown = waited(fake, job)
    assert found == (Room.EMBEDDINGS, "r")
    assert ("waiting for the server", 0, 0) in shown
    assert ("at the server: embedding", 3, 9) in shown
    assert ("at the server: embedding", 8, 9) in shown
    assert "GET /v1/jobs/j1" not in fake.calls


@pytest.mark.parametrize(
    "answer",
    [
        problem(404, "not-here"),
        problem(503, "busy", headers={"retry-after": "2"}),
        httpx.Response(200, json={}),
        stream(b"data: {\n\n"),
        stream(b"data: {}\n\n"),
        stream(event(told("done", id="j2"))),
        stream(b"data: " + b"x" * 200_000),
        stream(event(told("running", 3)), torn=True),
        stream(),
    ],
)
def test_without_events_it_is_asked_for(fake: Fake, job: Job, answer: httpx.Response) -> None:
    streaming(fake, answer)
    found, _ = waited(fake, job)
    assert found == (Room.EMBEDDINGS, "r")
    assert "GET /v1/jobs/j1" in fake.calls


def test_a_busy_server_is_asked_after_its_time(fake: Fake, job: Job) -> None:
    streaming(fake, problem(503, "busy", headers={"retry-after": "3"}))
    waits: list[float] = []
    wait(fake.connect(attempts=1), job, sleep=waits.append)
    assert waits[0] == 3.0
    assert len([call for call in fake.calls if call.endswith("/events")]) == 1


def test_events_that_never_end(fake: Fake, job: Job) -> None:
    class Endless(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            while True:
                yield b": still there\n\n"

    headers = {"content-type": "text/event-stream"}
    streaming(fake, httpx.Response(200, headers=headers, stream=Endless()))
    with pytest.raises(JobFailed, match="longer"):
        waited(fake, job, patience=0.2)
    assert fake.jobs["j1"]["state"] == "cancelled"


def test_an_event_that_never_ends(fake: Fake, job: Job) -> None:
    """Its lines end, but nothing says that it is whole: it would fill the memory."""
    sent: list[int] = []

    class Growing(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for number in range(10_000):
                sent.append(number)
                yield b"data: " + b"x" * 1000 + b"\n"

    headers = {"content-type": "text/event-stream"}
    streaming(fake, httpx.Response(200, headers=headers, stream=Growing()))
    found, _ = waited(fake, job)
    assert found == (Room.EMBEDDINGS, "r")
    assert len(sent) < 100


def test_a_line_that_comes_byte_by_byte(fake: Fake, job: Job) -> None:
    """Each byte comes before the silence is too long; patience ends all the same."""
    now, sent = [0.0], []

    class Slow(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for number in range(1000):
                now[0] += 40.0
                sent.append(number)
                yield b":"

    headers = {"content-type": "text/event-stream"}
    streaming(fake, httpx.Response(200, headers=headers, stream=Slow()))
    with pytest.raises(JobFailed, match="longer"):
        waited(fake, job, patience=100.0, clock=lambda: now[0])
    assert len(sent) < 5
    assert fake.jobs["j1"]["state"] == "cancelled"


@pytest.mark.parametrize("leave", [False, True])
def test_an_interruption(fake: Fake, job: Job, leave: bool) -> None:
    streaming(fake, stream(event(told("running", 3)), torn=True))

    def stopped(_what: str, done: int, _total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(JobLeft if leave else KeyboardInterrupt) as caught:
        wait(fake.connect(attempts=1), job, stopped, leave=leave, sleep=_nothing)
    assert isinstance(caught.value, JobLeft) is leave
    assert fake.jobs["j1"]["state"] == ("queued" if leave else "cancelled")


def test_a_job_that_is_left_is_not_cancelled_by_a_failure(fake: Fake, job: Job) -> None:
    fake.before.append(
        lambda request: httpx.Response(200, json={}) if request.method == "GET" else None
    )
    with pytest.raises(BadAnswer):
        wait(fake.connect(attempts=1), job, leave=True, sleep=_nothing)
    assert State(fake.jobs["j1"]["state"]) is State.QUEUED


def test_a_stage_is_a_short_text(fake: Fake, job: Job) -> None:
    long = "\u001b[31m" + "x" * 200
    streaming(fake, stream(event(told("running", 3, long)), event(told("done"))))
    _, shown = waited(fake, job)
    assert all(len(what) <= 60 and what.isprintable() for what, _, _ in shown)
