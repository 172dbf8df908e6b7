"""Files and folders that a command is given, as the pictures in them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fhe_core.files import FileError, explain, shown
from fhe_face.photos.picture_kinds import is_picture


@dataclass(frozen=True)
class PictureFile:
    """A picture, and the folder it lay in, relative to the folder that was given."""

    path: Path
    folder: Path = Path()


def picture_files(given: Sequence[Path]) -> tuple[list[PictureFile], int]:
    """Files as they are, and every picture in the folders, sorted by name; how many files of
    the folders are no pictures. Hidden files and folders are passed over.

    Raises:
        FileError: a folder cannot be read, or has no picture in it.
    """
    found: list[PictureFile] = []
    others = 0
    for path in given:
        if not path.is_dir():
            found.append(PictureFile(path))
            continue
        inside = list(_files(path))
        own = [
            PictureFile(file, file.parent.relative_to(path)) for file in inside if is_picture(file)
        ]
        if not own:
            raise FileError(f"{shown(path)}: a folder without pictures")
        found += own
        others += len(inside) - len(own)
    return found, others


def _files(folder: Path) -> Iterator[Path]:
    def failed(error: OSError) -> None:
        raise explain(folder, "read", error) from error

    for root, folders, files in os.walk(folder, onerror=failed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(root, name)
