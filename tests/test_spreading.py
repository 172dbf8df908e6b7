"""`make test` spreads files over processes, never tests of a file: its fixtures are made once."""

from __future__ import annotations

import os

import pytest


@pytest.mark.parametrize("number", range(12))
def test_a_file_is_in_one_process(number: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each of these tests leaves the name of its process; beside others there must be no second."""
    process = os.environ.get("PYTEST_XDIST_WORKER")
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if process else own) / "spreading"
    folder.mkdir(exist_ok=True)
    (folder / (process or "alone")).touch()
    assert len(list(folder.iterdir())) == 1
