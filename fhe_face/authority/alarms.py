"""Somebody may be searching for a threshold: many close answers, of one device or about one person.

An alarm changes no answer: that it was raised would tell of scores. It is for the operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from fhe_face.authority import log
from fhe_face.authority.limits import DAY, HOUR, since
from fhe_face.authority.policy import Policy
from fhe_face.authority.tables import alarms, requests
from fhe_face.service.errors import NotHere
from fhe_face.store.database import Database

DEVICE: Final = "close answers to a device"
SUBJECT: Final = "close answers about a person"


@dataclass(frozen=True)
class Alarm:
    """who: a device or a subject; closed: when an operator has looked at it."""

    number: int
    at: int
    what: str
    who: str
    closed: int | None


def raise_alarms(
    connection: Connection, policy: Policy, device: str, subject: str | None, at: int
) -> None:
    """After a close answer: an alarm where there were too many, unless it is open already."""
    for what, column, who in (
        (DEVICE, requests.c.device, device),
        (SUBJECT, requests.c.subject, subject),
    ):
        if who is None:
            continue
        near = column == who, requests.c.near.is_(True)
        counts = [
            connection.execute(
                select(func.count()).select_from(requests).where(*near, since(seconds, at))
            ).scalar_one()
            for seconds in (HOUR, DAY)
        ]
        if counts[0] >= policy.near_hour or counts[1] >= policy.near_day:
            _raise(connection, what, who, at)


def _raise(connection: Connection, what: str, who: str, at: int) -> None:
    same = alarms.c.what == what, alarms.c.who == who, alarms.c.closed.is_(None)
    if connection.execute(select(alarms.c.number).where(*same)).first() is not None:
        return
    connection.execute(alarms.insert().values(at=at, what=what, who=who))
    line = {"device": who} if what == DEVICE else {"subject": who}
    log.write(connection, log.Line("alarm", word=what, **line), at)


def all_alarms(database: Database, open_only: bool = True) -> list[Alarm]:
    """In order."""
    query = select(alarms).order_by(alarms.c.number)
    if open_only:
        query = query.where(alarms.c.closed.is_(None))
    with database.reading() as connection:
        rows = connection.execute(query)
        return [Alarm(r.number, r.at, r.what, r.who, r.closed) for r in rows]


def close_alarm(database: Database, number: int, at: int) -> None:
    """An operator has looked at it; the next close answers may raise another one.

    Raises:
        NotHere: no alarm of that number is open.
    """
    with database.locked() as connection:
        chosen = alarms.c.number == number, alarms.c.closed.is_(None)
        if not connection.execute(alarms.update().where(*chosen).values(closed=at)).rowcount:
            raise NotHere(f"no alarm {number} is open")
        log.write(connection, log.Line("alarm closed", word=str(number)), at)
