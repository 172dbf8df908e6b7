"""Finding another Python, and running a module of ours in it.

As a program, prints the path of a Python 3.10 that can make environments, or says why not::

    python -m fhe_core.oracles.interpreter
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fhe_core.oracles.interface import OracleError

#: OpenFHE's pinned wheel loads in this version of CPython only.
WANTED = (3, 10)
#: Names a Python that has numpy and openfhe.
VARIABLE = "FHE_FACE_OPENFHE_PYTHON"
#: Where ``make oracles`` puts the environment.
ENVIRONMENT = Path(".venv-openfhe/bin/python")
REPOSITORY = Path(__file__).resolve().parents[2]
#: What a Python for OpenFHE must be able to do.
PROBE = "import numpy, openfhe"
_PATIENCE_SECONDS = 60


def candidates(version: tuple[int, int] = WANTED) -> Iterator[Path]:
    """Interpreters by name on PATH, then in pyenv's folder of versions, newest first."""
    name = f"python{version[0]}.{version[1]}"
    found = shutil.which(name)
    if found:
        yield Path(found)
    roots = [Path.home() / ".pyenv"]
    if "PYENV_ROOT" in os.environ:
        roots.insert(0, Path(os.environ["PYENV_ROOT"]))
    for root in roots:
        versions = (root / "versions").glob(f"{version[0]}.{version[1]}*/bin/{name}")
        yield from sorted(versions, reverse=True)


def base_interpreter(version: tuple[int, int] = WANTED) -> Path:
    """A Python of that version that runs and has ``venv``.

    Raises:
        OracleError: there is none.
    """
    test = f"import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != {version})"
    for path in candidates(version):
        if not failure(path, test):  # pyenv's shims exist for versions that are not active
            return path
    wanted = f"{version[0]}.{version[1]}"
    raise OracleError(f"no Python {wanted}: none on PATH as python{wanted}, none in pyenv")


def openfhe_interpreter(repository: Path = REPOSITORY) -> Path:
    """A Python that imports numpy and openfhe: the one that the environment variable names, that of
    ``make oracles``, or this one.

    Raises:
        OracleError: there is none; the text says what was tried.
    """
    named = os.environ.get(VARIABLE)
    choices = [Path(named)] if named else [repository / ENVIRONMENT, Path(sys.executable)]
    reasons = []
    for path in choices:
        reason = failure(path, PROBE)
        if not reason:
            return path
        reasons.append(f"{path}: {reason}")
    hint = VARIABLE if named else "run 'make oracles', or set " + VARIABLE
    raise OracleError(f"OpenFHE cannot run ({hint}). " + "; ".join(reasons))


def run_module(
    python: Path, module: str, arguments: Sequence[str], threads: int, patience: float
) -> None:
    """Run ``python -m module arguments`` of this source tree.

    Raises:
        OracleError: it cannot start, fails (with its last line), or takes longer than ``patience``
            seconds.
    """
    changes = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": str(threads)}
    done = run([str(python), "-m", module, *arguments], patience, changes)
    if done.returncode:
        raise OracleError(f"{module}: {last_line(done)}")


def run(
    command: Sequence[str], patience: float, changes: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run another Python, with ``changes`` to the environment, and capture what it prints.

    Raises:
        OracleError: it cannot start, or takes longer than ``patience`` seconds.
    """
    environment = dict(os.environ)
    for name in ("PYTHONPATH", "PYTHONHOME"):
        environment.pop(name, None)  # they are meant for this interpreter
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=patience,
            env={**environment, **changes},
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise OracleError(str(error)) from None


def failure(python: Path, code: str) -> str:
    """Why an interpreter cannot run some code; "" where it can."""
    try:
        done = run([str(python), "-c", code], _PATIENCE_SECONDS, {})
    except OracleError as error:
        return str(error)
    return last_line(done) if done.returncode else ""


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Of what a process that failed said."""
    lines = done.stderr.strip().splitlines() or [f"ended with status {done.returncode}, silently"]
    return lines[-1]


def main() -> int:
    try:
        print(base_interpreter())
    except OracleError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
