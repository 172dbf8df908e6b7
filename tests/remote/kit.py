"""Small galleries at the fake server: painted photos, as in tests/gallery."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from fhe_face.remote.creating import create_remote
from fhe_face.remote.gallery import RemoteGallery
from tests.gallery.kit import ALIGNED, SMALL, THRESHOLDS, Painted, Tiles
from tests.remote.fake import Fake


def make(
    fake: Fake, folder: Path, embedder: Painted | None = None, **options: Any
) -> RemoteGallery:
    """A new gallery, opened."""
    given: dict[str, Any] = {"thresholds": THRESHOLDS, "preparation": ALIGNED, **options}
    create_remote(
        folder,
        connection=fake.connect(),
        embedder=embedder or Painted(),
        parameters=SMALL,
        threads=1,
        **given,
    )
    return reopen(fake, folder, embedder)


def reopen(
    fake: Fake, folder: Path, embedder: Painted | None = None, **options: Any
) -> RemoteGallery:
    """One that was made by `make`."""
    found = RemoteGallery.open(
        folder,
        connection=fake.connect(),
        embedder=embedder or Painted(),
        parameters=SMALL,
        threads=1,
        **options,
    )
    found.finder.reader.aligner = Tiles()  # type: ignore[assignment]
    return found


def other_client(folder: Path, target: Path) -> Path:
    """The same gallery's key on another machine, which has seen nothing yet."""
    shutil.copytree(folder, target)
    (target / "client" / "gallery.witness").unlink(missing_ok=True)
    return target
