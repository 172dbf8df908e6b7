"""The scripts of `make sanitize` say what is wrong; the runs are a step of `make test`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


def script(repository: Path, name: str, *arguments: object, **variables: str) -> tuple[int, str]:
    """Exit status, and what it said on stderr."""
    command = ["sh", str(repository / "sanitize" / name), *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **variables}, check=False
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("sanitizer", ["", "memory"])
def test_unknown_sanitizers(repository: Path, tmp_path: Path, sanitizer: str) -> None:
    status, said = script(repository, "check.sh", sanitizer)
    assert (status, said.count("\n")) == (2, 1)
    assert "neither address nor thread" in said
    status, said = script(repository, "run.sh", sanitizer, tmp_path, "python3")
    assert status == 2
    assert "neither address nor thread" in said


@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_a_compiler_without_sanitizers(repository: Path, tmp_path: Path, sanitizer: str) -> None:
    status, said = script(repository, "check.sh", sanitizer, CXX=str(tmp_path / "no-compiler"))
    assert (status, said.count("\n")) == (1, 1)
    assert "no-compiler has no" in said


def test_what_run_needs(repository: Path, tmp_path: Path) -> None:
    status, said = script(repository, "run.sh", "address", tmp_path, "python3", "some")
    assert status == 2
    assert "neither all nor small" in said
    status, said = script(repository, "run.sh", "address", tmp_path, "python3", "small")
    assert status == 2
    assert f"no extension in {tmp_path}" in said
