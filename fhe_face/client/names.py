"""The names of a file's faces, in a file that stays with the client: they would tell the server
who is in the pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from fhe_core.files import FileError, FileKind, open_regular, shown, write_whole
from fhe_face.output import json_text

_VERSION = 1
_MAX_BYTES = 1 << 20


def _is_names(stream: BinaryIO) -> bool:
    content = json.loads(stream.read(_MAX_BYTES))
    return isinstance(content, dict) and set(content) == {"version", "names"}


#: What names may replace.
NAMES = FileKind("a file of names", _is_names)


def save_names(path: Path, names: Sequence[str]) -> None:
    """Write the names in the order of the faces, atomically and with mode 0600.

    Raises:
        FileError: the file cannot be written.
    """
    content = {"version": _VERSION, "names": list(names)}
    write_whole(
        path, (json_text(content, "utf-8", indent=1) + "\n").encode(), private=True, kind=NAMES
    )


def load_names(path: Path, count: int) -> list[str]:
    """Names of ``count`` faces.

    Raises:
        FileError: the file cannot be read, holds no names, or another number.
    """
    with open_regular(path) as stream:
        content = stream.read(_MAX_BYTES)
    try:
        found = json.loads(content)
        names = found["names"]
        valid = found["version"] == _VERSION and all(isinstance(name, str) for name in names)
    except (ValueError, KeyError, TypeError, RecursionError):
        valid = False
    if not valid:
        raise FileError(f"{shown(path)}: not a file of names from fhe-face encrypt --names")
    if len(names) != count:
        raise FileError(f"{shown(path)}: names of {len(names)} faces; the file holds {count}")
    return [str(name) for name in names]


def face_names(path: Path | None, count: int) -> list[str]:
    """Those of the file, as ``load_names``, or the faces' numbers."""
    if path is None:
        return [f"face {number + 1}" for number in range(count)]
    return load_names(path, count)
