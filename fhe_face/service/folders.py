"""Folders that nobody else may look into."""

from __future__ import annotations

from pathlib import Path

from fhe_core.files import explain


def make_private_folder(folder: Path) -> None:
    """A folder of mode 0700, with its parents, unless it is there. FileError: it cannot be made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise explain(folder, "make the folder", error) from error
