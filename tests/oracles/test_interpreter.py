"""Finding another Python: each way, and each reason why not."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from fhe_core.oracles import interpreter, openfhe_library, seal_library
from fhe_core.oracles.interface import OracleError

THIS = sys.version_info[:2]
NAME = f"python{THIS[0]}.{THIS[1]}"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No Python on PATH, none in pyenv, none named."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PYENV_ROOT", interpreter.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def place(path: Path, text: str = "") -> Path:
    """An executable that runs this Python, or a script."""
    path.parent.mkdir(parents=True)
    if text:
        path.write_text(text)
        path.chmod(0o755)
    else:
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        path.chmod(0o755)
    return path


def test_none(nowhere: Path) -> None:
    with pytest.raises(OracleError, match=r"no Python 3\.10: none on PATH as python3\.10"):
        interpreter.base_interpreter()


def test_on_path(nowhere: Path) -> None:
    python = place(nowhere / "bin" / NAME)
    assert interpreter.base_interpreter(THIS) == python


@pytest.mark.parametrize("variable", [True, False])
def test_in_pyenv(nowhere: Path, monkeypatch: pytest.MonkeyPatch, variable: bool) -> None:
    root = nowhere / ("roots" if variable else ".pyenv")
    if variable:
        monkeypatch.setenv("PYENV_ROOT", str(root))
    python = place(root / "versions" / f"{THIS[0]}.{THIS[1]}.7" / "bin" / NAME)
    assert interpreter.base_interpreter(THIS) == python


def test_a_shim_that_does_not_run_is_passed_over(nowhere: Path) -> None:
    place(nowhere / "bin" / NAME, "#!/bin/sh\necho 'not installed' >&2\nexit 127\n")
    python = place(nowhere / ".pyenv" / "versions" / f"{THIS[0]}.{THIS[1]}" / "bin" / NAME)
    assert interpreter.base_interpreter(THIS) == python


def test_openfhe_is_probed(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = place(nowhere / "good" / "python", "#!/bin/sh\nexit 0\n")
    monkeypatch.setenv(interpreter.VARIABLE, str(good))
    assert interpreter.openfhe_interpreter() == good
    bad = place(nowhere / "bad" / "python", "#!/bin/sh\necho 'wrong ELF class' >&2\nexit 1\n")
    monkeypatch.setenv(interpreter.VARIABLE, str(bad))
    with pytest.raises(OracleError, match=rf"{interpreter.VARIABLE}\).*bad/python: wrong ELF"):
        interpreter.openfhe_interpreter()
    monkeypatch.delenv(interpreter.VARIABLE)
    made = place(nowhere / interpreter.ENVIRONMENT, "#!/bin/sh\nexit 0\n")
    assert interpreter.openfhe_interpreter(nowhere) == made


def test_no_openfhe_anywhere_says_what_was_tried(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(nowhere / "python"))
    expected = rf"run 'make oracles'.*{interpreter.ENVIRONMENT}: .*No such file.*/python: .*No such"
    with pytest.raises(OracleError, match=expected):
        interpreter.openfhe_interpreter(nowhere)


@pytest.mark.parametrize(
    ("library", "module"), [(openfhe_library, "openfhe"), (seal_library, "tenseal")]
)
def test_a_wheel_that_cannot_be_imported(
    library: object, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, f"{module}.sealapi", None)
    with pytest.raises(OracleError, match=f"cannot import {module}"):
        library.imported()  # type: ignore[attr-defined]


def test_a_module_that_fails_gives_its_last_line(tmp_path: Path) -> None:
    worker = "fhe_core.oracles.openfhe_worker"
    with pytest.raises(OracleError, match=r"openfhe_worker: usage: openfhe_worker JOB"):
        interpreter.run_module(Path(sys.executable), worker, [], 1, 60)
    missing = os.fspath(tmp_path / "job.npz")
    with pytest.raises(OracleError, match=r"job\.npz: not a job for an oracle"):
        interpreter.run_module(Path(sys.executable), worker, [missing, missing], 1, 60)
    with pytest.raises(OracleError, match="timed out"):
        interpreter.run([sys.executable, "-c", "import time; time.sleep(30)"], 0.2, {})


def test_as_a_program(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert interpreter.main() == 1
    assert "no Python 3.10" in capsys.readouterr().err
    monkeypatch.setattr(interpreter, "base_interpreter", lambda: Path("/some/python"))
    assert interpreter.main() == 0
    assert capsys.readouterr().out == "/some/python\n"


def test_the_makefile_installs_the_pinned_wheel_where_it_is_looked_for(repository: Path) -> None:
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    project = (repository / "pyproject.toml").read_text(encoding="utf-8")
    (pin,) = re.findall(r"'(openfhe==[^']+)'", makefile)
    assert f'"{pin}; python_version' in project
    assert "VENV ?= .venv\n" in makefile
    assert "OPENFHE_VENV := $(VENV)-openfhe\n" in makefile
    assert Path(".venv-openfhe/bin/python") == interpreter.ENVIRONMENT


def test_the_source_tree_is_found(repository: Path) -> None:
    """A worker in another Python imports this tree: PYTHONPATH and the environment's folder."""
    assert repository == interpreter.REPOSITORY
