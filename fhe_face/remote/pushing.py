"""Uploads by section: what the server says is missing is all the state there is.

The header goes first; then each missing section, several at a time. An upload that was killed goes
on where it was, and a file that is there already is not sent again. A section is compared with its
digest before a byte of it leaves; a file of a kind that is secret never does.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from fhe_core import container
from fhe_core.container import Header, Kind, Reader
from fhe_core.container.header import MAGIC, PREAMBLE, encode_header
from fhe_core.files import shown
from fhe_face.progress import Stage, silent
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import BadAnswer, PushError, Refused
from fhe_face.remote.resources import Resource, Room, path_of, require_own, resource

#: Sections that are sent at a time.
PARALLEL: Final = 4
_PIECE_BYTES: Final = 256 << 10
#: Times that the server may say that something is missing still.
_ROUNDS: Final = 3
_CONFLICT: Final = 409

#: What may be sent, and where to. Whatever is not named here stays.
KINDS: Final = {
    Room.KEYS: Kind.EVALUATION_KEYS,
    Room.GALLERY_KEYS: Kind.EVALUATION_KEYS,
    Room.DEVICE_KEYS: Kind.EVALUATION_KEYS,
    Room.FACES: Kind.CIPHERTEXT,
    Room.EMBEDDINGS: Kind.CIPHERTEXT,
}
#: What a file is called in a folder of keys.
_EVALUATION_KEY: Final = "evaluation.key"


@dataclass(frozen=True)
class Pushed:
    """A file that is complete at the server. sent: bytes that had to travel."""

    resource: Resource
    sent: int

    @property
    def id(self) -> str:
        return self.resource.id


@dataclass
class _Sending:
    """One upload, by several threads. stopped: none goes on."""

    connection: Connection
    reader: Reader
    path: str
    what: str
    stage: Stage
    total: int
    _done: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: threading.Event = field(default_factory=threading.Event)

    def send(self, name: str, digest: str, length: int) -> None:
        """One section. Corrupt: the file has changed since its header was read."""
        if self.stopped.is_set():
            return
        data = self.reader.array(name, mmap=False).reshape(-1).view(np.uint8).data
        counted = 0

        def pieces() -> Iterator[bytes]:
            nonlocal counted
            self._advance(-counted)  # a second attempt begins again
            counted = 0
            for start in range(0, length, _PIECE_BYTES):
                if self.stopped.is_set():
                    raise PushError(f"{self.what}: stopped")
                piece = bytes(data[start : start + _PIECE_BYTES])
                yield piece
                counted += len(piece)
                self._advance(len(piece))

        headers = {"Content-Type": "application/octet-stream"}
        self.connection.put(f"{self.path}/sections/{digest}", (pieces, length), headers)

    def _advance(self, count: int) -> None:
        with self._lock:
            self._done += count
            self.stage(self.what, min(self._done, self.total), self.total)


def push(
    connection: Connection,
    room: Room,
    file: str | os.PathLike[str],
    id: str | None = None,
    *,
    parallel: int = PARALLEL,
    stage: Stage = silent,
    what: str = "sending",
) -> Pushed:
    """Send a container file; id: its name there, default: that of its content.

    stage: told bytes.

    Raises:
        PushError: the file is of a kind that does not go there; not a byte of it was sent.
        ContainerError: it is damaged, or changes while it is sent.
        Refused: the server does not take it; another file has the name (status 409).
    """
    with container.open(file) as reader:
        header = reader.header
        require_kind(header, room)
        front = front_of(header)
        digest = hashlib.sha256(front).hexdigest()
        path = path_of(room, id or digest[:40])
        sent = 0
        for _ in range(_ROUNDS):
            answer = connection.put(path, front, {"Content-Type": "application/octet-stream"})
            found = resource(answer.fields(), room)
            require_own(found, header, digest)
            if found.complete:
                return Pushed(found, sent)
            total = sum(size for _, size in found.missing)
            sending = _Sending(connection, reader, path, what, stage, total)
            _send_all(sending, header, found, parallel)
            sent += total
    raise BadAnswer(f"{header.source}: the server says that sections are missing which it took")


def _send_all(sending: _Sending, header: Header, found: Resource, parallel: int) -> None:
    names = {section.digest: section.name for section in header.sections}
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(max(1, parallel)))
        stack.callback(sending.stopped.set)  # before the pool waits for its threads
        work = [
            pool.submit(sending.send, names[digest], digest, size) for digest, size in found.missing
        ]
        for one in work:
            one.result()


def front_of(header: Header) -> bytes:
    """The file's bytes up to its header's digest: there is one way only to write a header."""
    encoded = encode_header(header)
    covered = PREAMBLE.pack(MAGIC, header.version, header.kind, len(encoded)) + encoded
    return covered + hashlib.sha256(covered).digest()


def require_kind(header: Header, room: Room) -> None:
    """Refuse a file of another kind than goes into a room, the secret key above all.

    Raises:
        PushError: nothing was sent.
    """
    wanted = KINDS.get(room)
    if header.kind is wanted:
        return
    if header.kind is Kind.SECRET_KEY:
        raise PushError(
            f"{header.source}: is a secret key, which never leaves this machine; nothing was sent "
            f"(a server needs {_EVALUATION_KEY})"
        )
    expected = "nothing" if wanted is None else wanted.label
    raise PushError(
        f"{header.source}: is of kind {header.kind.label}, {room.value} takes {expected}; nothing "
        "was sent"
    )


def evaluation_key_file(given: str | os.PathLike[str]) -> Path:
    """The file of evaluation keys: as given, or the one in a folder that keygen made.

    Raises:
        PushError: the folder has none.
    """
    path = Path(given)
    if not path.is_dir():
        return path
    found = path / _EVALUATION_KEY
    if not found.is_file():
        raise PushError(f"{shown(path)}: has no {_EVALUATION_KEY} (fhe-face keygen --out makes it)")
    return found


def push_keys(
    connection: Connection,
    given: str | os.PathLike[str],
    *,
    room: Room = Room.KEYS,
    replace: bool = False,
    parallel: int = PARALLEL,
    stage: Stage = silent,
) -> Pushed:
    """Send evaluation keys, named after their key; given: a file, or the folder from keygen.

    replace: those of an earlier file of the same key.

    Raises:
        PushError: it is no file of evaluation keys, or others are there; nothing was sent.
        Others: as `push`.
    """
    file = evaluation_key_file(given)
    header = container.read_header(file)
    require_kind(header, room)

    def attempt() -> Pushed:
        return push(
            connection,
            room,
            file,
            header.key_id,
            parallel=parallel,
            stage=stage,
            what="sending keys",
        )

    return _replacing(attempt, connection, room, header, replace)


def _replacing(
    attempt: Callable[[], Pushed],
    connection: Connection,
    room: Room,
    header: Header,
    replace: bool,
) -> Pushed:
    try:
        return attempt()
    except Refused as error:
        if error.status != _CONFLICT or error.problem != "conflict":
            raise
        if not replace:
            raise PushError(
                f"{header.source}: the server has other evaluation keys of key "
                f"{header.key_id[:8]}; --replace puts these in their place"
            ) from error
    connection.delete(path_of(room, header.key_id))
    return attempt()
