"""What the sdist and the wheel hold: all that is in the repository, once, under two names."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

#: What a distribution's user has no use for.
LEFT_OUT = (".ci/",)
LINKS = {
    "fhe_face/coeffs": "../coeffs",
    "fhe_face/models": "../models",
    "installed/fhe_core": "../fhe_core",
    "installed/fhe_face": "../fhe_face",
}
#: Where the repository's folders are installed.
PLACES = {
    "fhe_core/": "fhe_core/",
    "fhe_face/": "fhe_face/",
    "models/": "fhe_face/models/",
    "coeffs/": "fhe_face/coeffs/",
}


@pytest.fixture(scope="module")
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


def test_the_sdist_is_the_repository(sdist: Path, tracked: list[str]) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    inside = {member.name.partition("/")[2]: member for member in members if not member.isdir()}
    wanted = {name for name in tracked if not name.startswith(LEFT_OUT)}
    assert set(inside) == wanted | {"PKG-INFO"}
    links = {name: member.linkname for name, member in inside.items() if member.issym()}
    assert links == LINKS


def test_the_wheel_is_two_packages(wheel: Path, tracked: list[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert max(Counter(names).values()) == 1
    ours = {name for name in names if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in ours} == {"fhe_core", "fhe_face"}
    (extension,) = (name for name in ours if name.endswith(".so"))
    assert extension.startswith("fhe_core/_native.")
    wanted = {
        target + name.removeprefix(source)
        for source, target in PLACES.items()
        for name in tracked
        if name.startswith(source) and name not in LINKS
    }
    assert ours - {extension} == wanted
