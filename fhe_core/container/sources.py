"""Where a container's bytes are: a file, or memory."""

from __future__ import annotations

import mmap as memory_map
import os
from typing import BinaryIO, Protocol

from fhe_core.container.errors import AccessError, Truncated
from fhe_core.files import FileError, explain, open_regular, shown


class Source(Protocol):
    """Bytes of known size that can be read at any place."""

    name: str
    size: int

    def read_into(self, offset: int, buffer: memoryview) -> None: ...
    def shared(self) -> memory_map.mmap | bytes: ...
    def close(self) -> None: ...


class FileSource:
    """A file; AccessError where it cannot be read, Truncated where it has become shorter."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = shown(path)
        try:
            self._file: BinaryIO = open_regular(path)
        except FileError as error:
            raise AccessError(str(error)) from error
        self.size = os.fstat(self._file.fileno()).st_size
        self._map: memory_map.mmap | None = None

    def read_into(self, offset: int, buffer: memoryview) -> None:
        done = 0
        while done < len(buffer):
            try:
                count = os.preadv(self._file.fileno(), [buffer[done:]], offset + done)
            except OSError as error:
                raise AccessError(str(explain(self.name, "read", error))) from error
            if count == 0:
                raise Truncated(f"{self.name}: became shorter while it was read")
            done += count

    def shared(self) -> memory_map.mmap:
        if self._map is None:
            descriptor = self._file.fileno()
            try:
                self._map = memory_map.mmap(descriptor, self.size, access=memory_map.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise AccessError(f"cannot map {self.name} into memory: {error}") from error
        return self._map

    def close(self) -> None:
        self._file.close()
        self._map = None  # arrays that still use the map keep it alive


class BytesSource:
    """Bytes in memory; name: for messages."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self.size = len(data)
        self._data = data

    def read_into(self, offset: int, buffer: memoryview) -> None:
        buffer[:] = self._data[offset : offset + len(buffer)]

    def shared(self) -> bytes:
        return self._data

    def close(self) -> None:
        self._data = b""
