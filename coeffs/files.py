"""Reading files of bounded size, and writing whole files or nothing."""

import errno
import os
import stat
import tempfile
from pathlib import Path


def read_bounded(path: str | os.PathLike[str], limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    OSError where it cannot be read; ValueError where it is something else or too large.
    """
    # A pipe without a writer would block the opening.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(mode):
            raise ValueError("not a regular file")
    except BaseException:
        os.close(descriptor)
        raise
    with open(descriptor, "rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"too large: more than {limit} bytes")
    return content


def one_line(text: str, limit: int = 2000) -> str:
    """Text that may come from a file, for a message: no line breaks or control characters."""
    cut = text if len(text) <= limit else text[:limit] + "..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(cut.split()))


def write_whole(path: str | os.PathLike[str], content: bytes, *, overwrite: bool = True) -> None:
    """Write a file under another name, then rename it; OSError where that fails.

    FileExistsError, an OSError, where the file exists and may not be replaced.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(".tmp", f".{target.name}.", target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        if overwrite:
            os.replace(name, target)
        else:
            os.link(name, target)  # fails where the file exists
            os.unlink(name)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
