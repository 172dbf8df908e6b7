"""Files on disk: atomic writing, private modes, and one-line errors.

Every failure is a :class:`FileError` whose text is one line that names the file.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_REASONS = {
    errno.ENOENT: "no such file or folder",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "is a folder, not a file",
    errno.ENOTDIR: "a part of its path is not a folder",
    errno.ELOOP: "symbolic links form a loop",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EEXIST: "the file exists already and may not be replaced",
}


class FileError(OSError):
    """A file cannot be opened, read or written; the text is one line that names it."""


def shown(path: str | os.PathLike[str]) -> str:
    """The path as text for a one-line message; unprintable characters are escaped."""
    text = os.fspath(path)
    return text if text.isprintable() else ascii(text)[1:-1]


def one_line(text: str, limit: int = 2000) -> str:
    """Text that may come from a file, for a message: no line breaks or control characters."""
    cut = text if len(text) <= limit else text[:limit] + "..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(cut.split()))


def explain(path: str | os.PathLike[str], action: str, error: OSError) -> FileError:
    """A one-line :class:`FileError` for `error`, such as "cannot read x.ct: permission denied"."""
    reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
    return FileError(f"cannot {action} {shown(path)}: {reason}")


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for unbuffered reading; never blocks on a pipe.

    Symbolic links to regular files are followed.

    Raises:
        FileError: the file is missing, unreadable, or not a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise explain(path, "read", error) from error
    except ValueError as error:  # a NUL character in the name
        raise FileError(f"cannot read {shown(path)}: the name is not valid") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
            raise FileError(f"cannot read {shown(path)}: it is {what}, not a regular file")
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def _refuse_special_target(path: Path, *, overwrite: bool) -> None:
    """Raise FileError unless `path` is free, or a plain file that may be replaced."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(mode):
        raise FileError(
            f"cannot write {shown(path)}: it is a symbolic link; name the file it should become"
        )
    if stat.S_ISDIR(mode):
        raise FileError(f"cannot write {shown(path)}: it is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise FileError(f"cannot write {shown(path)}: it is a device, pipe or socket, not a file")
    if not overwrite:
        raise FileError(
            f"cannot write {shown(path)}: the file exists already and may not be replaced"
        )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some file systems cannot sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(temporary: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, target)
    else:
        os.link(temporary, target)  # fails where the target has appeared meanwhile
        os.unlink(temporary)
    with suppress(OSError):  # the file is complete; only its durability is at stake
        _sync_folder(target.parent)


@contextmanager
def atomic_write(
    path: str | os.PathLike[str], *, private: bool = False, overwrite: bool = True
) -> Iterator[BinaryIO]:
    """A binary, seekable file that appears at `path` complete, or not at all.

    The bytes go to a temporary file in the same folder (so the folder must exist), are synced to
    disk, and take the name at the end of the `with` block. When the block raises, interruption by
    the keyboard included, the temporary file is removed and what stood at `path` is unchanged.

    Args:
        path: the file to write. A symbolic link is refused, not followed.
        private: mode 0600 from creation on, whatever the umask.
        overwrite: whether an existing file may be replaced.

    Raises:
        FileError: the file cannot be created, written or renamed. Any OSError raised inside the
            block counts as that (it stays the error's cause); other exceptions pass unchanged.
    """
    target = Path(path)
    if not target.name or "\0" in str(target):
        raise FileError(f"cannot write {shown(target)}: the name is not valid")
    temporary = target.parent / f".{target.name[:200]}.{secrets.token_hex(8)}.tmp"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        _refuse_special_target(target, overwrite=overwrite)
        with os.fdopen(os.open(temporary, flags, 0o600 if private else 0o666), "w+b") as file:
            if private:
                os.fchmod(file.fileno(), 0o600)
            yield file
            file.flush()
            os.fsync(file.fileno())
        _publish(temporary, target, overwrite=overwrite)
    except FileError:
        _remove(temporary)
        raise
    except OSError as error:
        _remove(temporary)
        raise explain(target, "write", error) from error
    except BaseException:
        _remove(temporary)
        raise


def _remove(temporary: Path) -> None:
    with suppress(OSError):
        temporary.unlink()
