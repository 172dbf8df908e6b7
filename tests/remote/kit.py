"""Small galleries at the fake server, or the real one: painted photos, as in tests/gallery."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Protocol

from fhe_face.remote.connection import Connection
from fhe_face.remote.creating import create_remote
from fhe_face.remote.gallery import RemoteGallery
from tests.gallery.kit import ALIGNED, SMALL, THRESHOLDS, Painted, Tiles


class Somewhere(Protocol):
    """A server that can be reached."""

    def connect(self) -> Connection:
        """To it, as its first tenant."""


def create(place: Somewhere, folder: Path, embedder: Painted | None = None, **options: Any) -> None:
    """A new gallery."""
    given: dict[str, Any] = {"thresholds": THRESHOLDS, "preparation": ALIGNED, **options}
    create_remote(
        folder,
        connection=place.connect(),
        embedder=embedder or Painted(),
        parameters=SMALL,
        threads=1,
        **given,
    )


def make(
    place: Somewhere, folder: Path, embedder: Painted | None = None, **options: Any
) -> RemoteGallery:
    """A new gallery, opened."""
    create(place, folder, embedder, **options)
    return reopen(place, folder, embedder)


def reopen(
    place: Somewhere, folder: Path, embedder: Painted | None = None, **options: Any
) -> RemoteGallery:
    """One that was made by `create`."""
    found = RemoteGallery.open(
        folder,
        connection=place.connect(),
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
