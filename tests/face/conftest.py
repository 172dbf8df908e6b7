"""Fixtures of the command line: a runner, and two clients' files."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from fhe_face import cli
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
