"""What the machine has left: disk, memory, and the most memory this process has used."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fhe_core.files import FileError, explain, shown
from fhe_face import cgroups

#: Kept free beside what is written.
_RESERVE_BYTES = 64 << 20


def default_threads(root: Path = Path("/")) -> int:
    """One thread for each processor that this process may use: affinity and CPU quota.

    root: of the file system, for tests.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = cgroups.processors(root)
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def peak_memory_bytes() -> int:
    """The most memory this process has occupied.

    From /proc where there is one: getrusage counts the parent's memory for a process that was
    started by fork and exec.
    """
    kilobytes = _proc_field(Path("/proc/self/status"), "VmHWM")
    if kilobytes is not None:
        return kilobytes << 10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak << 10)


def give_back_memory() -> None:
    """Return what this process has freed to the system: the C library keeps it for each thread.

    After a start that took hundreds of megabytes for a while. Where it cannot (other than glibc),
    nothing happens.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def available_memory_bytes(root: Path = Path("/")) -> int | None:
    """Memory that can be had without swapping, or None where the system does not say.

    The least of what the machine has and what the container may take. root: of the file system,
    for tests.
    """
    kilobytes = _proc_field(root / "proc/meminfo", "MemAvailable")
    found = (None if kilobytes is None else kilobytes << 10, cgroups.memory_left(root))
    return min((value for value in found if value is not None), default=None)


def _proc_field(file: Path, name: str) -> int | None:
    try:
        for line in file.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A new private folder for keys and ciphertexts, removed at the end, whatever happens.

    Raises:
        FileError: it cannot be made. Where TMPDIR (or TEMP, TMP) is set, no other folder is taken:
            gigabytes and a secret key go there.
    """
    name = next((name for name in ("TMPDIR", "TEMP", "TMP") if os.environ.get(name)), None)
    parent = tempfile.gettempdir() if name is None else os.environ[name]
    try:
        temporary = tempfile.TemporaryDirectory(prefix=prefix, dir=parent)
    except OSError as error:
        failure = explain(parent, "write to", error)
        if name is None:
            raise failure from error
        raise FileError(f"{failure} ({name} names this folder for temporary files)") from error
    with temporary as folder:
        yield Path(folder)


def require_space(folder: str | os.PathLike[str], needed: int, hint: str = "") -> None:
    """Check that a folder's disk has room before minutes are spent on filling it.

    Raises:
        FileError: it has not, or the folder cannot be read.
    """
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise explain(folder, "write to", error) from error
    if free < needed + _RESERVE_BYTES:
        raise FileError(
            f"not enough disk space in {shown(folder)}: {size(needed)} are needed, "
            f"{size(free)} are free{hint}"
        )


def size(count: float) -> str:
    """Bytes for people, such as "61 MB" (decimal)."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= factor:
            value = count / factor
            return f"{value:.2f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count:.0f} bytes"


def seconds(value: float) -> str:
    """A duration for people, such as "24.1 s" or "85 ms"."""
    return f"{value:.1f} s" if value >= 1 else f"{1000 * value:.0f} ms"


def duration(value: float) -> str:
    """A time to wait, for people, such as "2 h 5 min", "3 min 20 s" or "8 s"."""
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
