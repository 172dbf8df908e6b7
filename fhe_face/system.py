"""What the machine has left: disk, memory, and the most memory this process has used."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from pathlib import Path

from fhe_core.files import FileError, explain, shown

#: Kept free beside what is written.
_RESERVE_BYTES = 64 << 20


def default_threads() -> int:
    """One thread per processor."""
    return os.cpu_count() or 1


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


def available_memory_bytes() -> int | None:
    """Memory that can be had without swapping, or None where the system does not say."""
    kilobytes = _proc_field(Path("/proc/meminfo"), "MemAvailable")
    return None if kilobytes is None else kilobytes << 10


def _proc_field(file: Path, name: str) -> int | None:
    try:
        for line in file.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
    except (OSError, ValueError, IndexError):
        pass
    return None


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
        raise FileError(f"cannot write {shown(file)}: permission denied")


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
