"""What the README presupposes: photos a.jpg and b.jpg of one person, and a folder of people."""

from __future__ import annotations

import shutil
from pathlib import Path

#: As git names them.
PLACED = ("a.jpg", "b.jpg", "people/")


def place_photos(shared: Path, folder: Path) -> None:
    """Two photos of the first person of the test data; four further ones of everybody."""
    everybody = sorted((shared / "faces" / "johns").iterdir())
    for name, photo in zip("ab", sorted(everybody[0].iterdir())[:2], strict=True):
        shutil.copyfile(photo, folder / f"{name}.jpg")
    for person in everybody:
        (folder / "people" / person.name).mkdir(parents=True)
        for photo in sorted(person.iterdir())[2:6]:
            shutil.copyfile(photo, folder / "people" / person.name / photo.name)
