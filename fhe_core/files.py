"""Files on disk: atomic writing, private modes, and one-line errors.

Every failure is a :class:`FileError` whose text is one line that names the file. Also used by
``models`` and ``coeffs``: nothing here knows what the project computes.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fhe_core.errors import Failure

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


#: What os.link and chmod raise where the file system has no links or modes (FAT, SMB, FUSE).
_NOT_SUPPORTED = frozenset(
    (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL)
)


class FileError(Failure, OSError):
    """A file cannot be opened, read or written; the text is one line that names it.

    reason: what is wrong, without the file's name.
    """

    code = "file"

    reason: str = "unusable"


class ReplacementError(FileError):
    """An output would replace a file that must stay: an input, a key, or another kind of file."""

    code = "replacement"


@dataclass(frozen=True)
class FileKind:
    """What a file holds, as its content shows: an output replaces only its own kind.

    name: for messages, such as "an encrypted score"; recognise: whether the content of a file,
    open at its start, is of this kind (an OSError, ValueError or RecursionError counts as no).
    """

    name: str
    recognise: Callable[[BinaryIO], bool]

    def found_in(self, path: str | os.PathLike[str]) -> bool:
        """Whether a regular file is of this kind. FileError: it cannot be read."""
        with open_regular(path) as raw, os.fdopen(os.dup(raw.fileno()), "rb") as stream:
            try:
                return self.recognise(stream)
            except (OSError, ValueError, RecursionError):
                return False


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
    return _error(path, action, reason_of(error))


def reason_of(error: OSError) -> str:
    """What is wrong, in a few words, without a file's name."""
    if isinstance(error, FileError):
        return error.reason
    return _REASONS.get(error.errno or 0) or error.strerror or str(error)


def _error(path: str | os.PathLike[str], action: str, reason: str) -> FileError:
    failure = FileError(f"cannot {action} {shown(path)}: {reason}")
    failure.reason = reason
    return failure


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
        raise _error(path, "read", "the name is not valid") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
            raise _error(path, "read", f"it is {what}, not a regular file")
        return os.fdopen(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def read_bounded(path: str | os.PathLike[str], limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        FileError: it is missing, unreadable, no regular file, or larger.
    """
    with open_regular(path) as raw:
        try:
            content = raw.read(limit + 1) or b""
            while 0 < len(content) <= limit and (more := raw.read(limit + 1 - len(content))):
                content += more
        except OSError as error:
            raise explain(path, "read", error) from error
    if len(content) > limit:
        raise _error(path, "read", f"too large: more than {limit} bytes")
    return content


def require_replaceable(
    path: str | os.PathLike[str], kind: FileKind | None = None, *, overwrite: bool = True
) -> bool:
    """Whether a file stands at `path`, after checking that writing there would lose nothing.

    kind: what will be written; a file of another kind must stay. An empty file holds nothing.

    Raises:
        ReplacementError: the file is of another kind.
        FileError: it may not be replaced, or is a link, folder, device, pipe or socket.
    """
    target = Path(path)
    try:
        status = os.lstat(target)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise explain(target, "write", error) from error
    _refuse_special(target, status.st_mode)
    if not overwrite:
        raise _error(target, "write", "the file exists already and may not be replaced")
    if kind is not None and status.st_size and not kind.found_in(target):
        raise ReplacementError(
            f"{shown(target)}: exists and is not {kind.name}, so it is not replaced; name "
            "another file"
        )
    return True


def _refuse_special(path: Path, mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise _error(path, "write", "it is a symbolic link; name the file it should become")
    if stat.S_ISDIR(mode):
        raise _error(path, "write", "it is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise _error(path, "write", "it is a device, pipe or socket, not a file")


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable, where its file system can. OSError: it cannot be opened."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some file systems cannot sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(temporary: Path, target: Path, *, overwrite: bool) -> None:
    """Give a complete file its name, and sync the folder.

    Where the file system has no hard links, the name is taken by an empty file first, so that a
    file that has appeared meanwhile is not replaced either.

    Raises:
        OSError: it cannot be renamed; FileExistsError: `target` exists and may not be replaced.
    """
    if overwrite:
        os.replace(temporary, target)
    else:
        try:
            os.link(temporary, target)  # fails where the target has appeared meanwhile
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
            _publish_without_links(temporary, target)
        else:
            os.unlink(temporary)
    with suppress(OSError):  # the file is complete; only its durability is at stake
        sync_folder(target.parent)


def _publish_without_links(temporary: Path, target: Path) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        os.replace(temporary, target)
    except BaseException:
        target.unlink()
        raise


def keeps_modes_private(folder: str | os.PathLike[str]) -> bool:
    """Whether a new file of mode 0600 in a folder stays closed to others; tried with a file.

    Raises:
        FileError: nothing can be written into the folder.
    """
    probe = Path(folder) / f".{secrets.token_hex(8)}.tmp"
    try:
        with os.fdopen(os.open(probe, _NEW_FILE, 0o600), "w+b") as file:
            _make_private(file)
            return not os.fstat(file.fileno()).st_mode & 0o077
    except OSError as error:
        raise explain(folder, "write to", error) from error
    finally:
        _remove(probe)


def _make_private(file: BinaryIO) -> None:
    """Mode 0600, as far as the file system has modes: see `keeps_modes_private`."""
    try:
        os.fchmod(file.fileno(), 0o600)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise


_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


@contextmanager
def atomic_write(
    path: str | os.PathLike[str],
    *,
    private: bool = False,
    overwrite: bool = True,
    kind: FileKind | None = None,
) -> Iterator[BinaryIO]:
    """A binary, seekable file that appears at `path` complete, or not at all.

    The bytes go to a temporary file in the same folder (so the folder must exist), are synced to
    disk, and take the name at the end of the `with` block. When the block raises, interruption by
    the keyboard included, the temporary file is removed and what stood at `path` is unchanged.

    Args:
        path: the file to write. A symbolic link is refused, not followed.
        private: mode 0600 from creation on, whatever the umask; on a file system without modes,
            what it gives (`keeps_modes_private` tells before).
        overwrite: whether an existing file may be replaced.
        kind: what is written; a file of another kind is never replaced.

    Raises:
        ReplacementError: a file of another kind stands there.
        FileError: the file cannot be created, written or renamed. Any OSError raised inside the
            block counts as that (it stays the error's cause); other exceptions pass unchanged.
    """
    target = Path(path)
    if not target.name or "\0" in str(target):
        raise _error(target, "write", "the name is not valid")
    temporary = target.parent / f".{target.name[:200]}.{secrets.token_hex(8)}.tmp"
    try:
        require_replaceable(target, kind, overwrite=overwrite)
        with os.fdopen(os.open(temporary, _NEW_FILE, 0o600 if private else 0o666), "w+b") as file:
            if private:
                _make_private(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, target, overwrite=overwrite)
    except FileError:
        _remove(temporary)
        raise
    except OSError as error:
        _remove(temporary)
        raise explain(target, "write", error) from error
    except BaseException:
        _remove(temporary)
        raise


def write_whole(
    path: str | os.PathLike[str],
    content: bytes,
    *,
    private: bool = False,
    overwrite: bool = True,
    kind: FileKind | None = None,
) -> None:
    """Write a file atomically; arguments and errors as for `atomic_write`."""
    with atomic_write(path, private=private, overwrite=overwrite, kind=kind) as stream:
        stream.write(content)


def _remove(temporary: Path) -> None:
    with suppress(OSError):
        temporary.unlink()
