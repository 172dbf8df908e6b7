"""Who uses a gallery's key: many at once, or one who replaces it.

A lock on the folder ``client/``, which the system lets go of whatever ends the process.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from fhe_core.files import explain, shown
from fhe_face.gallery.errors import Busy

_HELD: Final = frozenset((errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES))


class KeyLock:
    """Held by every open gallery, shared; by whoever changes the key or the model, alone.

    On a file system without locks nothing is locked.
    """

    def __init__(self, folder: Path) -> None:
        """Take the shared lock.

        Raises:
            Busy: another process is giving the gallery a new key or model.
            FileError: the folder cannot be opened.
        """
        self._folder = folder
        try:
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise explain(folder, "read", error) from error
        try:
            self._take(fcntl.LOCK_SH, "is being given a new key or model by another process")
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go of it; once more does nothing."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else has the gallery open in this block.

        Raises:
            Busy: somebody has.
        """
        self._take(
            fcntl.LOCK_EX, "is open elsewhere: close it there before its key or model changes"
        )
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def _take(self, how: int, otherwise: str) -> None:
        try:
            fcntl.flock(self._descriptor, how | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _HELD:
                if how == fcntl.LOCK_EX:  # a failed change of the lock may have let go of it
                    with suppress(OSError):
                        fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                raise Busy(f"{shown(self._folder.parent)}: {otherwise}") from None
