"""New records for everything of a gallery, written down first: one request carries all of them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

from fhe_face.remote import rows
from fhe_face.remote.listing import digest
from fhe_face.store import Replacement, StoreError

_PIECE_BYTES: Final = 256 << 10


@dataclass
class Written:
    """What was written, by digests: what a witness keeps of it."""

    records: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)


@dataclass
class Sending:
    """A replacement as a file without a name. StoreError: it has blocks, which go another way."""

    file: IO[bytes]
    written: Written
    length: int = 0

    @classmethod
    def of(cls, seen_version: int, new: Replacement, keys: str | None) -> Sending:
        """Write it down; keys: of gallery-keys at the server, where the key changes."""
        if new.blocks:
            raise StoreError("a gallery at a server gets its blocks after its new records")
        # It is closed, and gone, with this object.
        file = tempfile.TemporaryFile(prefix="fhe-face-")  # noqa: SIM115
        sending = cls(file, Written())
        head = {
            "seen_version": seen_version,
            "settings": rows.encoded(new.settings),
            "facts": dict(new.facts),
            "keys": keys,
        }
        count = 0
        for row in _chained(head, sending._rows(new)):
            file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
            count += 1
        file.write(json.dumps({"end": count}).encode() + b"\n")
        sending.length = file.tell()
        return sending

    def _rows(self, new: Replacement) -> Iterator[Mapping[str, Any]]:
        done = self.written
        for id in new.forget:
            done.forgotten.append(id)
            yield {"forget": id}
        for row in new.templates:
            done.records[row.id] = digest(row.record)
            yield rows.resealed_json(row)
        for id, name in new.names:
            done.names[id] = digest(name)
            yield {"subject": id, "name": rows.encoded(name)}
        for refused in new.refusals:
            yield rows.refusal_json(refused)

    def pieces(self) -> Iterator[bytes]:
        """All of it, from the beginning: once for each attempt."""
        self.file.seek(0)
        while piece := self.file.read(_PIECE_BYTES):
            yield piece


def _chained(
    head: Mapping[str, Any], rest: Iterator[Mapping[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    yield head
    yield from rest
