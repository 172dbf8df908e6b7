"""The wheel on Pythons other than this one. A file of its own: its wheels are of nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extent import LONG
from tests.install.environments import (
    OWN,
    QUICK,
    STRICT,
    Installed,
    base_pythons,
    build_wheel,
)
from tests.install.first_minute import first_minute

pytestmark = pytest.mark.slow


def others() -> list[tuple[int, int]]:
    """Other Pythons: the oldest and the newest that this machine has, in the long run all."""
    found = [version for version in base_pythons() if version != OWN]
    return found if LONG or len(found) < 3 else [found[0], found[-1]]


@pytest.fixture(scope="module", params=others(), ids=str)
def elsewhere(
    request: pytest.FixtureRequest, sdist: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    """What a server has, on every other Python: the wheel without extras."""
    python = base_pythons()[request.param]
    built = build_wheel(python, sdist, tmp_path_factory.mktemp("wheel"), [STRICT, *QUICK])
    return Installed.make(python, str(built), tmp_path_factory.mktemp("installed"))


def test_on_every_other_python(elsewhere: Installed, repository: Path) -> None:
    first_minute(elsewhere)
    photo = repository / "docs" / "bundled-curves.png"
    assert "pip install 'fhe-face[client]'" in elsewhere.refused("demo", photo, photo)
