"""Fixtures of the command line: a runner, and two clients' files."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhe_face import cli
from fhe_face.models.checkpoint import save_safetensors
from fhe_face.models.synthetic import untrained
from tests.face.kit import Kit, Result, Run, make_kit


@pytest.fixture
def fhe_face(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs ``fhe-face`` in this process with the given arguments."""
    monkeypatch.delenv("COLUMNS", raising=False)  # test workers have it: tables would be cut

    def run(*arguments: object) -> Result:
        with pytest.raises(SystemExit) as caught:
            cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        code = caught.value.code
        return Result(code if isinstance(code, int) else 0, out, err)

    before = signal.getsignal(signal.SIGTERM)
    yield run
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return make_kit(tmp_path_factory.mktemp("kit"))


@pytest.fixture(scope="session")
def other_kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """Another client's files."""
    return make_kit(tmp_path_factory.mktemp("other"))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that has learned nothing."""
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    save_safetensors(untrained(0), path)
    return path
