"""Requests: announced by a device, opened once, answered once. Every step is one transaction.

A result counts before it is opened, and its digest is kept then. So whatever happens in between, a
request is only ever answered from that very result: the same again gets the same word, another one
gets none.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from fhe_face.authority import log
from fhe_face.authority.alarms import raise_alarms
from fhe_face.authority.limits import require_room
from fhe_face.authority.policy import Policy
from fhe_face.authority.tables import requests
from fhe_face.authority.words import Caller, Kind, State, Word
from fhe_face.service.errors import NotHere, OtherContent, TooManyRequests
from fhe_face.store.database import Database


@dataclass(frozen=True)
class Question:
    """What a device announces. token: that the result will carry, in hexadecimal."""

    kind: Kind
    token: str
    subject: str | None = None
    gallery: str | None = None
    names: bool = False

    @property
    def id(self) -> str:
        """Of the request: follows from the token."""
        return hashlib.sha256(f"request {self.token}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Request:
    """One that was announced, as its row is. sender: of the key that its face is encrypted with."""

    id: str
    question: Question
    device: str
    expires: int
    state: State
    digest: str | None
    word: Word | None
    found: str | None
    sender: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What opening a result gave. near: for alarms only; found: who, where names were asked for."""

    word: Word
    near: bool = False
    found: str | None = None


class Requests:
    """All requests of an authority."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy

    def announce(self, caller: Caller, question: Question, at: int) -> Request:
        """A new request; the same of the same device again is the one that is there.

        Raises:
            OtherContent: its token was announced by another device, or for another question.
            TooManyRequests: too many of this device wait for results.
        """
        with self._database.locked() as connection:
            found = _by_token(connection, question.token)
            if found is not None and not (found.state is State.WAITING and found.expires <= at):
                if (found.device, found.question) != (caller.device, question):
                    raise OtherContent("this token was announced before, and not like this")
                return found
            self._forget_expired(connection, caller.device, question.token, at)
            self._require_few(connection, caller.device)
            expires = at + int(self._policy.request_hours * 3600)
            connection.execute(
                requests.insert().values(
                    id=question.id,
                    kind=question.kind.value,
                    token=question.token,
                    device=caller.device,
                    sender=caller.sender,
                    subject=question.subject,
                    gallery=question.gallery,
                    names=question.names,
                    created=at,
                    expires=expires,
                    state=State.WAITING.value,
                )
            )
            line = _line("announced", question, question.id, caller, question.kind.value)
            log.write(connection, line, at)
            return _require(connection, question.token)

    def by_token(self, token: str) -> Request | None:
        """The request that a result's token belongs to."""
        with self._database.reading() as connection:
            return _by_token(connection, token)

    def of_device(self, id: str, device: str) -> Request:
        """NotHere: this device has announced no such request, whoever else has."""
        chosen = requests.c.id == id, requests.c.device == device
        with self._database.reading() as connection:
            row = connection.execute(select(requests).where(*chosen)).first()
        if row is None:
            raise NotHere("this device has announced no such request")
        return _request(row)

    def claim(self, request: Request, digest: str, caller: Caller, at: int) -> Request:
        """Count a result before it is opened; the request as it is then.

        An answered one comes back as it is, and one that was opened before may be opened again,
        both for the same result only. caller: who hands the result in.

        Raises:
            OtherContent: another result was opened for this request.
            NotHere: the request has expired.
            TooManyRequests: the device, or the subject, has had as many answers as may be.
        """
        with self._database.locked() as connection:
            now = _by_token(connection, request.question.token)
            if now is None or (now.state is State.WAITING and now.expires <= at):
                raise NotHere("the request has expired: announce it again")
            if now.state is not State.WAITING:
                if now.digest != digest:
                    raise OtherContent("the request was decided by another result")
                return now
            require_room(connection, self._policy, now.device, now.question.subject, at)
            values = {"state": State.OPENED.value, "opened": at, "digest": digest}
            connection.execute(requests.update().where(requests.c.id == now.id).values(**values))
            line = _line("opened", now.question, now.id, caller, now.question.kind.value)
            log.write(connection, line, at)
            return _require(connection, now.question.token)

    def settle(self, request: Request, verdict: Verdict, at: int) -> Request:
        """Keep the answer, before anybody hears it; where there is one already, that one counts."""
        with self._database.locked() as connection:
            now = _require(connection, request.question.token)
            if now.state is State.ANSWERED:
                return now
            values = {
                "state": State.ANSWERED.value,
                "word": verdict.word.value,
                "found": verdict.found,
                "near": verdict.near,
            }
            connection.execute(requests.update().where(requests.c.id == now.id).values(**values))
            said = log.Line(
                "answered",
                now.device,
                subject=verdict.found or now.question.subject or "",
                request=now.id,
                word=verdict.word.value,
            )
            log.write(connection, said, at)
            if verdict.near:
                raise_alarms(connection, self._policy, now.device, now.question.subject, at)
            return _require(connection, now.question.token)

    def note(self, line: log.Line, at: int) -> None:
        """Add a line to the log."""
        with self._database.locked() as connection:
            log.write(connection, line, at)

    def enrolled(self, subject: str | None, token: str) -> bool:
        """Whether a face is one that the subject may be compared with."""
        chosen = _enrolled(subject)
        with self._database.reading() as connection:
            query = select(requests.c.id).where(*chosen, requests.c.token == token)
            return connection.execute(query).first() is not None

    def end(self, subject: str, caller: Caller, at: int) -> int:
        """No enrolled face of a subject counts any more; how many there were."""
        with self._database.locked() as connection:
            ended = connection.execute(
                requests.update().where(*_enrolled(subject)).values(ended=at)
            ).rowcount
            line = log.Line("ended", caller.device, caller.token, subject)
            log.write(connection, line, at)
        return int(ended)

    def _forget_expired(self, connection: Connection, device: str, token: str, at: int) -> None:
        """Requests that were never opened, and whose time is over."""
        over = requests.c.state == State.WAITING.value, requests.c.expires <= at
        whose = (requests.c.device == device) | (requests.c.token == token)
        connection.execute(requests.delete().where(*over, whose))

    def _require_few(self, connection: Connection, device: str) -> None:
        waiting = requests.c.device == device, requests.c.state == State.WAITING.value
        query = select(func.count()).select_from(requests).where(*waiting)
        if connection.execute(query).scalar_one() >= self._policy.waiting:
            raise TooManyRequests("too many requests of this device wait for their results", 60.0)


def _enrolled(subject: str | None) -> tuple[Any, ...]:
    return (
        requests.c.kind == Kind.ENROL.value,
        requests.c.gallery.is_(None),
        requests.c.subject == subject,
        requests.c.word == Word.HEALTHY.value,
        requests.c.ended.is_(None),
    )


def _by_token(connection: Connection, token: str) -> Request | None:
    row = connection.execute(select(requests).where(requests.c.token == token)).first()
    return None if row is None else _request(row)


def _require(connection: Connection, token: str) -> Request:
    """One that was opened is never deleted."""
    found = _by_token(connection, token)
    assert found is not None
    return found


def _request(row: Any) -> Request:
    question = Question(Kind(row.kind), row.token, row.subject, row.gallery, bool(row.names))
    word = None if row.word is None else Word(row.word)
    return Request(
        row.id,
        question,
        row.device,
        int(row.expires),
        State(row.state),
        row.digest,
        word,
        row.found,
        row.sender,
    )


def _line(event: str, question: Question, id: str, caller: Caller, word: str) -> log.Line:
    return log.Line(event, caller.device, caller.token, question.subject or "", id, word)
