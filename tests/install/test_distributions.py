"""What the sdist holds: all that is in the repository."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.install.environments import LINKS

pytestmark = pytest.mark.slow

#: What a distribution's user has no use for.
LEFT_OUT = (".ci/",)


def test_the_sdist_is_the_repository(sdist: Path, tracked: list[str]) -> None:
    with tarfile.open(sdist) as archive:
        members = archive.getmembers()
    inside = {member.name.partition("/")[2]: member for member in members if not member.isdir()}
    wanted = {name for name in tracked if not name.startswith(LEFT_OUT)}
    assert set(inside) == wanted | {"PKG-INFO"}
    links = {name: member.linkname for name, member in inside.items() if member.issym()}
    assert links == LINKS
