"""What kind of container a file is, for outputs that replace only files of their own kind."""

from __future__ import annotations

import json
from typing import BinaryIO

from fhe_core.container.header import MAGIC, MAX_HEADER_BYTES, PREAMBLE, Kind
from fhe_core.files import FileKind

_NAMES = {
    Kind.SECRET_KEY: "a secret key",
    Kind.EVALUATION_KEYS: "a file of evaluation keys",
    Kind.CIPHERTEXT: "a ciphertext",
    Kind.SEALED_BLOCK: "a sealed block of a gallery",
    Kind.PROBE: "a sealed probe",
    Kind.SCORES: "a file of sealed scores",
    Kind.GALLERY_SWITCH: "a gallery's switching key",
    Kind.SWITCHED_FACE: "a face in a gallery's ring",
    Kind.FINDINGS: "a file of findings",
}


def file_kind(kind: Kind, what: str | None = None) -> FileKind:
    """Containers of a kind; `what`: only ciphertexts that hold this, such as "score"."""

    def recognise(stream: BinaryIO) -> bool:
        start = stream.read(PREAMBLE.size)
        if len(start) < PREAMBLE.size:
            return False
        magic, _, found, length = PREAMBLE.unpack(start)
        if magic != MAGIC or found != kind:
            return False
        if what is None:
            return True
        header = json.loads(stream.read(min(length, MAX_HEADER_BYTES)))
        return bool(header["metadata"]["what"] == what)

    return FileKind(_NAMES[kind] if what is None else f"an encrypted {what}", recognise)
