"""Receipts: what a sender keeps, or hands to the owner, of faces that were sent.

A file of encrypted faces has megabytes; all that its owner needs to know which result answers it
are its request tokens. They are no secret, the server sees them, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO, Final

from fhe_core.files import FileError, FileKind, read_bounded, shown, write_whole
from fhe_core.formats.ciphertexts import Bundle
from fhe_face.places import ENTRY as RUNS
from fhe_face.senders import owner_of
from fhe_face.tokens import ENTRY, tokens_of

_VERSION: Final = 1
_MAX_BYTES: Final = 1 << 16
_FIELDS: Final = {"version", "key_id", "device", "requests", "runs"}


def _is_receipt(stream: BinaryIO) -> bool:
    content = json.loads(stream.read(_MAX_BYTES))
    return isinstance(content, dict) and set(content) == _FIELDS


#: What a receipt may replace.
RECEIPT: Final = FileKind("a receipt of encrypted faces", _is_receipt)


def save_receipt(path: Path, sent: Bundle) -> None:
    """Write the tokens of encrypted faces, for ``--sent``.

    Raises:
        FileError: the file cannot be written.
    """
    owner = owner_of("the image", sent.key_id, sent.facts)
    content = {
        "version": _VERSION,
        "key_id": owner or sent.key_id,
        "device": None if owner is None else sent.key_id,
        "requests": tokens_of("the image", sent.facts),
        "runs": sent.facts[RUNS],
    }
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    write_whole(path, text.encode(), private=True, kind=RECEIPT)


def receipt_facts(path: Path) -> dict[str, Any] | None:
    """The tokens of a receipt and how the faces are packed, as in the facts of what was sent; None
    where the file does not look like a receipt.

    Raises:
        FileError: it cannot be read, or is of another version.
        Corrupt: it is a receipt with what is no token.
    """
    if not RECEIPT.found_in(path):
        return None
    content = json.loads(read_bounded(path, _MAX_BYTES))
    if content["version"] != _VERSION:
        raise FileError(f"{shown(path)}: a receipt of a version that this one does not know")
    facts: dict[str, Any] = {ENTRY: content["requests"], RUNS: content["runs"]}
    tokens_of(shown(path), facts)
    return facts
