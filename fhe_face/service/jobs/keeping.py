"""What a worker does beside its jobs: who is alive, old results, what killed workers left."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Row, func, select

from fhe_core.files import explain
from fhe_face.service.blobs import Blobs
from fhe_face.service.errors import ServiceError
from fhe_face.service.jobs.claims import Claims
from fhe_face.service.jobs.opening import clock, insert_new
from fhe_face.service.jobs.records import Claim
from fhe_face.service.jobs.tables import UNFINISHED, jobs, outputs, queue, workers
from fhe_face.service.queueing import State
from fhe_face.service.rows import Room

RUN: Final = "run"
PARTS: Final = "parts"
#: Among the facts of outputs, which tells them from files that were sent: their job.
MADE_BY: Final = "job"
_LOCK: Final = ".lock"
_BATCH: Final = 500
#: Of a claim's output, also while it is being written.
_SCRATCH: Final = re.compile(r"\.?([0-9a-f]{32})-[0-9]+(?:\.[0-9a-f]+\.tmp)?")


@dataclass
class Presence:
    """A worker's lock file: the kernel lets go of it when the process ends, however it ends.

    So a worker that starts again, and others on the same machine, see at once that one is dead;
    workers of other machines see it when its lease has run out.
    """

    folder: Path
    worker: str
    _descriptor: int = -1

    def enter(self) -> None:
        """Be seen. FileError: the folder cannot be written."""
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            path = self.folder / (self.worker + _LOCK)
            hidden = path.with_name(f".{path.name}.tmp")  # nobody sees it before it is locked
            self._descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.replace(hidden, path)
        except OSError as error:
            raise explain(self.folder, "write", error) from error

    def leave(self) -> None:
        """Be gone, properly."""
        with suppress(OSError):
            (self.folder / (self.worker + _LOCK)).unlink()
            os.close(self._descriptor)

    def dead(self) -> list[str]:
        """Workers of this machine whose process is gone."""
        found = []
        for path in self.folder.glob(f"{host()}.*{_LOCK}"):
            name = path.name.removesuffix(_LOCK)
            if name != self.worker and _is_free(path):
                found.append(name)
        return found

    def bury(self, worker: str) -> None:
        """Its jobs are others' by now: forget it."""
        with suppress(OSError):
            (self.folder / (worker + _LOCK)).unlink()


def host() -> str:
    """This machine's name, as it begins names of workers."""
    name = socket.gethostname().split(".")[0]
    return "".join(c if c.isalnum() else "-" for c in name)[:40] or "host"


def _is_free(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


@dataclass(frozen=True)
class Keeper:
    """Housekeeping of one worker; every call is one or a few short transactions."""

    claims: Claims
    presence: Presence
    blobs: Blobs
    folder: Path

    def seen(self) -> None:
        """This worker is alive, and so are its jobs."""
        self.claims.beat()
        seen(self.claims)

    def gone(self) -> None:
        """This worker ends."""
        gone(self.claims)
        self.presence.leave()

    def bury(self) -> int:
        """Give jobs of dead workers back; how many."""
        count = 0
        for worker in self.presence.dead():
            count += self.claims.died("it was killed", [worker])
            with self.claims.database.locked() as connection:
                connection.execute(workers.delete().where(workers.c.id == worker))
            self.presence.bury(worker)
        return count + self.claims.bury_expired()

    def sweep(self) -> int:
        """Remove results that were kept long enough, and what no job needs; how many results."""
        self._sweep_parts()
        with self.claims.database.reading() as connection:
            now = clock(connection)
            before = now - self.claims.limits.results_seconds
            query = select(jobs).where(jobs.c.finished < before).limit(_BATCH)
            rows = connection.execute(query).all()
        for row in rows:
            self._forget(row)
        with self.claims.database.locked() as connection:
            connection.execute(workers.delete().where(workers.c.seen < now - 3600))
        return len(rows)

    def _forget(self, row: Row[Any]) -> None:
        """Remove a job that ended long ago, and its output, unless a newer job has made it anew."""
        with self.claims.database.locked() as connection:
            connection.execute(jobs.delete().where(jobs.c.number == row.number))
            newer = select(func.count()).where(
                jobs.c.tenant == row.tenant,
                jobs.c.target_room == row.target_room,
                jobs.c.target == row.target,
                jobs.c.number > row.number,
            )
            if row.state != State.DONE.value or connection.execute(newer).scalar_one():
                return
            connection.execute(
                outputs.delete().where(
                    outputs.c.tenant == row.tenant,
                    outputs.c.room == row.target_room,
                    outputs.c.resource == row.target,
                )
            )
        place = row.tenant, Room(row.target_room), row.target
        with suppress(ServiceError):
            if MADE_BY in self.blobs.find(*place).facts:  # else its tenant has sent it since
                self.blobs.delete(*place)

    def _sweep_parts(self) -> None:
        """What jobs that have ended left; who ends a job removes it, unless it is killed."""
        left = {path: path.name for path in _entries(self.folder / PARTS)}
        for path in _entries(self.blobs.scratch()):
            written = _SCRATCH.fullmatch(path.name)
            if written is not None:
                left[path] = written[1]
        if not left:
            return
        with self.claims.database.reading() as connection:
            needed = set(connection.execute(select(jobs.c.id).where(UNFINISHED)).scalars())
        for path, job in left.items():
            if job not in needed and path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif job not in needed:
                with suppress(OSError):
                    path.unlink()


class Dispatcher(Keeper):
    """Of a worker that has others compute: those are seen, not itself."""

    def seen(self) -> None:
        """Its jobs are alive."""
        self.claims.beat()


def seen(claims: Claims) -> None:
    """Somebody who computes is alive: a worker, or a seat of one."""
    with claims.database.locked() as connection:
        row = {"id": claims.worker, "seen": clock(connection)}
        if not insert_new(connection, workers, row):
            mine = workers.c.id == claims.worker
            connection.execute(workers.update().where(mine).values(seen=row["seen"]))


def gone(claims: Claims) -> None:
    """It computes no more."""
    with claims.database.locked() as connection:
        connection.execute(workers.delete().where(workers.c.id == claims.worker))


def scratch_name(claim: Claim) -> str:
    """Of a claim's output; another worker's claim of the same job has another one."""
    return f"{claim.id}-{claim.token}"


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def tell_identity(claims: Claims, identity: Callable[[], str]) -> None:
    """Write down which engine and weights there are; the API names outputs by them."""
    name = identity()
    with claims.database.locked() as connection:
        connection.execute(queue.update().values(identity=name))
