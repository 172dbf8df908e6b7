"""New records for everything of a gallery, as lines of a file that a client sends.

The first line is a `Head`; then come, in this order, ids to forget, templates, names and refusals;
the last line says how many lines there were. All of it is checked before anything is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from pydantic import ValidationError

from fhe_face.service.errors import Invalid
from fhe_face.service.models import (
    SEALED_BYTES,
    Facts,
    Id,
    Model,
    Number,
    RefusalRow,
    Sealed,
    StoredId,
)
from fhe_face.store.resealing import Replacement
from fhe_face.store.rows import Refusal, Resealed

#: Of one line: a sealed value as base64, and what belongs to it.
LINE_BYTES: Final = 2 * SEALED_BYTES + (1 << 18)
Row = TypeVar("Row", bound=Model)
Made = TypeVar("Made")


class Head(Model):
    """What the gallery will be. keys: of gallery-keys, where its key changes."""

    seen_version: Number
    settings: Sealed
    facts: Facts
    keys: Id | None = None


class ForgetRow(Model):
    """A template that is given up."""

    forget: StoredId


class RecordRow(Model):
    """A template's new record."""

    template: StoredId
    source: StoredId | None = None
    record: Sealed


class NameRow(Model):
    """A subject's new sealed name."""

    subject: StoredId
    name: Sealed


class EndRow(Model):
    """The last line: how many came before it."""

    end: Number


_KINDS: Final[tuple[type[Model], ...]] = (ForgetRow, RecordRow, NameRow, RefusalRow)


@dataclass(frozen=True)
class Lines:
    """A file that was checked. starts: where the rows of each kind begin, and the end of the last.

    Raises Invalid where a line is none of these, or in another order.
    """

    path: Path
    head: Head
    starts: tuple[int, ...]

    @classmethod
    def of(cls, path: Path) -> Lines:
        """Read and check all of it. Invalid: names the line."""
        with path.open("rb") as stream:
            head = _parsed(Head, _line(stream, 1), 1)
            kind, starts, number = 0, [stream.tell()], 1
            while True:
                number, place = number + 1, stream.tell()
                line = _line(stream, number)
                if line.startswith(b'{"end"'):
                    break
                while not _is_of(_KINDS[kind], line):
                    kind += 1
                    if kind == len(_KINDS):
                        raise Invalid(f"line {number}: is no row, or not where it belongs")
                    starts.append(place)
                _parsed(_KINDS[kind], line, number)
            if _parsed(EndRow, line, number).end != number - 1 or stream.read(1):
                raise Invalid(f"line {number}: is not the end of so many lines")
        starts += [place] * (len(_KINDS) + 1 - len(starts))
        return cls(path, head, tuple(starts))

    def replacement(self) -> Replacement:
        """What `Store.replace_all` takes; read again while it is written."""
        return Replacement(
            self._rows(RecordRow, lambda row: Resealed(row.template, row.source, row.record)),
            self._rows(NameRow, lambda row: (row.subject, row.name)),
            self._rows(RefusalRow, lambda row: Refusal(row.source, row.reason)),
            [],
            self.head.settings,
            self.head.facts,
            self._rows(ForgetRow, lambda row: row.forget),
        )

    def _rows(self, kind: type[Row], made: Callable[[Row], Made]) -> Iterator[Made]:
        number = _KINDS.index(kind)
        start, end = self.starts[number], self.starts[number + 1]
        with self.path.open("rb") as stream:
            stream.seek(start)
            while stream.tell() < end:
                yield made(_parsed(kind, stream.readline(LINE_BYTES), 0))


def _line(stream: BinaryIO, number: int) -> bytes:
    line = stream.readline(LINE_BYTES)
    if not line.endswith(b"\n"):
        what = "is longer than any row" if len(line) == LINE_BYTES else "is cut off"
        raise Invalid(f"line {number}: {what}")
    return line


def _is_of(kind: type[Model], line: bytes) -> bool:
    """By its first name: rows are written as here, with the names in this order."""
    first = next(iter(kind.model_fields))
    return line.startswith(f'{{"{first}"'.encode())


def _parsed(kind: type[Row], line: bytes, number: int) -> Row:
    try:
        return kind.model_validate_json(line)
    except ValidationError as error:
        found: Any = error.errors()[0]
        where = ".".join(str(part)[:40] for part in found["loc"])
        raise Invalid(f"line {number}: {where}: {found['msg']}"[:300]) from None
