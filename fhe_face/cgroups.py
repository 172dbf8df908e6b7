"""What a container may use: limits of Linux control groups, of version 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MOUNT = Path("sys/fs/cgroup")


def memory_left(root: Path = Path("/")) -> int | None:
    """Bytes that the process's groups may still take, or None where no group limits them.

    root: of the file system, for tests. What the page cache holds and gives back counts as free.
    """
    found = []
    for folder in _groups(root, "memory"):
        for limit, used, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            allowed, taken = _numbers(folder / limit), _numbers(folder / used)
            if allowed and taken:
                found.append(max(0, allowed[0] - taken[0] + _entry(folder / "memory.stat", cache)))
    return min(found, default=None)


def processors(root: Path = Path("/")) -> float | None:
    """How many processors' time the groups may use, or None where no group limits it.

    root: of the file system, for tests.
    """
    found = []
    for folder in _groups(root, "cpu"):
        quota = _numbers(folder / "cpu.max")  # quota and period; "max" for no quota
        if not quota:
            quota = _numbers(folder / "cpu.cfs_quota_us") + _numbers(folder / "cpu.cfs_period_us")
        if len(quota) == 2 and quota[0] > 0 and quota[1] > 0:
            found.append(quota[0] / quota[1])
    return min(found, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the process's groups, and of those that these lie in.

    A container may see its own group as the root of the mount: its folder is missing then, and
    the mount itself has the limits.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        names = controllers.split(",")
        if controllers and controller not in names:
            continue
        mounts = (controllers, controller) if controllers else ("", "unified")
        for mount in dict.fromkeys(mounts):
            base = root / _MOUNT / mount
            folder = base / path.lstrip("/")
            while folder != base.parent:
                if folder.is_dir():
                    yield folder
                if folder == base:
                    break
                folder = folder.parent


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _numbers(file: Path) -> list[int]:
    """The numbers of a file; none where it is missing, or says "max"."""
    try:
        return [int(word) for word in _text(file).split()]
    except ValueError:
        return []


def _entry(file: Path, name: str) -> int:
    for line in _text(file).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return 0
