"""An authority in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.authority import kit


@pytest.fixture
def world(tmp_path: Path) -> Iterator[kit.World]:
    made = kit.World(tmp_path / "authority")
    yield made
    made.close()
