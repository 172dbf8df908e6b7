"""Reading what a server says. Nothing of it is believed: each value has a type, a range, a length.

Raises nothing but BadAnswer, whose text quotes the server in one printable line.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from fhe_core.files import one_line
from fhe_face.remote.errors import BadAnswer, Refused

#: Names of resources: the caller's own, or a server's; nothing that a path could be made of.
ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_CODE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PROBLEM: Final = "application/problem+json"
UNAUTHORISED: Final = 401
#: Of a text for people.
TEXT: Final = 500
_QUOTED: Final = 80


def parse(body: bytes, where: str) -> Any:
    """JSON, strictly. BadAnswer: anything else."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise BadAnswer(f"{where}: the server's answer is not JSON: {quoted(body)}") from None


def quoted(value: object) -> str:
    """The beginning of something that the server said, for a message."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return repr(one_line(text[: 4 * _QUOTED], _QUOTED))


@dataclass(frozen=True)
class Fields:
    """An object of an answer. where: what was asked for, for messages."""

    values: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, value: Any, where: str) -> Fields:
        """BadAnswer: the value is no JSON object."""
        if not isinstance(value, dict):
            raise BadAnswer(f"{where}: the server's answer is no JSON object: {quoted(value)}")
        return cls(value, where)

    def text(self, name: str, most: int = TEXT) -> str:
        """Some text of at most so many characters, as the server wrote it."""
        value = self.values.get(name)
        if not isinstance(value, str) or len(value) > most or not _encodable(value):
            self._wrong(name, f"text of at most {most} characters")
        return value

    def shown(self, name: str) -> str:
        """Text for people: one printable line, however long it was; empty where there is none."""
        value = self.values.get(name)
        return one_line(value[: 4 * TEXT], TEXT) if isinstance(value, str) else ""

    def match(self, name: str, pattern: re.Pattern[str], what: str) -> str:
        """Text that a pattern describes."""
        value = self.values.get(name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            self._wrong(name, what)
        return value

    def id(self, name: str) -> str:
        """The name of a resource."""
        return self.match(name, ID, "a name of 1 to 128 letters, digits and . _ -")

    def digest(self, name: str) -> str:
        """SHA-256, hexadecimal."""
        return self.match(name, DIGEST, "a SHA-256")

    def code(self, name: str) -> str:
        """A code for programs."""
        return self.match(name, _CODE, "a code")

    def integer(self, name: str, least: int = 0, most: int = 1 << 53) -> int:
        """A number in a range."""
        value = self.values.get(name)
        if type(value) is not int or not least <= value <= most:
            self._wrong(name, f"an integer from {least} to {most}")
        return value

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self.values.get(name)
        if type(value) is not bool:
            self._wrong(name, "true or false")
        return value

    def number(self, name: str, most: float = 1e12) -> float | None:
        """A number from 0 on, or None where there is none."""
        value = self.values.get(name)
        if value is None:
            return None
        if type(value) not in (int, float) or not 0 <= value <= most:
            self._wrong(name, f"a number from 0 to {most:g}")
        return float(value)

    def raw(self, name: str, most: int) -> bytes:
        """Bytes, as base64."""
        value = self.values.get(name)
        try:
            if isinstance(value, str) and len(value) <= 4 * (most + 2) // 3 + 4:
                found = base64.b64decode(value, validate=True)
                if len(found) <= most:
                    return found
        except (binascii.Error, ValueError):
            pass
        self._wrong(name, f"at most {most} bytes in base64")

    def maybe_raw(self, name: str, most: int) -> bytes | None:
        """As `raw`, None where there is none."""
        return None if self.values.get(name) is None else self.raw(name, most)

    def maybe_id(self, name: str) -> str | None:
        """As `id`, None where there is none."""
        return None if self.values.get(name) is None else self.id(name)

    def list(self, name: str, most: int) -> list[Any]:
        """A list of at most so many values."""
        value = self.values.get(name)
        if not isinstance(value, list) or len(value) > most:
            self._wrong(name, f"a list of at most {most} values")
        return value

    def objects(self, name: str, most: int) -> Iterator[Fields]:
        """The objects of a list."""
        for value in self.list(name, most):
            yield Fields.of(value, self.where)

    def inner(self, name: str) -> Fields:
        """An object in it."""
        return Fields.of(self.values.get(name), self.where)

    def _wrong(self, name: str, what: str) -> NoReturn:
        raise BadAnswer(
            f"{self.where}: {name!r} in the server's answer must be {what}, not "
            f"{quoted(self.values.get(name))}"
        )


def refusal(status: int, kind: str, body: bytes, where: str) -> Refused:
    """What the server says about a request that it refuses, in its words as far as they are text.

    kind: the content's type; body: may be cut off.
    """
    said, code = "", ""
    if kind.partition(";")[0].strip().lower() == _PROBLEM:
        try:
            fields = Fields.of(parse(body, where), where)
            said = fields.shown("detail") or fields.shown("title")
            code = fields.code("code")
        except BadAnswer:
            pass
    reason = said or _MEANINGS.get(status, "no reason given")
    hint = "; log in again: fhe-face remote login" if status == UNAUTHORISED else ""
    return Refused(f"{where}: the server says: {reason} (HTTP {status}){hint}", status, code)


_MEANINGS: Final[Mapping[int, str]] = {
    UNAUTHORISED: "the token is unknown, expired or revoked",
    403: "the token does not allow this",
    404: "there is no such thing",
    413: "too large",
    429: "too many requests",
    503: "busy",
    507: "the server has no room left",
}


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
