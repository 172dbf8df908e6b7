"""The sdist and its wheels, built once, and the environments that they are installed in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.extent import LONG
from tests.install.environments import (
    QUICK,
    STRICT,
    Installed,
    base_pythons,
    build_sdist,
    build_wheel,
)

#: The Python on which everything is tried; the others get the quick part.
OWN = sys.version_info[:2]


@pytest.fixture(scope="session")
def sdist(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this checkout."""
    return build_sdist(repository, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of that sdist for this Python, as a user builds it; warnings end the build."""
    python = base_pythons().get(OWN)
    if python is None:
        pytest.skip(f"no base interpreter of Python {OWN} that can make environments")
    return build_wheel(python, sdist, tmp_path_factory.mktemp("wheel"), [STRICT])


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What a client has: the wheel and the extra `client`."""
    root = tmp_path_factory.mktemp("installed")
    return Installed.make(base_pythons()[OWN], f"{wheel}[client]", root)


def others() -> list[tuple[int, int]]:
    """Other Pythons: the oldest and the newest that this machine has, in the long run all."""
    found = [version for version in base_pythons() if version != OWN]
    return found if LONG or len(found) < 3 else [found[0], found[-1]]


@pytest.fixture(scope="session", params=others(), ids=str)
def elsewhere(
    request: pytest.FixtureRequest, sdist: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installed:
    """What a server has, on every other Python: the wheel without extras."""
    python = base_pythons()[request.param]
    built = build_wheel(python, sdist, tmp_path_factory.mktemp("wheel"), [STRICT, *QUICK])
    return Installed.make(python, str(built), tmp_path_factory.mktemp("installed"))
