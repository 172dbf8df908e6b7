"""What the commands of ``fhe-face bench`` share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.oracles import interpreter
from fhe_face.failures import USAGE, CommandError
from fhe_face.output import Output, rings
from fhe_face.system import temporary_folder

#: One thread at work is a load of one: above this, others are at work as well.
_QUIET_LOAD = 0.5


@contextmanager
def workspace() -> Iterator[Path]:
    """A private folder for keys, removed at the end, whatever happens."""
    with temporary_folder("fhe-face-bench-") as folder:
        yield folder


def require_openfhe(python: Path | None) -> None:
    """Refuse an interpreter that cannot run OpenFHE before time is spent on our own operations.

    Raises:
        CommandError: it was named, and does not import openfhe.
    """
    if python is not None:
        reason = interpreter.failure(python, interpreter.PROBE)
        if reason:
            raise CommandError(
                f"--openfhe-python is '{python}', which cannot import openfhe: {reason}", USAGE
            )


def warn_of_load(output: Output, facts: Mapping[str, Any]) -> None:
    """A warning where other programs use the processors: times would be too long."""
    load = facts["load_average"]
    if load is not None and load > _QUIET_LOAD:
        output.warn(f"the machine is busy (load {load:.1f}): times are too long, ratios less so")


def show_machine(console: Console, facts: Mapping[str, Any]) -> None:
    """One line on what the numbers were measured on, one on the parameters."""
    commit, changes, _ = (facts["commit"] or "").partition("+changes")
    version = commit[:12] + changes or facts["version"] or "of an unknown version"
    load = "" if facts["load_average"] is None else f", load {facts['load_average']:.1f}"
    console.print(
        f"{facts['cpu']}, {facts['processors']} processors, {facts['instruction_set']}, "
        f"threads: {facts['threads']}{load}; fhe-face {version}."
    )
    if "parameters" in facts:
        p = facts["parameters"]
        console.print(f"Parameters '{p['name']}': {rings(p)}; digest {p['digest'][:12]}.")
