"""Who asked what, and what was said: a chain of lines, of which none can be changed unnoticed.

Each line has the SHA-256 of itself and of the hash before. Whoever can write the file can make a
whole new chain: keep the last hash somewhere else (`fhe-face authority log --verify` prints it),
and compare. No line holds a score, or anything else that was decrypted beyond the word itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from fhe_core.errors import Failure
from fhe_face.authority.tables import log
from fhe_face.store.database import Database

#: Before the first line.
START: Final = "0" * 64


class BrokenLog(Failure):
    """A line was changed, removed or put in."""

    code = "broken-log"


@dataclass(frozen=True)
class Line:
    """event: "announced", "opened", "answered", "refused" (before anything was opened), "numbers"
    (a score was told), "alarm", "ended" (an enrolled face), or what an operator did. token: its
    public id; word: the answer, or a code."""

    event: str
    device: str = ""
    token: str = ""
    subject: str = ""
    request: str = ""
    word: str = ""


@dataclass(frozen=True)
class Written:
    """A line of the log with its place."""

    number: int
    at: int
    line: Line
    hash: str


@dataclass(frozen=True)
class Verified:
    """What a whole log is: how many lines, and the last hash."""

    lines: int
    head: str


def write(connection: Connection, line: Line, at: int) -> None:
    """Add a line, inside a transaction that nobody writes beside."""
    last = connection.execute(
        select(log.c.number, log.c.hash).order_by(log.c.number.desc()).limit(1)
    ).first()
    number, before = (1, START) if last is None else (int(last.number) + 1, str(last.hash))
    named = dict(zip(Line.__dataclass_fields__, astuple(line), strict=True))
    own = _hash(before, number, at, line)
    connection.execute(log.insert().values(number=number, at=at, hash=own, **named))


def read(database: Database, limit: int = 1000) -> list[Written]:
    """The newest, the oldest of them first."""
    query = select(log).order_by(log.c.number.desc()).limit(limit)
    with database.reading() as connection:
        return [_written(row) for row in reversed(connection.execute(query).all())]


def verify(database: Database, head: str | None = None) -> Verified:
    """Every line follows from the one before.

    head: a hash that was kept; it must be of this log.

    Raises:
        BrokenLog: they do not; or no line has that hash.
    """
    before, number, known = START, 0, head is None or head == START
    for written in _all(database):
        number += 1
        own = _hash(before, number, written.at, written.line)
        if written.number != number or written.hash != own:
            raise BrokenLog(f"line {number} of the log was changed, removed or put in")
        before = own
        known = known or own == head
    if not known:
        raise BrokenLog("no line of the log has the hash that was kept: it was made anew")
    return Verified(number, before)


def _all(database: Database) -> Iterator[Written]:
    """Whatever is in the table, by number; one line at a time is in memory."""
    with database.snapshot() as connection:
        for row in connection.execute(select(log).order_by(log.c.number)):
            yield _written(row)


def _written(row: Any) -> Written:
    line = Line(**{name: str(getattr(row, name)) for name in Line.__dataclass_fields__})
    return Written(int(row.number), int(row.at), line, str(row.hash))


def _hash(before: str, number: int, at: int, line: Line) -> str:
    content = json.dumps([before, number, at, *astuple(line)])
    return hashlib.sha256(content.encode()).hexdigest()
