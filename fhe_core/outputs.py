"""Which files a command writes, checked against what it reads before any long work.

One rule for every command: an output never replaces a file that the same command reads, nor a
file of another kind (a key, a photo, somebody's text). A file of the same kind is replaced, and
the command says so; keys and weights, which took long or cannot be made again, only by --force.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from fhe_core.files import (
    FileError,
    FileKind,
    ReplacementError,
    explain,
    require_replaceable,
    shown,
)


class Outputs:
    """The files of one command: `add` refuses what would lose something."""

    def __init__(self, *inputs: Path | None) -> None:
        """`inputs`: every file that the command reads; None and missing files count for nothing."""
        self._inputs = [path for path in inputs if path is not None]
        self._outputs: list[Path] = []
        self._replaced: list[Path] = []

    def add(
        self, path: Path | None, kind: FileKind, *, overwrite: bool = True, hint: str = ""
    ) -> None:
        """Check a file that will be written, by whatever name it is called; None: nothing.

        overwrite: whether a file of its own kind may be replaced; hint: what would allow that.

        Raises:
            ReplacementError: it is one that is read or written by the same command, or of
                another kind.
            FileError: it exists and may not be replaced, or its folder is missing or closed.
        """
        if path is None:
            return
        for other in self._inputs:
            if _same_file(path, other):
                raise ReplacementError(
                    f"{shown(path)}: is read by this command, and writing it would destroy data; "
                    "name another file"
                )
        for other in self._outputs:
            if _same_file(path, other) or _place(path) == _place(other):
                raise ReplacementError(
                    f"{shown(path)}: is named for two outputs, and one would destroy the other; "
                    "name two files"
                )
        require_writable(path)
        if not overwrite and os.path.lexists(path):
            raise FileError(f"{shown(path)}: exists already{hint}")
        if require_replaceable(path, kind):
            self._replaced.append(path)
        self._outputs.append(path)

    @property
    def replaced(self) -> tuple[str, ...]:
        """A line for each output that takes the place of a file."""
        return tuple(f"replaced {shown(path)}" for path in self._replaced)


def require_writable(path: str | os.PathLike[str]) -> None:
    """Check that a file could be written before minutes are spent on its content.

    Raises:
        FileError: its folder is missing or read-only, or something else stands at its place.
    """
    file = Path(path)
    folder = file.parent
    if not folder.is_dir():
        raise FileError(f"cannot write {shown(file)}: there is no folder {shown(folder)}")
    if file.is_dir():
        raise FileError(f"cannot write {shown(file)}: it is a folder, not a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        raise explain(file, "write", OSError(errno.EROFS if read_only else errno.EACCES, ""))


def _same_file(one: Path, other: Path) -> bool:
    """Whether both names lead to one file: links of both sorts and other spellings included."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def _place(path: Path) -> tuple[str, str]:
    return os.path.realpath(path.parent), path.name
