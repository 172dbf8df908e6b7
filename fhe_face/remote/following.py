"""Following a job: the server's events as they come, or asking now and then where there are none.

Events only say sooner what asking says; a stream that breaks off, or talks nonsense, costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import httpx

from fhe_face.remote.answers import Fields, parse
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import BadAnswer, Refused, RemoteError, Unreachable
from fhe_face.remote.jobs import Job, find, job_of, path_of

#: Seconds between two questions: they grow from one to the other.
_FIRST, _MOST, _GROWTH = 0.1, 5.0, 1.5
#: A stream that is silent for so long has broken off: a server says something every 15 s.
_SILENCE: Final = 45.0
#: Of one event of a stream, and of a line that has not ended.
_EVENT_BYTES: Final = 64 << 10
_KIND: Final = "text/event-stream"


@dataclass
class Following:
    """Says how far a job is, again and again, until it has ended or nobody listens.

    end: of patience, by `clock`: nothing takes longer than that, but for one question.
    """

    connection: Connection
    end: float
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _streams: bool = field(default=True, init=False)

    def states(self, job: Job) -> Iterator[Job]:
        """The job as it is now, and then at every change; the last one has ended.

        Raises:
            RemoteError: the server cannot be asked.
        """
        yield job
        pause = _FIRST
        while not job.state.ended and self.clock() < self.end:
            asked = 0.0
            if self._streams:
                try:
                    for event in self._events(job):
                        job = event
                        yield job
                except Refused as error:  # an older server, or one with too many streams
                    self._streams, asked = False, error.after or 0.0
                except RemoteError:
                    pass
            if job.state.ended:
                return
            self.sleep(max(pause, min(asked, _MOST)))
            pause = min(_MOST, pause * _GROWTH)
            job = find(self.connection, _id(job))
            yield job

    def _events(self, job: Job) -> Iterator[Job]:
        """What a stream says, until it ends. RemoteError: it breaks off, or makes no sense."""
        where = f"{path_of(_id(job))}/events"
        left = max(0.05, self.end - self.clock())
        with self.connection.hasty().stream(
            "GET", where, headers={"Accept": _KIND}, silence=min(_SILENCE, left)
        ) as answer:
            if answer.headers.get("content-type", "").partition(";")[0].strip() != _KIND:
                raise BadAnswer(f"{where}: the server sends no events")
            data: list[str] = []
            size = 0
            for line in self._lines(answer, where):
                if line.startswith("data:"):
                    data.append(line[5:])
                    size += len(line)
                    if size > _EVENT_BYTES:
                        raise BadAnswer(f"{where}: an event of the server's is too long")
                elif not line and data:
                    found = job_of(Fields.of(parse("\n".join(data).encode(), where), where))
                    if found.id != job.id:
                        raise BadAnswer(f"{where}: the server tells of another job")
                    data, size = [], 0
                    yield found
                    if found.state.ended:
                        return

    def _lines(self, answer: httpx.Response, where: str) -> Iterator[str]:
        """Lines without their ends, comments too, for as long as there is patience: however slowly
        the server sends one."""
        left = b""
        for part in answer.iter_raw():
            if self.clock() >= self.end:
                return
            *whole, left = (left + part).split(b"\n")
            for line in whole:
                yield line.removesuffix(b"\r").decode("utf-8", "replace")
            if len(left) > _EVENT_BYTES:
                raise BadAnswer(f"{where}: a line of the server's events is too long")
        raise Unreachable(f"{where}: the server's events were cut off")


def _id(job: Job) -> str:
    if job.id is None:
        raise BadAnswer("the server gave a job no id")
    return job.id
