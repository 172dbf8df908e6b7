"""``fhe-face worker``: its options, and what it says where there is no service."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhe_core.errors import Failure
from fhe_face.cli import app
from fhe_face.failures import UsageError
from fhe_face.service.errors import Invalid
from fhe_face.service.jobs.lane import BLOCK_BYTES, LaneSettings
from fhe_face.service.jobs.worker import settings_for
from fhe_face.service.settings import Settings, save_settings


def test_the_services_settings_are_those_of_a_worker(tmp_path: Path) -> None:
    save_settings(tmp_path, Settings(weights="official", worker_memory=10**10, grace_seconds=7))
    found = settings_for(tmp_path)
    assert (found.weights, found.memory, found.grace) == ("official", 10**10, 7)
    assert (found.threads, found.blocks) == (None, BLOCK_BYTES)
    assert found.folder == str(tmp_path.resolve())
    own = settings_for(tmp_path, weights="bundled", threads=3, memory=5, blocks=0, grace=0.0)
    assert (own.weights, own.threads, own.memory, own.blocks, own.grace) == ("bundled", 3, 5, 0, 0)
    assert own.worker != found.worker
    assert LaneSettings.from_json(own.to_json()) == own


def test_settings_that_cannot_be_are_told(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"threads": "many"}')
    with pytest.raises(Invalid, match="threads"):
        settings_for(tmp_path)


def test_there_is_no_service(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["worker", "--folder", str(tmp_path)])
    assert isinstance(ended.exception, Failure)
    assert "holds no service" in str(ended.exception)


@pytest.mark.parametrize("option", ["--memory", "--blocks"])
@pytest.mark.parametrize("given", ["inf", "1e300"])
def test_more_memory_than_there_is(tmp_path: Path, option: str, given: str) -> None:
    ended = CliRunner().invoke(app, ["worker", "--folder", str(tmp_path), option, given])
    assert isinstance(ended.exception, UsageError)
    assert option in str(ended.exception)


def test_help_has_a_line_to_copy() -> None:
    ended = CliRunner().invoke(app, ["worker", "--help"])
    assert ended.exit_code == 0
    assert "fhe-face worker --folder data" in ended.output
