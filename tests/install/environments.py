"""Distributions of this checkout, and bare environments outside it that hold nothing but one."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fhe_core.oracles import interpreter
from fhe_core.oracles.interface import OracleError

#: The Python on which everything is tried; the others get the quick part.
OWN = sys.version_info[:2]
VERSIONS = ((3, 10), (3, 11), (3, 12), (3, 13))
#: A warning of a compiler that we know ends the build here, and nowhere else.
STRICT = "cmake.define.FHE_FACE_WERROR=ON"
#: Half the time: for Pythons on which only the sources, their files and their names are tried.
QUICK = (
    "cmake.build-type=Debug",
    "cmake.define.CMAKE_CXX_FLAGS_DEBUG=-O0",
)
#: Links of the repository, by what they name.
LINKS = {
    "fhe_face/coeffs": "../coeffs",
    "fhe_face/models": "../models",
    "installed/fhe_core": "../fhe_core",
    "installed/fhe_face": "../fhe_face",
}
_SDIST = "import sys; from scikit_build_core import build; print(build.build_sdist(sys.argv[1]))"
_PATIENCE_SECONDS = 1200


def base_pythons() -> dict[tuple[int, int], Path]:
    """An interpreter of every version that this machine has, by its first two numbers."""
    found = {}
    for version in VERSIONS:
        try:
            found[version] = interpreter.base_interpreter(version)
        except OracleError:
            continue
    return found


def clean(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a stranger's shell: nothing that names this checkout or its modules."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "COLUMNS")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, **(changes or {})}


def call(command: Sequence[str | Path], folder: Path, **changes: str) -> str:
    """What a command prints on stdout; AssertionError, with both streams, where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=clean(changes),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}: status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def build_sdist(repository: Path, folder: Path) -> Path:
    """The sdist of a checkout, made with the build backend of this environment."""
    name = call([sys.executable, "-c", _SDIST, folder], repository).splitlines()[-1]
    return folder / name


def build_wheel(python: Path, sdist: Path, folder: Path, settings: Sequence[str]) -> Path:
    """The wheel of an sdist, for a base interpreter, built in isolation as pip does for strangers.

    cmake and ninja are those of this environment, which saves pip from fetching them.
    """
    options = [word for setting in settings for word in ("--config-settings", setting)]
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["-m", "pip", *_PIP, "wheel", "--no-deps", *options, "-w", str(folder)]
    call([python, *command, sdist], folder, PATH=tools)
    (wheel,) = folder.glob("*.whl")
    return wheel


@dataclass(frozen=True)
class Installed:
    """A bare environment with one wheel and what it asks for, and an empty folder to work in."""

    python: Path
    folder: Path

    @classmethod
    def make(cls, python: Path, requirement: str, root: Path) -> Installed:
        """`requirement`: a wheel's path, perhaps with extras in brackets."""
        environment, folder = root / "environment", root / "work"
        folder.mkdir(parents=True)
        call([python, "-m", "venv", environment], folder)
        made = cls(environment / "bin" / "python", folder)
        options = shlex.split(os.environ.get("PIP_FLAGS", ""))
        # Bytecode of what is never imported takes longer than all the rest.
        words = (*_PIP, "install", *options, "--no-compile", "--only-binary", ":all:", requirement)
        made.run("-m", "pip", *words)
        return made

    def run(self, *arguments: str | Path, folder: Path | None = None) -> str:
        """What this environment's Python prints."""
        return call([self.python, *arguments], folder or self.folder)

    def fhe_face(self, *arguments: str | Path) -> str:
        """What the installed command prints."""
        return call([self.python.with_name("fhe-face"), *arguments], self.folder)

    def refused(self, *arguments: str | Path) -> str:
        """The error of the installed command, which must fail and say why in one line."""
        command = [self.python.with_name("fhe-face"), *arguments]
        done = subprocess.run(
            [str(word) for word in command],
            cwd=self.folder,
            env=clean(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1, (done.stdout, done.stderr)
        *notes, error = done.stderr.splitlines()
        assert error.startswith("error: ")
        assert not any(line.startswith(("error", "Traceback")) for line in notes)
        return error


_PIP = ("--disable-pip-version-check", "--quiet", "--no-input")
