"""Bodies that are received as files, a few at once, and are gone when their request has ended."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import anyio
from fastapi import Request

from fhe_core.files import explain
from fhe_face.service.context import Context
from fhe_face.service.errors import Busy, DiskFull

#: How the names of such files begin. A killed process leaves them to housekeeping.
PREFIX: Final = "body-"
#: How often the disk is looked at.
_LOOK_BYTES: Final = 16 << 20


@asynccontextmanager
async def received(request: Request, here: Context) -> AsyncIterator[tuple[Path, str]]:
    """The body as a private file, and its SHA-256.

    Raises:
        Busy: as many are being received already. DiskFull, FileError: the disk cannot take it.
    """
    try:
        here.blocks.acquire_on_behalf_of_nowait(request)
    except anyio.WouldBlock:
        raise Busy("other files are being received", 1.0) from None
    file = here.service.blobs.scratch() / f"{PREFIX}{secrets.token_hex(8)}"
    try:
        yield file, await _save(request, file, here.settings.free_bytes)
    finally:
        here.blocks.release_on_behalf_of(request)
        with suppress(OSError):
            file.unlink()


async def _save(request: Request, file: Path, keep_free: int) -> str:
    hasher, unchecked = hashlib.sha256(), _LOOK_BYTES
    try:
        async with await anyio.open_file(file, "xb") as stream:
            async for piece in request.stream():
                hasher.update(piece)
                unchecked += len(piece)
                if unchecked > _LOOK_BYTES:
                    unchecked = 0
                    if shutil.disk_usage(file.parent).free < keep_free + _LOOK_BYTES:
                        raise DiskFull("the server's disk is full")
                await stream.write(piece)
    except OSError as error:
        raise explain(file, "write", error) from error
    return hasher.hexdigest()
