"""The evaluation keys that lie beside a gallery's store, and how others take their place."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fhe_core.container import Kind, read_header
from fhe_core.errors import Failure

EVALUATION_KEY: Final = "gallery.evaluation.key"
#: What lets a server enrol and search by itself; only where the owner wanted that.
SWITCH_KEY: Final = "gallery.switch.key"
#: The folder of faces that wait for the owner.
WAITING: Final = "waiting"
#: Ends the name of a file that a rekeying is about to put in place.
NEXT: Final = ".next"


def evaluation_key_of(folder: Path, key_id: str) -> Path:
    """The evaluation keys of a gallery's key, also where a rekeying was interrupted."""
    path = folder / EVALUATION_KEY
    after = path.with_name(path.name + NEXT)
    if after.is_file():
        try:
            if read_header(after, expect_kind=Kind.EVALUATION_KEYS).key_id == key_id:
                return after
        except Failure:
            return path
    return path
