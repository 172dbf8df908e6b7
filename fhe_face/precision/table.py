"""The layers of a precision report as a table: for the terminal, as Markdown, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from fhe_core.files import FileKind, write_whole
from fhe_core.outputs import Outputs
from fhe_face.failures import UsageError
from fhe_face.precision.report import Bits, Report, Row

COLUMNS = (
    *("layer", "level", "scale", "largest"),
    *("predicted min", "mean", "worst slot"),
    *("measured min", "mean", "worst slot", "ratio", "headroom"),
)
_SUFFIXES = (".md", ".csv")


def _is_table(stream: BinaryIO) -> bool:
    first = stream.readline(1 << 12).decode().rstrip("\n")
    return first in (_csv([COLUMNS]).rstrip("\n"), _markdown([COLUMNS]).split("\n")[0])


TABLE = FileKind("a table of precision", _is_table)


def cells(row: Row) -> tuple[str, ...]:
    """One row; bits with a decimal. ``ratio`` is measured error by predicted error."""
    return (
        row.label,
        str(row.level),
        f"2^{row.log_scale:.1f}",
        f"{row.magnitude:.3g}",
        *_bits(row.predicted),
        *_bits(row.measured),
        f"{row.ratio:.2f}",
        f"{row.headroom_bits:.1f}",
    )


def check(path: Path | None, outputs: Outputs) -> None:
    """Refuse a file that could not be written.

    Raises:
        UsageError: it is of another kind.
        FileError: its folder is missing or read-only, or the file must stay.
    """
    if path is not None:
        if path.suffix.lower() not in _SUFFIXES:
            raise UsageError(f"{path}: a table must be one of {', '.join(_SUFFIXES)}")
        outputs.add(path, TABLE)


def write(report: Report, path: Path) -> None:
    """The layers, as Markdown or CSV by the file's name; whole or not at all.

    Raises:
        FileError: it cannot be written.
    """
    rows = [COLUMNS, *(cells(row) for row in report.layers())]
    text = _csv(rows) if path.suffix.lower() == ".csv" else _markdown(rows)
    write_whole(path, text.encode(), kind=TABLE)


def _bits(bits: Bits) -> tuple[str, str, str]:
    return (f"{bits.least:.1f}", f"{bits.mean:.1f}", f"{bits.worst_slot:.1f}")


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    return "\n".join(lines) + "\n"
