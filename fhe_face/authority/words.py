"""What an authority is asked, what it says, and who may ask. Plain values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from fhe_face.service.errors import Forbidden, Invalid

#: Names of devices and galleries; and what a device may call a person.
NAME_PATTERN: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_NAME: Final = re.compile(NAME_PATTERN)


class Kind(str, Enum):
    """What a request asks.

    MATCH: whether a face is the subject's, by an enrolled face. SEARCH: who of a gallery it is, or
    whether it is the subject. ENROL: whether a face may be compared with from now on.
    """

    MATCH = "match"
    SEARCH = "search"
    ENROL = "enrol"

    def __str__(self) -> str:
        return self.value


class Word(str, Enum):
    """All that is ever said. HEALTHY: of an enrolment. REFUSED: the result must not be used."""

    MATCH = "match"
    UNCERTAIN = "uncertain"
    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    REFUSED = "refused"

    def __str__(self) -> str:
        return self.value


#: Why a result that was opened is refused: one reason, as each further one would tell more of it.
UNHEALTHY: Final = "the result is not healthy: take another photo"


class State(str, Enum):
    """Of a request. OPENED: counted, and not answered yet: the process may have died."""

    WAITING = "waiting"
    OPENED = "opened"
    ANSWERED = "answered"

    def __str__(self) -> str:
        return self.value


class Scope(str, Enum):
    """What a token may do; none includes another.

    ASK: announce matches and searches, and read their answers. ENROL: announce enrolments, end
    them, and read their answers. DELIVER: hand in results; without ASK nothing is said about them.
    NAMES: be told who was found. SCORES: be told numbers. WATCH: read the counters.
    """

    ASK = "ask"
    ENROL = "enrol"
    DELIVER = "deliver"
    NAMES = "names"
    SCORES = "scores"
    WATCH = "watch"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Caller:
    """Who asks: a device by one of its tokens (its public id).

    sender: the id of the key that it encrypts with, where that is known.
    """

    device: str
    token: str
    scopes: frozenset[Scope]
    sender: str | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise Forbidden without a scope."""
        if not self.may(scope):
            raise Forbidden(f"this token lacks the scope '{scope}'")


def checked_name(text: str, what: str) -> str:
    """A name of a device, a subject or a gallery. Invalid: it cannot be one."""
    if not _NAME.fullmatch(text):
        raise Invalid(
            f"a name of a {what} is 1 to 63 letters, digits, dots, hyphens and underscores, and "
            "begins with a letter or digit"
        )
    return text
