"""Asking the search lane of this machine: two frames of bytes over a Unix socket, two back.

Frames are those of `multiprocessing.connection` (a length and bytes; nothing is pickled): JSON
first, then a probe or scores. The socket lies in a folder that only the service's user may enter.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any, Final

from fhe_core.errors import Failure
from fhe_face.service.errors import Busy
from fhe_face.service.jobs.keeping import RUN, host
from fhe_face.service.queueing import Answer

#: Ends a socket's name; it begins with the machine's, since several may share the folder.
SOCKET: Final = ".sock"
LARGEST_FRAME: Final = 1 << 30
BUSY: Final = "busy"
_AGAIN_SECONDS: Final = 1.0


class SearchFailed(Failure):
    """A search has no answer; `reason` is the code of what went wrong, the text has no path."""

    code = "search-failed"

    def __init__(self, text: str, *, reason: str = "search-failed") -> None:
        super().__init__(text)
        self.reason = reason

    def details(self) -> dict[str, Any]:
        """What went wrong."""
        return {"reason": self.reason}


@dataclass(frozen=True)
class SearchClient:
    """The search lane of the worker that serves `folder` on this machine."""

    folder: Path

    def search(self, gallery: Path, probe: bytes, timeout: float) -> Answer:
        """Raises Busy, SearchFailed or TimeoutError."""
        request = {"gallery": os.path.relpath(gallery, self.folder)}
        try:
            with connected(self.folder / RUN) as connection:
                connection.send_bytes(json.dumps(request).encode())
                connection.send_bytes(probe)
                reply, scores = _answer(connection, timeout)
        except (OSError, EOFError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise Busy("no worker answers searches; try again", _AGAIN_SECONDS) from None
        if reply.get("error") == BUSY:
            raise Busy("too many searches at once; try again", _AGAIN_SECONDS)
        if "error" in reply:
            raise SearchFailed(str(reply.get("text")), reason=str(reply["error"]))
        damaged = tuple(reply["damaged"])
        return Answer(scores, int(reply["changes"]), int(reply["version"]), damaged)


def _answer(connection: Connection[Any, Any], timeout: float) -> tuple[dict[str, Any], bytes]:
    if not connection.poll(timeout):
        raise TimeoutError(f"the search took longer than {timeout:.0f} s")
    reply = json.loads(connection.recv_bytes(LARGEST_FRAME))
    return reply, connection.recv_bytes(LARGEST_FRAME) if "error" not in reply else b""


def sockets(run: Path) -> list[str]:
    """Names of sockets of this machine's lanes, the newest first; some may be dead."""
    found = {path.name: path.lstat().st_mtime_ns for path in run.glob(f"{host()}.*{SOCKET}")}
    return sorted(found, key=lambda name: -found[name])


@contextmanager
def connected(run: Path) -> Iterator[Connection[Any, Any]]:
    """A connection to a lane that lives. ConnectionError: there is none."""
    with short_name(run) as short:
        for name in sockets(run):
            with suppress(ConnectionError, FileNotFoundError):
                connection = Client(str(short / name))
                break
        else:
            raise ConnectionRefusedError
    with connection:
        yield connection


@contextmanager
def short_name(folder: Path) -> Iterator[Path]:
    """The folder under a short name, since a socket's name may have 107 bytes only."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
