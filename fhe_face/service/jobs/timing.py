"""How long jobs take, and so when one will be done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from fhe_face.service.jobs.opening import clock
from fhe_face.service.jobs.records import Kind
from fhe_face.service.jobs.tables import jobs, workers
from fhe_face.service.queueing import JobStatus, State
from fhe_face.service.rows import Room

#: Jobs whose time counts.
_RECENT: Final = 20
_ALIVE_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Pace:
    """Seconds that the last jobs of each kind took, and how many workers share what waits."""

    now: float
    seconds: Mapping[str, float]
    workers: int

    @classmethod
    def of(cls, connection: Connection) -> Pace:
        """As measured now."""
        now = clock(connection)
        seconds = {}
        for kind in Kind:
            took = (
                select((jobs.c.finished - jobs.c.started).label("took"))
                .where(jobs.c.kind == kind.value, jobs.c.state == State.DONE.value)
                .order_by(jobs.c.finished.desc())
                .limit(_RECENT)
                .subquery()
            )
            mean = connection.execute(select(func.avg(took.c.took))).scalar()
            if mean is not None:
                seconds[kind.value] = float(mean)
        alive = select(func.count()).where(workers.c.seen >= now - _ALIVE_SECONDS)
        return cls(now, seconds, int(connection.execute(alive).scalar_one()))

    def status(self, connection: Connection, row: Row[Any]) -> JobStatus:
        """A row as its tenant sees it."""
        position = None
        if row.state == State.QUEUED.value:
            position = _before(connection, row.number)
        return JobStatus(
            id=row.id,
            kind=row.kind,
            state=State(row.state),
            position=position,
            done=row.done,
            total=row.total,
            stage=row.stage,
            eta_seconds=self._left(connection, row),
            error=None if row.error is None else json.loads(row.error),
            target_room=Room(row.target_room),
            target=row.target,
            created=round(row.created, 3),
            started=None if row.started is None else round(row.started, 3),
            finished=None if row.finished is None else round(row.finished, 3),
        )

    def _left(self, connection: Connection, row: Row[Any]) -> float | None:
        """Seconds until its end: what is before it, shared by all workers, and itself."""
        own = self.seconds.get(row.kind)
        if own is None or State(row.state).final:
            return None
        if row.state == State.RUNNING.value:
            return max(0.0, own - (self.now - (row.started or self.now)))
        before = select(jobs.c.kind, func.count()).where(
            jobs.c.number < row.number,
            jobs.c.state.in_([State.QUEUED.value, State.RUNNING.value]),
        )
        counts = connection.execute(before.group_by(jobs.c.kind)).all()
        waiting = sum(self.seconds.get(kind, own) * count for kind, count in counts)
        return float(waiting / max(1, self.workers) + own)


def _before(connection: Connection, number: int) -> int:
    query = select(func.count()).where(jobs.c.state == State.QUEUED.value, jobs.c.number < number)
    return int(connection.execute(query).scalar_one())
