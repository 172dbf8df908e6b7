"""`make fuzz` itself: a finding ends it with status 1 and stays on disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.registry import TARGETS

pytest.importorskip("atheris", reason="fuzzing needs atheris")


def fuzz(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fuzz.run", *arguments]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_short_run(repository: Path, tmp_path: Path) -> None:
    done = fuzz(repository, "job", "--seconds", "1", "--corpus", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"target": "job", "status": 0' in done.stdout
    assert "runs of 1 parsers in 1 s" in done.stdout
    assert (tmp_path / "job" / "seed-0").exists()
    assert not list((tmp_path / "findings").iterdir())


@pytest.mark.slow
def test_a_finding(repository: Path, tmp_path: Path) -> None:
    """A parser that fails on the letter x, put in by a module that Python loads first."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'fuzz.one' in ' '.join(sys.orig_argv):\n"
        "    from fhe_face import server_job\n"
        "    def broken(text):\n"
        "        if 'e' in text:\n"
        "            raise KeyError(text)\n"
        "    server_job.Job.from_json = staticmethod(broken)\n"
    )
    corpus = str(tmp_path / "corpus")
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.run", "job", "--seconds", "5", "--corpus", corpus],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{repository}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "findings in job" in done.stdout
    findings = {p.name.split("-")[0] for p in (tmp_path / "corpus" / "findings").iterdir()}
    assert findings == {"crash", "job.log"}
    assert "KeyError" in (tmp_path / "corpus" / "findings" / "job.log").read_text()


def test_unknown_targets(repository: Path) -> None:
    done = fuzz(repository, "nothing")
    assert done.returncode == 2
    assert "no target nothing" in done.stderr
    assert all(name in done.stderr for name in TARGETS)
