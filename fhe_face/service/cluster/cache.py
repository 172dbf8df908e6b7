"""Evaluation keys on a node's own disk: copied once from the shared folder, whoever asks first."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fhe_core.container import ContainerError, read_header
from fhe_core.errors import Failure
from fhe_core.files import explain, publish
from fhe_face.service.blobs import front_digest
from fhe_face.service.errors import NotHere
from fhe_face.service.folders import make_private_folder
from fhe_face.system import require_space, size

#: Names the folder; else it is `DEFAULT`, of the user that Ray runs as.
VARIABLE: Final = "FHE_FACE_NODE_CACHE"
DEFAULT: Final = "~/.cache/fhe-face/keys"
#: All keys of a node together, unless one alone is larger.
LIMIT_BYTES: Final = 64 << 30
#: Of the disk stay free, where others can leave.
_RESERVE_BYTES: Final = 1 << 30
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_SUFFIX: Final = ".fhec"
_LOCK: Final = ".lock"
_TEMPORARY: Final = ".tmp"


@dataclass(frozen=True)
class KeyCache:
    """Complete key files by the digest of their content; the longest unused leaves first.

    Several processes may use a folder: one fills, under a lock that ends with its process, and the
    others wait for it. filled: called with a digest when one was copied.
    """

    folder: Path
    limit_bytes: int = LIMIT_BYTES
    filled: Callable[[str], None] = lambda _digest: None

    def get(self, digest: str, source: Path) -> Path:
        """The file on this disk.

        Raises:
            NotHere: `source` has other content. FileError: it cannot be read, or the disk is full.
            Failure: the digest is none.
        """
        target = self._place(digest)
        with self._alone():
            if not _is_of(digest, target):
                self._make_room(_size(source))
                self._copy(digest, source, target)
                self.filled(digest)
            with suppress(OSError):
                os.utime(target)
        return target

    def forget(self, digest: str) -> None:
        """A copy that turned out to be damaged."""
        target = self._place(digest)
        with self._alone():
            target.unlink(missing_ok=True)

    def _place(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise Failure("evaluation keys are named by a digest of 64 hexadecimal digits")
        return self.folder / f"{digest}{_SUFFIX}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        make_private_folder(self.folder)
        try:
            lock = (self.folder / _LOCK).open("ab")
        except OSError as error:
            raise explain(self.folder, "write", error) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _copy(self, digest: str, source: Path, target: Path) -> None:
        for stray in self.folder.glob(f".*{_TEMPORARY}"):  # nobody else writes here now
            stray.unlink(missing_ok=True)
        temporary = self.folder / f".{secrets.token_hex(8)}{_TEMPORARY}"
        try:
            shutil.copyfile(source, temporary)
            temporary.chmod(0o600)
            if front_digest(temporary, read_header(temporary)) != digest:
                raise NotHere("the evaluation keys were replaced after the job was submitted")
            publish(temporary, target, overwrite=True)
        except OSError as error:
            raise explain(target, "write", error) from error
        finally:
            temporary.unlink(missing_ok=True)

    def _make_room(self, needed: int) -> None:
        """Remove others, the longest unused first, until so much fits beside the rest."""
        kept = sorted(self.folder.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
        total = sum(path.stat().st_size for path in kept)
        while kept and (total + needed > self.limit_bytes or not self._fits(needed)):
            total -= kept[0].stat().st_size
            kept.pop(0).unlink()
        require_space(self.folder, needed, f"; evaluation keys of {size(needed)} are copied there")

    def _fits(self, needed: int) -> bool:
        return shutil.disk_usage(self.folder).free > needed + _RESERVE_BYTES


def _is_of(digest: str, file: Path) -> bool:
    """Whether a file is that of a digest, from its header; its sections are checked by whoever
    reads them."""
    try:
        return front_digest(file, read_header(file)) == digest
    except (OSError, ContainerError):
        return False


def _size(source: Path) -> int:
    try:
        return source.stat().st_size
    except OSError as error:
        raise explain(source, "read", error) from error


def cache_folder() -> Path:
    """Of this node: what `VARIABLE` says, or the default."""
    return Path(os.environ.get(VARIABLE) or DEFAULT).expanduser()
