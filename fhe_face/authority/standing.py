"""How much of its limits everybody has used: for an operator, who may see numbers of requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from fhe_face.authority.limits import DAY, HOUR, since
from fhe_face.authority.policy import Policy
from fhe_face.authority.tables import requests
from fhe_face.authority.words import State
from fhe_face.store.database import Database


@dataclass(frozen=True)
class Use:
    """Of a device, a subject, or all. hour, day: answers, beside as many as there may be; near:
    close ones in a day; waiting: requests without a result."""

    what: str
    who: str
    hour: int
    hour_limit: int | None
    day: int
    day_limit: int
    near: int
    waiting: int

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return dict(vars(self))


def uses(database: Database, policy: Policy, at: int) -> list[Use]:
    """All devices, all subjects and everybody together, those of the last day."""
    limits = (
        ("device", requests.c.device, policy.device_hour, policy.device_day),
        ("person", requests.c.subject, policy.subject_hour, policy.subject_day),
    )
    found = []
    with database.snapshot() as connection:
        for what, column, hour, day in limits:
            query = select(column).where(column.is_not(None)).distinct().order_by(column)
            for (who,) in connection.execute(query).all():
                use = _use(connection, what, str(who), column == who, (hour, day), at)
                if use.day or use.waiting:
                    found.append(use)
        everybody = requests.c.id.is_not(None)
        found.append(_use(connection, "all", "", everybody, (None, policy.all_day), at))
    return found


def _use(
    connection: Connection,
    what: str,
    who: str,
    whose: Any,
    limits: tuple[int | None, int],
    at: int,
) -> Use:
    def count(*more: Any) -> int:
        query = select(func.count()).select_from(requests).where(whose, *more)
        return int(connection.execute(query).scalar_one())

    near = requests.c.near.is_(True), since(DAY, at)
    waiting = requests.c.state == State.WAITING.value, requests.c.expires > at
    hour, day = count(since(HOUR, at)), count(since(DAY, at))
    return Use(what, who, hour, limits[0], day, limits[1], count(*near), count(*waiting))
