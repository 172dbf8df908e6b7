"""Block files: named by the SHA-256 of their content, written once, never changed.

A file is complete and on the disk before it has its name, and has its name before a row refers to
it. What a killed writer leaves is a temporary file or one that nothing refers to: neither is read.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Container, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from fhe_core.files import explain, open_regular, publish, reason_of, sync_folder
from fhe_face.store.errors import StoreError, damaged
from fhe_face.store.rows import Swept

#: Writes a block's content; the stream is seekable and empty.
Writer = Callable[[BinaryIO], None]

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_TEMPORARY: Final = ".tmp"
_PIECE: Final = 1 << 20
#: Twenty times a gallery's: a larger file is none, and nobody has to read it to see that.
LARGEST_BLOCK: Final = 1 << 28


@dataclass(frozen=True)
class BlockFiles:
    """The files of one folder."""

    folder: Path

    def path(self, digest: str) -> Path:
        """Where a block is. StoreError: that is no digest."""
        if not _DIGEST.fullmatch(digest):
            raise StoreError(f"{digest!r}: a block's name has 64 hexadecimal digits")
        return self.folder / digest[:2] / digest

    def write(self, content: bytes | Writer) -> str:
        """Write a block and return its digest.

        Raises:
            FileError: it cannot be written (a full disk, for example); nothing is left of it then.
        """
        temporary = self.folder / f".{secrets.token_hex(16)}{_TEMPORARY}"
        try:
            self.folder.mkdir(exist_ok=True)
            digest = _write_temporary(temporary, content)
            target = self.path(digest)
            if not target.parent.is_dir():
                target.parent.mkdir(exist_ok=True)
                sync_folder(self.folder)
            publish(temporary, target, overwrite=True)
        except OSError as error:
            _remove(temporary)
            raise explain(self.folder, "write a block into", error) from error
        except BaseException:
            _remove(temporary)
            raise
        return digest

    def read(self, digest: str) -> bytes:
        """A block's content. DamagedBlock: it is missing, unreadable or altered."""
        content = b"".join(self._pieces(digest))
        if hashlib.sha256(content).hexdigest() != digest:
            raise damaged(digest, "is damaged")
        return content

    def verify(self, digest: str) -> int:
        """The size of a sound block in bytes. DamagedBlock: as for `read`."""
        hasher, size = hashlib.sha256(), 0
        for piece in self._pieces(digest):
            hasher.update(piece)
            size += len(piece)
        if hasher.hexdigest() != digest:
            raise damaged(digest, "is damaged")
        return size

    def exists(self, digest: str) -> bool:
        """Whether there is a file of this name."""
        return self.path(digest).is_file()

    def remove(self, digest: str) -> None:
        """Remove a file if it is there and can be removed; `sweep` finds it otherwise."""
        with suppress(OSError):
            self.path(digest).unlink()

    def names(self) -> Iterator[str]:
        """The digests of all files, whether referred to or not."""
        for folder in _listed(self.folder):
            if folder.is_dir():
                for path in _listed(folder):
                    named = _DIGEST.fullmatch(path.name) and path.name[:2] == folder.name
                    if named and path.is_file():
                        yield path.name

    def strays(self) -> Iterator[Path]:
        """Temporary files, of writers at work or killed."""
        for path in _listed(self.folder):
            if path.name.startswith(".") and path.suffix == _TEMPORARY:
                yield path

    def sweep(self, kept: Container[str], older_than: float) -> Swept:
        """Remove what is not in `kept` and older than so many seconds, temporary files included.

        A temporary file whose writer is alive stays, whatever its age.
        """
        before = time.time() - older_than
        files = size = 0
        unreferenced = (self.path(name) for name in self.names() if name not in kept)
        for path in [*unreferenced, *self.strays()]:
            with suppress(FileNotFoundError):
                status = path.stat()
                if status.st_mtime > before or _is_being_written(path):
                    continue
                path.unlink()
                files, size = files + 1, size + status.st_size
        return Swept(files, size)

    def _pieces(self, digest: str) -> Iterator[bytes]:
        path = self.path(digest)
        try:
            with open_regular(path) as stream:
                if os.fstat(stream.fileno()).st_size > LARGEST_BLOCK:
                    raise damaged(digest, "is larger than any block")
                while piece := stream.read(_PIECE):
                    yield piece
        except OSError as error:
            missing = isinstance(error.__cause__, FileNotFoundError)
            why = "is missing" if missing else f"cannot be read: {reason_of(error)}"
            raise damaged(digest, why) from error


def _write_temporary(path: Path, content: bytes | Writer) -> str:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o666), "w+b") as stream:
        with suppress(OSError):  # a file system without locks: only the age protects then
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if isinstance(content, bytes):
            stream.write(content)
            digest = hashlib.sha256(content).hexdigest()
        else:
            content(stream)
            digest = _digest_of(stream)
        stream.flush()
        os.fsync(stream.fileno())
    return digest


def _digest_of(stream: BinaryIO) -> str:
    """Of the whole file: its writer may have gone back to fill in a header."""
    stream.flush()
    stream.seek(0)
    hasher = hashlib.sha256()
    while piece := stream.read(_PIECE):
        hasher.update(piece)
    return hasher.hexdigest()


def _is_being_written(path: Path) -> bool:
    if path.suffix != _TEMPORARY:
        return False
    with suppress(OSError), path.open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    return path.exists()


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
