"""What key files are called: evaluation keys that lie beside a gallery's store, and how others take
their place; switching keys of devices, which lie beside evaluation keys.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fhe_core.container import Kind, read_header
from fhe_core.errors import Failure

EVALUATION_KEY: Final = "gallery.evaluation.key"
#: The folder beside evaluation keys, and how its files end.
DEVICES: Final = "devices"
SWITCHING: Final = ".key"
#: What lets a server enrol and search by itself; only where the owner wanted that.
SWITCH_KEY: Final = "gallery.switch.key"
#: The folder of faces that wait for the owner.
WAITING: Final = "waiting"
#: Ends the name of a file that a rekeying is about to put in place.
NEXT: Final = ".next"


def devices_beside(evaluation_key: str | os.PathLike[str]) -> Path:
    """The folder of the switching keys that belong to evaluation keys."""
    return Path(evaluation_key).parent / DEVICES


def switching_key_of(folder: Path, device: str) -> Path:
    """The switching key of a device; device: its id, which the caller has checked."""
    return folder / f"{device}{SWITCHING}"


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
