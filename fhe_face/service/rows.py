"""What the service's parts hand to each other; plain values, no connections."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from fhe_face.service.errors import Invalid

#: Names of tenants are also names of folders.
TENANT: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
#: What callers may call their things.
ID_PATTERN: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_ID: Final = re.compile(ID_PATTERN)
PARTIAL: Final = "partial"
COMPLETE: Final = "complete"


class Room(str, Enum):
    """What kind of container a resource is."""

    KEYS = "keys"
    GALLERY_KEYS = "gallery-keys"
    DEVICE_KEYS = "device-keys"
    FACES = "faces"
    EMBEDDINGS = "embeddings"
    SCORES = "scores"

    def __str__(self) -> str:
        return self.value


class Scope(str, Enum):
    """What a token may do. ADMIN includes all others, EMBED what a device may: SUBMIT."""

    KEYS = "keys"
    EMBED = "embed"
    SUBMIT = "submit"
    ENROL = "enrol"
    SEARCH = "search"
    READ = "read"
    ADMIN = "admin"

    def __str__(self) -> str:
        return self.value


#: Which scope a room needs.
SCOPES: Final[Mapping[Room, Scope]] = {
    Room.KEYS: Scope.KEYS,
    Room.GALLERY_KEYS: Scope.KEYS,
    Room.DEVICE_KEYS: Scope.KEYS,
    Room.FACES: Scope.EMBED,
    Room.EMBEDDINGS: Scope.EMBED,
    Room.SCORES: Scope.EMBED,
}
#: Which one sending takes, where that is another: devices send faces, and read nothing.
SENDING: Final[Mapping[Room, Scope]] = {**SCOPES, Room.FACES: Scope.SUBMIT}
#: What includes others.
_WIDER: Final[Mapping[Scope, Scope]] = {Scope.SUBMIT: Scope.EMBED}


@dataclass(frozen=True)
class Caller:
    """Who asks: a tenant by one of its tokens (its public id)."""

    tenant: str
    token: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Whether one of its scopes is, or includes, this one."""
        return not self.scopes.isdisjoint({scope, _WIDER.get(scope, scope), Scope.ADMIN})


@dataclass(frozen=True)
class Quotas:
    """Of one tenant. bytes: stored; jobs: waiting or running; requests: in a minute."""

    bytes: int
    jobs: int
    requests: int


@dataclass(frozen=True)
class Resource:
    """A container file of a tenant.

    number: the row's own. kind: of the container, as a label. digest: SHA-256 of the header's
    bytes, in hex, which names the content. facts: what the header said, checked (JSON).
    """

    number: int
    tenant: str
    room: Room
    id: str
    state: str
    kind: str
    key_id: str
    digest: str
    bytes: int
    created: int
    facts: Mapping[str, Any]

    @property
    def complete(self) -> bool:
        return self.state == COMPLETE


@dataclass(frozen=True)
class Missing:
    """A section that was not received yet."""

    section: str
    digest: str
    bytes: int


def checked_id(text: str) -> str:
    """A name that a caller chose. Invalid: it cannot be one."""
    if not _ID.fullmatch(text):
        raise Invalid(
            "an id is 1 to 128 letters, digits, dots, hyphens and underscores, and begins with a "
            "letter or digit"
        )
    return text


def checked_tenant(text: str) -> str:
    """A tenant's name. Invalid: it cannot be one."""
    if not TENANT.fullmatch(text):
        raise Invalid(
            "a tenant's name is 1 to 63 lowercase letters, digits and hyphens, and begins with a "
            "letter or digit"
        )
    return text


def now() -> int:
    """UTC seconds."""
    return int(time.time())
