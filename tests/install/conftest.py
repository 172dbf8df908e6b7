"""The sdist, its wheel and the environment that it is installed in.

Each process of a run that takes several makes its own. A file's tests are in one process: what asks
for the wheel stands in test_installed.py.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.install.environments import (
    OWN,
    STRICT,
    Installed,
    base_pythons,
    build_sdist,
    build_wheel,
)


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


@pytest.fixture(scope="session")
def tracked(repository: Path) -> list[str]:
    """The files of the repository that still exist."""
    if not (repository / ".git").exists():
        pytest.skip("not a git checkout: nothing says which files belong to it")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    names = listing.stdout.strip("\0").split("\0")
    return [
        name for name in names if (repository / name).is_symlink() or _is_file(repository, name)
    ]


def _is_file(repository: Path, name: str) -> bool:
    return (repository / name).is_file()
