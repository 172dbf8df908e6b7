"""The queue as one worker sees it: claiming jobs, telling progress, ending or losing them.

Every write names the claim's token. Who was taken for dead, and is not, can write nothing more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, literal, or_, select

from fhe_core.errors import Failure
from fhe_face.service.jobs.ends import error_text, time_limit_error
from fhe_face.service.jobs.opening import clock, insert_new
from fhe_face.service.jobs.records import Claim, JobFailed, Kind, Limits
from fhe_face.service.jobs.tables import jobs, outputs, queue
from fhe_face.service.jobs.turns import Served, Turns, Waiting
from fhe_face.service.queueing import State
from fhe_face.service.rows import Room
from fhe_face.store.database import Database

_LONGEST_PAUSE_SECONDS = 300.0
#: Parts a worker's name from that of a seat of its.
_SEAT = "/"


class Lost(Failure):
    """The claim is no longer ours: its lease had run out, or the job was removed."""

    code = "lost"


@dataclass(frozen=True)
class Claims:
    """What a worker called `worker` does in the database.

    A worker that computes on several machines has a *seat* for each, which claims for itself.
    What is done for a worker is done for its seats as well.
    """

    database: Database
    worker: str
    limits: Limits

    def seat(self, name: str) -> Claims:
        """Claims of one of this worker's machines."""
        return replace(self, worker=f"{self.worker}{_SEAT}{name}")

    def claim(self, turns: Turns, loaded: Collection[str] = ()) -> Claim | None:
        """The next job; None if none waits. Two workers never get the same.

        loaded: digests of the keys that are in memory.
        """
        with self.database.reading() as connection:  # most of the time there is nothing
            if not _waiting(connection, clock(connection)):
                return None
        with self.database.locked() as connection:
            connection.execute(select(queue.c.number).with_for_update()).one()
            now = clock(connection)
            chosen = turns.choose(_waiting(connection, now), loaded, time.monotonic())
            if chosen is None:
                return None
            row = connection.execute(select(jobs).where(jobs.c.number == chosen.first)).one()
            connection.execute(
                jobs.update()
                .where(jobs.c.number == row.number)
                .values(
                    state=State.RUNNING.value,
                    stage="starting",
                    done=0,
                    total=0,
                    worker=self.worker,
                    token=row.token + 1,
                    lease=now + self.limits.lease_seconds,
                    started=now,
                    since=now,
                )
            )
            return _claim(row, row.token + 1)

    def served(self) -> list[Served]:
        """When jobs were begun last, by whichever worker."""
        query = (
            select(jobs.c.tenant, jobs.c.key, func.max(jobs.c.started))
            .where(jobs.c.started.is_not(None))
            .group_by(jobs.c.tenant, jobs.c.key)
        )
        with self.database.reading() as connection:
            now = clock(connection)
            rows = connection.execute(query).all()
        return [Served(tenant, key, now - when) for tenant, key, when in rows]

    def progress(self, claim: Claim, stage: str, done: int, total: int) -> bool:
        """Tell what is being done; whether somebody asked to cancel the job. Lost."""
        with self.database.locked() as connection:
            values = {"stage": stage[:200], "done": done, "total": total}
            statement = jobs.update().where(self._mine(claim)).values(**values)
            row = connection.execute(statement.returning(jobs.c.cancel)).first()
        if row is None:
            raise Lost
        return bool(row.cancel)

    def next_part(self, claim: Claim) -> None:
        """Another part begins, since one has ended: what went wrong before does not count. Lost."""
        with self.database.locked() as connection:
            values = {"since": clock(connection), "deaths": 0, "failures": 0}
            statement = jobs.update().where(self._mine(claim)).values(**values)
            if not connection.execute(statement).rowcount:
                raise Lost

    def output(self, tenant: str, name: str) -> tuple[Room, str, str] | None:
        """Where an output is, if it was computed: room, resource, digest of its content."""
        query = select(outputs).where(outputs.c.tenant == tenant, outputs.c.name == name)
        with self.database.reading() as connection:
            row = connection.execute(query).first()
        return None if row is None else (Room(row.room), row.resource, row.digest)

    def finish(self, claim: Claim, name: str, digest: str) -> None:
        """The output is in place. Lost."""
        with self.database.locked() as connection:
            now = clock(connection)
            self._end(connection, claim, State.DONE, now, stage="done", error=None)
            same = and_(outputs.c.tenant == claim.tenant, outputs.c.name == name)
            place = {
                "room": claim.target_room.value,
                "resource": claim.target,
                "digest": digest,
                "created": now,
            }
            new = {"tenant": claim.tenant, "name": name, **place}
            if not insert_new(connection, outputs, new):
                connection.execute(outputs.update().where(same).values(**place))

    def cancelled(self, claim: Claim) -> None:
        """It was stopped because somebody asked for it. Lost."""
        with self.database.locked() as connection:
            self._end(connection, claim, State.CANCELLED, clock(connection))

    def fail(self, claim: Claim, error: JobFailed) -> None:
        """It can never be computed. Lost."""
        with self.database.locked() as connection:
            failed = error_text(error.reason, str(error))
            self._end(connection, claim, State.FAILED, clock(connection), error=failed)

    def try_again(self, claim: Claim, error: JobFailed) -> None:
        """It failed by what may pass: try again after a pause, unless it was tried enough. Lost."""
        failures = claim.failures + 1
        with self.database.locked() as connection:
            now = clock(connection)
            if failures > self.limits.retries:
                text = f"failed {failures} times, at last: {error}"
                failed = error_text("retries", text)
                self._end(connection, claim, State.FAILED, now, error=failed)
                return
            pause = self._pause(claim.failures)
            self._back(connection, claim, failures=failures, not_before=now + pause)

    def hand_back(self, claim: Claim) -> None:
        """Somebody else shall go on with it: this worker was asked to end. Lost."""
        with self.database.locked() as connection:
            self._back(connection, claim)

    def beat(self) -> None:
        """Renew the leases of this worker."""
        with self.database.locked() as connection:
            lease = clock(connection) + self.limits.lease_seconds
            mine = and_(_of(self.worker), _running())
            connection.execute(jobs.update().where(mine).values(lease=lease))

    def died(self, why: str, workers: Collection[str] | None = None) -> int:
        """A lane of this worker (or all of `workers`) died; the number of jobs that it had.

        Each is tried again, or set aside if it was there too often when something died.
        """
        return self._bury(_of(*(workers or [self.worker])), why)

    def died_alone(self, claim: Claim, why: str) -> None:
        """What computed this job died, and nothing else did; as `died` for it alone. Lost."""
        if not self._bury(self._mine(claim), why):
            raise Lost

    def bury_expired(self) -> int:
        """The same for all jobs whose worker has not been heard of."""
        with self.database.reading() as connection:
            now = clock(connection)
        return self._bury(jobs.c.lease < now, "its worker was not heard of any more")

    def give_back_all(self) -> int:
        """Jobs of this worker whose lane was ended on purpose; no death of theirs."""
        with self.database.locked() as connection:
            mine = and_(_of(self.worker), _running())
            statement = jobs.update().where(mine).values(**_QUEUED)
            return int(connection.execute(statement).rowcount)

    def overdue(self, slack: float) -> bool:
        """Whether a part has taken `slack` longer than it may: it hangs."""
        with self.database.reading() as connection:
            query = select(func.count()).where(self._late(clock(connection), slack))
            return bool(connection.execute(query).scalar_one())

    def time_out(self, slack: float) -> None:
        """End this worker's jobs of which a part has taken `slack` longer than it may."""
        with self.database.locked() as connection:
            late = self._late(clock(connection), slack)
            values = {
                "state": State.FAILED.value,
                "finished": clock(connection),
                "lease": None,
                "error": time_limit_error(self.limits.job_seconds),
            }
            connection.execute(jobs.update().where(late).values(**values))

    def _bury(self, which: ColumnElement[bool], why: str) -> int:
        with self.database.locked() as connection:
            now = clock(connection)
            found = select(jobs).where(and_(which, _running())).with_for_update()
            rows = connection.execute(found).all()
            for row in rows:
                values = self._after_death(row, now, why)
                same = and_(jobs.c.number == row.number, jobs.c.token == row.token)
                connection.execute(jobs.update().where(same, _running()).values(**values))
            return len(rows)

    def _after_death(self, row: Row[Any], now: float, why: str) -> dict[str, Any]:
        deaths = row.deaths + 1
        if row.cancel:
            return {"state": State.CANCELLED.value, "finished": now, "lease": None}
        if deaths >= self.limits.deaths:
            text = f"the worker died {deaths} times while computing this, at last: {why}"
            return {
                "state": State.FAILED.value,
                "finished": now,
                "lease": None,
                "deaths": deaths,
                "error": error_text("set-aside", text),
            }
        pause = 0.0 if deaths == 1 else self._pause(deaths - 2)
        return {**_QUEUED, "deaths": deaths, "not_before": now + pause}

    def _pause(self, before: int) -> float:
        """Seconds until the next try, after so many earlier ones."""
        return min(self.limits.pause_seconds * 2.0 ** min(before, 20), _LONGEST_PAUSE_SECONDS)

    def _late(self, now: float, slack: float) -> ColumnElement[bool]:
        return and_(
            _of(self.worker), _running(), jobs.c.since < now - self.limits.job_seconds - slack
        )

    def _mine(self, claim: Claim) -> ColumnElement[bool]:
        return and_(jobs.c.number == claim.number, jobs.c.token == claim.token, _running())

    def _back(self, connection: Connection, claim: Claim, **values: Any) -> None:
        statement = jobs.update().where(self._mine(claim)).values(**_QUEUED, **values)
        if not connection.execute(statement).rowcount:
            raise Lost

    def _end(
        self, connection: Connection, claim: Claim, state: State, now: float, **values: Any
    ) -> None:
        row = {"state": state.value, "finished": now, "lease": None, **values}
        if not connection.execute(jobs.update().where(self._mine(claim)).values(**row)).rowcount:
            raise Lost


_QUEUED: dict[str, Any] = {
    "state": State.QUEUED.value,
    "stage": "waiting",
    "done": 0,
    "total": 0,
    "lease": None,
}


def _of(*workers: str) -> ColumnElement[bool]:
    """Jobs of these workers, and of their seats."""
    seats = [jobs.c.worker.startswith(name + _SEAT, autoescape=True) for name in workers]
    return or_(jobs.c.worker.in_(workers), *seats)


def _running() -> ColumnElement[bool]:
    return jobs.c.state == State.RUNNING.value


def _waiting(connection: Connection, now: float) -> list[Waiting]:
    """The oldest job of each tenant and key; none whose like is being computed right now."""
    other = jobs.alias()
    beside = (
        select(literal(1))
        .where(other.c.state == State.RUNNING.value)
        .where(other.c.tenant == jobs.c.tenant, other.c.work == jobs.c.work)
        .exists()
    )
    query = (
        select(jobs.c.tenant, jobs.c.key, func.min(jobs.c.number))
        .where(jobs.c.state == State.QUEUED.value, jobs.c.not_before <= now, ~beside)
        .group_by(jobs.c.tenant, jobs.c.key)
    )
    return [Waiting(tenant, key, first) for tenant, key, first in connection.execute(query)]


def _claim(row: Row[Any], token: int) -> Claim:
    return Claim(
        number=row.number,
        id=row.id,
        tenant=row.tenant,
        kind=Kind(row.kind),
        inputs=json.loads(row.inputs),
        key=row.key,
        work=row.work,
        target_room=Room(row.target_room),
        target=row.target,
        token=token,
        failures=row.failures,
        deaths=row.deaths,
    )
