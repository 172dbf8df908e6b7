"""The command line's runner, and a small server with a gallery."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.face.conftest import fhe_face
from tests.gallery.kit import SMALL, people
from tests.remote.fake import Fake
from tests.remote.kit import make

__all__ = ["fhe_face"]


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    (tmp_path / "server").mkdir()
    return Fake(tmp_path / "server", parameters=SMALL)


@pytest.fixture
def filled(fake: Fake, tmp_path: Path) -> Path:
    with make(fake, tmp_path / "g", names=True) as gallery:
        gallery.enroll(people(tmp_path / "photos", 4, 2))
        gallery.seen()
    return tmp_path / "g"
