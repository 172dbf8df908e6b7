"""The queue as the API sees it: submitting jobs, asking about them, cancelling, searching.

It loads no engine. All methods block for milliseconds, and may be called from several threads.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Row, and_, func, select

from fhe_face.service.blobs import Blobs
from fhe_face.service.errors import Busy, NotComplete, NotHere
from fhe_face.service.jobs import naming
from fhe_face.service.jobs.calling import SearchClient
from fhe_face.service.jobs.opening import clock, insert_new, open_jobs
from fhe_face.service.jobs.records import ROOMS, Kind, Limits
from fhe_face.service.jobs.requests import checked, computed, fresh, same
from fhe_face.service.jobs.tables import UNFINISHED, jobs, outputs, queue, workers
from fhe_face.service.jobs.timing import Pace
from fhe_face.service.opening import Service
from fhe_face.service.queueing import Answer, JobStatus, State
from fhe_face.service.rows import Room
from fhe_face.service.settings import Settings
from fhe_face.store.database import Database

_FULL_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.1
#: Position and time left change by what others do; they are looked up that often.
_ESTIMATE_SECONDS: Final = 1.0


class Searcher(Protocol):
    """Where searches are computed."""

    def search(self, gallery: Path, probe: bytes, timeout: float) -> Answer:
        """Busy: no room at the moment; Failure: the probe or the gallery cannot be used."""


class JobQueue:
    """Jobs of all tenants in one database."""

    def __init__(
        self, database: Database, blobs: Blobs, searcher: Searcher, limits: Limits
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._searcher = searcher
        self._limits = limits

    def submit(
        self, tenant: str, kind: str, inputs: Mapping[str, str], target: tuple[Room, str]
    ) -> str:
        """Accept a job for good, and return its name.

        While the same job of the tenant waits, runs, or has its output in place, that is the one.

        inputs: names of complete resources: "key", and "faces" or "left" and "right"; "device"
            where the faces are of one; "model".

        Raises:
            NotHere, NotComplete: an input is not there.
            Invalid: there is no such kind of job, or it takes other inputs.
            Busy: too many jobs wait.
        """
        what, model = checked(kind, inputs)
        names = (*what.files(inputs), "key")
        digests = {name: self._digest(tenant, name, inputs[name]) for name in names}
        work = naming.work_name(what, digests, model)
        room, place = target
        request = naming.request_name(work, room.value, place)
        row = {
            "id": secrets.token_hex(16),
            "tenant": tenant,
            "kind": what.value,
            "inputs": json.dumps({**{n: inputs[n] for n in names}, "model": model}),
            "key": digests["key"],
            "request": request,
            "work": work,
            "target_room": room.value,
            "target": place,
        }
        there = self._content(tenant, target)
        with self._database.locked() as connection:
            done = there is not None and there == computed(connection, tenant, work)
            found = same(connection, tenant, request, with_done=done)
            if found is not None:
                return found
            self._require_room(connection)
            row |= fresh(clock(connection))
            if insert_new(connection, jobs, row):
                return str(row["id"])
            found = same(connection, tenant, request, with_done=False)
        if found is None:  # it ended this very moment
            return self.submit(tenant, kind, inputs, target)
        return found

    def status(self, tenant: str, id: str) -> JobStatus:
        """A job of the tenant. NotHere: it has none of this name."""
        with self._database.reading() as connection:
            row = self._row(connection, tenant, id)
            return Pace.of(connection).status(connection, row)

    def list(self, tenant: str, limit: int, state: State | None = None) -> list[JobStatus]:
        """The tenant's jobs, newest first."""
        query = select(jobs).where(jobs.c.tenant == tenant)
        if state is not None:
            query = query.where(jobs.c.state == state.value)
        with self._database.reading() as connection:
            pace = Pace.of(connection)
            rows = connection.execute(query.order_by(jobs.c.number.desc()).limit(limit)).all()
            return [pace.status(connection, row) for row in rows]

    def cancel(self, tenant: str, id: str) -> JobStatus:
        """A job that waits is cancelled at once, one that runs at its next step; others stay.

        NotHere: the tenant has no such job.
        """
        with self._database.locked() as connection:
            row = self._row(connection, tenant, id)
            mine = jobs.update().where(jobs.c.number == row.number)
            connection.execute(
                mine.where(jobs.c.state == State.QUEUED.value).values(
                    state=State.CANCELLED.value, finished=clock(connection)
                )
            )
            connection.execute(mine.where(jobs.c.state == State.RUNNING.value).values(cancel=True))
        return self.status(tenant, id)

    def depth(self) -> dict[str, dict[str, int]]:
        """How many jobs of each kind are in each state."""
        counts = {kind.value: {state.value: 0 for state in State} for kind in Kind}
        query = select(jobs.c.kind, jobs.c.state, func.count()).group_by(jobs.c.kind, jobs.c.state)
        with self._database.reading() as connection:
            for kind, state, count in connection.execute(query):
                counts[kind][state] = count
        return counts

    def waiting(self, tenant: str) -> int:
        """Jobs of the tenant that have not ended."""
        query = select(func.count()).where(jobs.c.tenant == tenant, UNFINISHED)
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def workers(self) -> int:
        """Workers that are alive."""
        with self._database.reading() as connection:
            since = clock(connection) - self._limits.lease_seconds
            query = select(func.count()).select_from(workers).where(workers.c.seen >= since)
            return int(connection.execute(query).scalar_one())

    def wait(
        self, tenant: str, id: str, seconds: float, seen: JobStatus | None = None
    ) -> JobStatus:
        """The job as soon as it differs from `seen` (None: has ended), or after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            status = self.status(tenant, id)
            changed = status.state.final if seen is None else status != seen
            if changed or time.monotonic() >= end:
                return status
            self._until_touched(tenant, id, min(end, time.monotonic() + _ESTIMATE_SECONDS))

    def _until_touched(self, tenant: str, id: str, end: float) -> None:
        """Until a worker has written the job's row, or a time has come: one cheap query a look."""
        query = select(jobs.c.state, jobs.c.stage, jobs.c.done, jobs.c.total).where(
            jobs.c.tenant == tenant, jobs.c.id == id
        )
        first: Any = None
        while time.monotonic() < end:
            with self._database.reading() as connection:
                row = connection.execute(query).first()
            if row is None or (first is not None and row != first):
                return
            first = row
            time.sleep(_LOOK_SECONDS)

    def search(self, gallery: Path, probe: bytes, timeout: float) -> Answer:
        """Sealed scores of a sealed probe against a gallery; no job: who asks waits.

        Raises:
            Busy: too many searches wait, or no worker is here.
            Failure: the probe or the gallery cannot be used.
            TimeoutError: it took too long.
        """
        return self._searcher.search(gallery, probe, timeout)

    def identity(self) -> str:
        """Engine and weights of the workers; "" until the first worker has started."""
        with self._database.reading() as connection:
            return str(connection.execute(select(queue.c.identity)).scalar_one())

    def forget(self, tenant: str) -> int:
        """Remove all that is known of a tenant's jobs; how many there were.

        One that runs is cancelled; its row goes with the old results.
        """
        with self._database.locked() as connection:
            mine = jobs.c.tenant == tenant
            running = and_(mine, jobs.c.state == State.RUNNING.value)
            count = connection.execute(jobs.update().where(running).values(cancel=True)).rowcount
            gone = jobs.delete().where(mine, jobs.c.state != State.RUNNING.value)
            count += connection.execute(gone).rowcount
            connection.execute(outputs.delete().where(outputs.c.tenant == tenant))
            return int(count)

    def close(self) -> None:
        """Let go of the database."""
        self._database.engine.dispose()

    def _digest(self, tenant: str, name: str, id: str) -> str:
        found = self._blobs.find(tenant, ROOMS[name], id)
        if not found.complete:
            raise NotComplete(f"sections of '{id}' are missing: send them first")
        return found.digest

    def _content(self, tenant: str, target: tuple[Room, str]) -> str | None:
        """The digest of what is in a job's target."""
        try:
            found = self._blobs.find(tenant, *target)
        except NotHere:
            return None
        return found.digest if found.complete else None

    def _require_room(self, connection: Connection) -> None:
        query = select(func.count()).where(jobs.c.state == State.QUEUED.value)
        if connection.execute(query).scalar_one() >= self._limits.waiting:
            raise Busy("too many jobs wait; try again later", _FULL_SECONDS)

    @staticmethod
    def _row(connection: Connection, tenant: str, id: str) -> Row[Any]:
        query = select(jobs).where(and_(jobs.c.tenant == tenant, jobs.c.id == id))
        row = connection.execute(query).first()
        if row is None:
            raise NotHere("no such job")
        return row


def open_queue(service: Service, settings: Settings) -> JobQueue:
    """The queue of a service, made if it has none yet.

    Raises:
        StoreError: its database cannot be reached, or is newer than this program.
        FileError: the folder cannot be written.
    """
    database = open_jobs(service)
    return JobQueue(database, service.blobs, SearchClient(service.folder), Limits.of(settings))
