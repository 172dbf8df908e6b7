"""What a measurement was made on: without it, a number means nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fhe_core import _native
from fhe_core.parameters import Parameters
from fhe_face.system import available_memory_bytes

_PATIENCE_SECONDS = 10


def facts(threads: int, parameters: Parameters | None = None) -> dict[str, Any]:
    """CPU, instruction set, threads, versions, load, and parameters with their security margin.

    ``load_average`` (of the last minute) tells whether others used the processors at that time.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    found: dict[str, Any] = {
        "cpu": cpu_model(),
        "processors": os.cpu_count(),
        "instruction_set": _native.kernels.selected(),
        "threads": threads,
        "load_average": load,
        "available_memory_bytes": available_memory_bytes(),
        "python": platform.python_version(),
        "version": installed_version(),
        "commit": commit(),
    }
    if parameters is not None:
        described = parameters.describe()
        found["parameters"] = described
        found["parameters_digest"] = described["digest"]
    return found


def cpu_model() -> str:
    """The processor's name as the system gives it, with family and model where it says them.

    Virtual machines shorten names: "AMD EPYC" may be of any generation.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    found: dict[str, str] = {}
    for line in text.partition("\n\n")[0].splitlines():  # of the first one
        name, _, value = line.partition(":")
        found[name.strip()] = value.strip()
    name = found.get("model name") or platform.processor() or platform.machine() or "unknown"
    if "cpu family" in found and "model" in found:
        name += f" (family {found['cpu family']}, model {found['model']})"
    return name


def installed_version() -> str | None:
    """Of the installed package; None in a source tree that is not installed."""
    try:
        return version("fhe-face")
    except PackageNotFoundError:
        return None


def commit() -> str | None:
    """The checked-out commit that this file belongs to, "+changes" where tracked files differ.

    None outside of a git checkout, or where git is missing.
    """
    here = Path(__file__).resolve()
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    head = _git(here.parent, "rev-parse", "HEAD")
    if head is None:
        return None
    changes = _git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return head + ("+changes" if changes else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
