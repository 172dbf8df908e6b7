"""How many answers a device, and a person, get. Counted from the requests that were opened."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select

from fhe_face.authority.policy import Policy
from fhe_face.authority.tables import requests
from fhe_face.service.errors import TooManyRequests

HOUR: Final = 3600
DAY: Final = 24 * HOUR


def since(seconds: int, at: int) -> ColumnElement[bool]:
    """Opened within so many seconds before `at`; also after it: a clock that was set back forgets
    nobody."""
    return requests.c.opened > at - seconds


def require_room(
    connection: Connection, policy: Policy, device: str, subject: str | None, at: int
) -> None:
    """One more answer is within all limits.

    Raises:
        TooManyRequests: it is not; nothing was counted.
    """
    own = requests.c.device == device
    _require(connection, own, HOUR, policy.device_hour, at, "to this device in an hour")
    _require(connection, own, DAY, policy.device_day, at, "to this device in a day")
    if subject is not None:
        about = requests.c.subject == subject
        _require(connection, about, HOUR, policy.subject_hour, at, "about this person in an hour")
        _require(connection, about, DAY, policy.subject_day, at, "about this person in a day")
    anyone = requests.c.opened.is_not(None)
    _require(connection, anyone, DAY, policy.all_day, at, "to all devices in a day")


def _require(
    connection: Connection, whose: Any, seconds: int, most: int, at: int, said: str
) -> None:
    count, first = connection.execute(
        select(func.count(), func.min(requests.c.opened)).where(whose, since(seconds, at))
    ).one()
    if count >= most:
        wait = seconds if first is None else max(1, int(first) + seconds - at)
        raise TooManyRequests(f"as many answers were given {said} as may be", min(wait, seconds))
