"""Folders that nobody else may look into, and names that stay inside one."""

from __future__ import annotations

from pathlib import Path

from fhe_core.errors import Failure
from fhe_core.files import explain


def make_private_folder(folder: Path) -> None:
    """A folder of mode 0700, with its parents, unless it is there. FileError: it cannot be made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise explain(folder, "make the folder", error) from error


def within(folder: Path, name: str, refusal: str) -> Path:
    """The path of a name in a folder. Failure, with `refusal`: it leads out of it, by links too."""
    place = folder / name
    if not place.resolve().is_relative_to(folder.resolve()):
        raise Failure(refusal)
    return place
