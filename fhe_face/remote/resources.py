"""Files at the server, by room and name: what it says of them, and what of it is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from fhe_core.container import Header
from fhe_face.remote.answers import ID, Fields, quoted
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import BadAnswer, Refused

_MOST_SECTIONS: Final = 4096
_MOST_BYTES: Final = 1 << 50
_PAGE: Final = 100
_MOST_PAGES: Final = 10_000
NOT_HERE: Final = 404


class Room(str, Enum):
    """Where a file is kept."""

    KEYS = "keys"
    GALLERY_KEYS = "gallery-keys"
    DEVICE_KEYS = "device-keys"
    FACES = "faces"
    EMBEDDINGS = "embeddings"
    SCORES = "scores"


@dataclass(frozen=True)
class Resource:
    """A file at the server. missing: (digest, bytes) of sections that have not come."""

    id: str
    room: Room
    complete: bool
    key_id: str
    digest: str
    bytes: int
    missing: tuple[tuple[str, int], ...] = ()


def path_of(room: Room, id: str) -> str:
    """Of a resource. BadAnswer: the name cannot be one."""
    if not ID.fullmatch(id):
        raise BadAnswer(f"{quoted(id)} is no name of a resource")
    return f"v1/{room.value}/{id}"


def resource(fields: Fields, room: Room) -> Resource:
    """What the server says of a file. BadAnswer: it makes no sense."""
    if fields.code("room") != room.value:
        raise BadAnswer(f"{fields.where}: the server answers about another room")
    state = fields.code("state")
    if state not in ("partial", "complete"):
        raise BadAnswer(f"{fields.where}: the server knows a state {quoted(state)}")
    known = fields.values.get("missing") is not None
    listed = fields.objects("missing", _MOST_SECTIONS) if known else ()
    return Resource(
        fields.id("id"),
        room,
        state == "complete",
        fields.text("key_id", 64),
        fields.digest("digest"),
        fields.integer("bytes", 0, _MOST_BYTES),
        tuple((one.digest("digest"), one.integer("bytes", 0, _MOST_BYTES)) for one in listed),
    )


def require_own(found: Resource, header: Header, digest: str) -> None:
    """What the server says is missing is of the file, at most once, and in its sizes.

    Raises:
        BadAnswer: it asks for something else.
    """
    sizes = {section.digest: section.length for section in header.sections}
    asked = [one for one, _ in found.missing]
    own = all(sizes.get(one) == size for one, size in found.missing)
    if found.digest != digest or not own or len(set(asked)) != len(asked):
        raise BadAnswer("the server asks for sections that the file does not have")
    if not found.complete and not asked:
        raise BadAnswer("the server says that the file is incomplete, and not what is missing")


def find(connection: Connection, room: Room, id: str) -> Resource | None:
    """A file, None where there is none."""
    try:
        return resource(connection.get(path_of(room, id)).fields(), room)
    except Refused as error:
        if error.status == NOT_HERE:
            return None
        raise


def every(connection: Connection, room: Room) -> Iterator[Resource]:
    """All files of a room."""
    for fields in pages(connection, f"v1/{room.value}", {}, _PAGE):
        yield resource(fields, room)


def remove(connection: Connection, room: Room, id: str) -> bool:
    """Delete a file; whether there was one."""
    try:
        connection.delete(path_of(room, id))
    except Refused as error:
        if error.status == NOT_HERE:
            return False
        raise
    return True


def pages(
    connection: Connection,
    path: str,
    query: Mapping[str, str | int],
    page: int,
    limit: int = 1 << 20,
) -> Iterator[Fields]:
    """The objects of a list that comes in pages of so many, of at most `limit` bytes each.

    Raises:
        BadAnswer: the list goes round in circles, or never ends.
    """
    after: str | None = None
    seen: set[str] = set()
    for _ in range(_MOST_PAGES):
        asked = {**query, "limit": page, **({} if after is None else {"after": after})}
        fields = connection.get(path, asked, limit).fields()
        yield from fields.objects("items", page)
        if fields.values.get("next") is None:
            return
        after = fields.text("next", 1024)
        if after in seen:
            break
        seen.add(after)
    raise BadAnswer(f"{path}: the server's list does not end")
