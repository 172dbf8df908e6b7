"""A file from the server: bounded before it is read, and taken up again where it broke off."""

from __future__ import annotations

import os
import re
from typing import BinaryIO, Final

import httpx

from fhe_core.files import atomic_write
from fhe_face.progress import Stage, silent
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import BadAnswer, Unreachable
from fhe_face.remote.resources import Room, path_of

_ATTEMPTS: Final = 5
_PARTIAL: Final = 206
_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


def download(
    connection: Connection,
    room: Room,
    id: str,
    target: str | os.PathLike[str],
    limit: int,
    stage: Stage = silent,
) -> int:
    """Write a resource's file, of at most `limit` bytes; how many it has. It appears whole.

    Raises:
        BadAnswer: it is longer, or another file than before the connection broke.
        FileError: it cannot be written. RemoteError: the server cannot be asked.
    """
    path = f"{path_of(room, id)}/content"
    with atomic_write(target, private=True) as stream:
        tag: str | None = None
        for attempt in range(_ATTEMPTS):
            try:
                tag = _more(connection, path, stream, limit, tag, stage)
                return stream.tell()
            except _BrokenOff as broken:
                tag = broken.tag
                if attempt + 1 == _ATTEMPTS:
                    raise Unreachable(f"{path}: the connection breaks off all the time") from broken
    raise AssertionError("unreachable")


class _BrokenOff(Exception):
    """A body ended early; what came is kept. tag: of the version that it was of."""

    def __init__(self, tag: str | None = None) -> None:
        super().__init__()
        self.tag = tag


def _more(
    connection: Connection,
    path: str,
    stream: BinaryIO,
    limit: int,
    tag: str | None,
    stage: Stage,
) -> str | None:
    have = stream.tell() if tag is not None else 0
    headers = {"Range": f"bytes={have}-", "If-Range": tag} if have and tag else {}
    with connection.stream("GET", path, headers=headers) as response:
        if not (have and response.status_code == _PARTIAL):
            have = 0
        stream.seek(have)
        stream.truncate()
        total = _total(response, have, limit, path)
        found = response.headers.get("etag")
        kept = found if found is not None and len(found) <= 128 and found.isascii() else None
        try:
            for part in response.iter_raw():
                if stream.tell() + len(part) > limit:
                    raise BadAnswer(f"{path}: the server's file has more than {limit} bytes")
                stream.write(part)
                stage("receiving", stream.tell(), total)
        except httpx.HTTPError as error:
            raise _BrokenOff(kept) from error
        if total and stream.tell() != total:
            raise _BrokenOff(kept)
        return kept


def _total(response: httpx.Response, have: int, limit: int, path: str) -> int:
    """Bytes of the whole file, 0 where the server does not say. BadAnswer: more than allowed."""
    told = response.headers.get("content-length", "")
    size = have + int(told) if told.isascii() and told.isdigit() and len(told) <= 18 else 0
    if have:
        named = _RANGE.fullmatch(response.headers.get("content-range", ""))
        if named is None or int(named[1]) != have:
            raise BadAnswer(f"{path}: the server sends another part than was asked for")
    if size > limit:
        raise BadAnswer(f"{path}: the server's file has {size} bytes, at most {limit} allowed")
    return size
