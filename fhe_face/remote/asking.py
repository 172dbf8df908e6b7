"""Asking a server about one of its galleries; what it refuses becomes what a store raises."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeVar
from urllib.parse import quote

from fhe_face.remote import rows
from fhe_face.remote.answers import ID, Fields, quoted
from fhe_face.remote.connection import Answer, Connection
from fhe_face.remote.errors import Refused, RemoteError
from fhe_face.remote.lines import lines
from fhe_face.remote.resources import NOT_HERE
from fhe_face.store import Conflict, DamagedBlock, NotStored, State, StoreError

#: Rows that travel at once.
BATCH: Final = 1000
#: A page of so many templates, subjects or refusals.
PAGE_BYTES: Final = 16 << 20
#: Of a block's file beside its residues.
BLOCK_SLACK: Final = 1 << 20
#: For so long what was said of the state counts as now, as far as nothing is searched or changed.
_FRESH_SECONDS: Final = 1.0
_KINDS: Final[Mapping[str, type[StoreError]]] = {
    "conflict": Conflict,
    "not-stored": NotStored,
    "damaged-block": DamagedBlock,
    "store": StoreError,
}

Row = TypeVar("Row")


@dataclass
class GalleryRequests:
    """About one gallery. templates_of_block: places of a block; block_bytes: of its file, at most.

    foreign: the server is somebody else's.
    """

    connection: Connection
    id: str
    block_bytes: int
    templates_of_block: int
    clock: Callable[[], float] = time.monotonic
    foreign: bool = True
    _state: tuple[float, State] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not ID.fullmatch(self.id):
            raise RemoteError(f"{quoted(self.id)} is no name of a gallery")

    def path(self, what: str) -> str:
        """Of something of this gallery."""
        return f"v1/galleries/{self.id}/{what}".rstrip("/")

    def state(self) -> State:
        """How far the gallery has come, at most a second ago."""
        now = self.clock()
        if self._state is None or now - self._state[0] > _FRESH_SECONDS:
            self._state = now, rows.state(self._get("state"))
        return self._state[1]

    def forget_state(self) -> None:
        """Ask the next time: something may have changed."""
        self._state = None

    def _get(self, what: str, limit: int = 1 << 20) -> Fields:
        return self._asked("GET", what, limit=limit).fields()

    def _post(self, what: str, document: Mapping[str, Any], limit: int = 1 << 20) -> Answer:
        with translated(self.id, what):
            try:
                return self.connection.post(self.path(what), document, limit=limit)
            finally:
                self.forget_state()

    def _asked(
        self,
        method: str,
        what: str,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        limit: int = 1 << 20,
    ) -> Answer:
        with translated(self.id, what):
            path = self.path(what)
            return self.connection.request(method, path, content, headers=headers, limit=limit)

    def _list(
        self,
        what: str,
        query: Mapping[str, str | int] | None = None,
        document: Mapping[str, Any] | None = None,
    ) -> Iterator[Fields]:
        """The objects of a long list; document: where it is asked for by POST."""
        method = "GET" if document is None else "POST"
        with translated(self.id, what):
            for value in lines(self.connection, method, self.path(what), query, document):
                yield Fields.of(value, what)


def batches(values: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Lists of so many, the last one shorter."""
    left = iter(values)
    while some := list(islice(left, size)):
        yield some


def named(id: str) -> str:
    """An id as a part of a path: whatever its characters are, it names nothing else."""
    return quote(id, safe="")


def damaged(digest: str, why: str) -> DamagedBlock:
    error = DamagedBlock(f"block {digest[:12]} {why} at the server")
    error.digest = digest
    return error


@contextmanager
def translated(gallery: str, what: str) -> Iterator[None]:
    """What the server refuses becomes what `Store` raises for it."""
    try:
        yield
    except Refused as error:
        kind = _KINDS.get(error.problem)
        if kind is not None:
            raise kind(f"gallery {gallery}: {error}") from error
        if error.status == NOT_HERE and "/" in what:
            raise NotStored(f"gallery {gallery}: {error}") from error
        raise
