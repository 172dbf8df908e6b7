"""What the README presupposes: two photos of one person, called a.jpg and b.jpg."""

from __future__ import annotations

import shutil
from pathlib import Path


def place_photos(shared: Path, folder: Path) -> None:
    """Two photos of the first person of the test data."""
    person = sorted((shared / "faces" / "johns").iterdir())[0]
    for name, photo in zip("ab", sorted(person.iterdir())[:2], strict=True):
        shutil.copyfile(photo, folder / f"{name}.jpg")
