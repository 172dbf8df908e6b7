"""An authority on the network, as devices and servers see it: they hold no key that decrypts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhe_face.remote.answers import Fields
from fhe_face.remote.connection import Connection

_ID: Final = re.compile("[0-9a-f]{32}")
_WORD: Final = re.compile("match|uncertain|unknown|healthy|refused")
_STATE: Final = re.compile("waiting|opened|answered")
_KIND: Final = re.compile("match|search|enrol")
_NAME: Final = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class Answered:
    """What an authority says about a request.

    state: "waiting", "opened" (taken, and nothing is said to this caller) or "answered"; answer:
    "match", "uncertain", "unknown", "healthy" or "refused", with a reason; subject: who was found,
    where names were asked for; score: for a token that may be told numbers.
    """

    request: str
    kind: str
    state: str
    answer: str | None = None
    reason: str | None = None
    subject: str | None = None
    score: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Without what is not there."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @classmethod
    def of(cls, fields: Fields) -> Answered:
        """BadAnswer: it is none."""
        told: Mapping[str, Any] = fields.values
        said = fields.match("answer", _WORD, "an answer") if "answer" in told else None
        score = told.get("score")
        return cls(
            fields.match("request", _ID, "the id of a request"),
            fields.match("kind", _KIND, "a kind of request"),
            fields.match("state", _STATE, "the state of a request"),
            said,
            fields.shown("reason") or None,
            fields.match("subject", _NAME, "a name") if "subject" in told else None,
            score if isinstance(score, float) else None,
        )


class RemoteAuthority:
    """One authority, asked with one token."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def announce(
        self,
        kind: str,
        token: str,
        *,
        subject: str | None = None,
        gallery: str | None = None,
        names: bool = False,
    ) -> Answered:
        """Tell of a request before its result comes; the same again changes nothing.

        kind: "match", "search" or "enrol". token: that the result will carry: the request token of
        an encrypted face, or the token of a probe, in hexadecimal.

        Raises:
            Refused: the token may not, or the request makes no sense there.
            Unreachable, BadAnswer: there is no authority.
        """
        asked = {"kind": kind, "token": token, "subject": subject, "gallery": gallery}
        document: dict[str, Any] = {k: v for k, v in asked.items() if v is not None}
        if names:
            document["names"] = True
        return Answered.of(self._connection.post("v1/requests", document).fields())

    def deliver(self, result: bytes) -> Answered:
        """Hand in a result; the answer, where this device has announced its request. The same
        result may be handed in again.

        Raises: as `announce`.
        """
        told = self._connection.request("POST", "v1/results", result, again=True)
        return Answered.of(told.fields())

    def answer(self, request: str) -> Answered:
        """What is said about a request of this device. Raises: as `announce`."""
        return Answered.of(self._connection.get(f"v1/requests/{request}").fields())

    def end(self, subject: str) -> None:
        """No enrolled face of a subject is compared with any more. Raises: as `announce`."""
        self._connection.delete(f"v1/subjects/{subject}")
