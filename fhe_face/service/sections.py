"""One section on its way into the file that it belongs to: written in its place, hashed on the way.

While a section is written, its bytes in the file are locked, so that of two senders of one section
only one writes. Locks belong to the open file and end with it, whatever becomes of the process.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from fhe_core.container import Corrupt, SectionInfo
from fhe_core.files import explain
from fhe_face.service.errors import StillRunning

_LOCK: Final = "hhqqi4x"


class Incoming:
    """A section that is being received. `finish` or `abort` ends it; both may be called twice.

    The methods block: call them from threads.
    """

    def __init__(
        self,
        file: Path,
        places: list[SectionInfo],
        payload_offset: int,
        done: Callable[[], None],
    ) -> None:
        """places: all sections of this content; done: called once, when it is verified and synced.

        Raises:
            StillRunning: another request sends it. FileError: the file cannot be written.
        """
        self.length = places[0].length
        self._name, self._digest = places[0].name, places[0].digest
        self._file = file
        self._starts = [payload_offset + place.offset for place in places]
        self._done = done
        self._hash, self._written = hashlib.sha256(), 0
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as error:
            raise explain(file, "write", error) from error
        try:
            _lock(self._descriptor, self._starts[0], self.length)
        except OSError as error:
            self.abort()
            raise StillRunning("another request is sending this section") from error

    def write(self, data: bytes) -> None:
        """More of the section.

        Raises:
            Corrupt: it is longer than the header says. FileError: it cannot be written.
            The section is let go then.
        """
        if self._written + len(data) > self.length:
            self.abort()
            raise Corrupt(f"section '{self._name}' has more than {self.length} bytes")
        for start in self._starts:
            self._put(data, start + self._written)
        self._hash.update(data)
        self._written += len(data)

    def finish(self) -> None:
        """All of it came: compare it, sync it, and count it as received.

        Raises:
            Corrupt: it is shorter, or does not fit its digest; nothing is counted then.
        """
        try:
            if self._written != self.length or self._hash.hexdigest() != self._digest:
                raise Corrupt(f"section '{self._name}' does not fit its checksum: send it again")
            os.fsync(self._descriptor)
            self._done()
        except OSError as error:
            raise explain(self._file, "write", error) from error
        finally:
            self.abort()

    def abort(self) -> None:
        """Let go; what was written counts for nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)

    def _put(self, data: bytes, position: int) -> None:
        view = memoryview(data)
        try:
            while view:
                count = os.pwrite(self._descriptor, view, position)
                view, position = view[count:], position + count
        except OSError as error:
            self.abort()
            raise explain(self._file, "write", error) from error


def _lock(descriptor: int, start: int, length: int) -> None:
    """An exclusive lock of a range, owned by the open file (not by the process). OSError: taken."""
    request = struct.pack(_LOCK, fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, request)
