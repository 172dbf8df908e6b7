"""A gallery as plain arrays: a matrix, an index whose rows are its rows, and what it is worth.

Embeddings are biometric data: every file is readable by its owner only, and is written last.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fhe_core.files import FileError, explain, shown, write_whole
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.words import counted
from fhe_face.models.evaluation.scores import Distribution
from fhe_face.models.templates import Array
from fhe_face.output import json_text

MATRIX: Final = "embeddings.npy"
SCALES: Final = "scales.npy"
INDEX: Final = "index.csv"
PARQUET: Final = "index.parquet"
REPORT: Final = "report.json"
#: Rows that are compared for the report: pairs grow with the square of them.
MAX_COMPARED: Final = 4000
COLUMNS: Final = ("row", "template", "subject", "name", "added")
Kind = Literal["float32", "int8"]


@dataclass(frozen=True)
class Row:
    """A template of the matrix. name: empty where none is kept; added: UTC, ISO 8601."""

    row: int
    template: str
    subject: str
    name: str
    added: str


@dataclass(frozen=True)
class Exported:
    """What was written.

    same, different: cosines of pairs of one person and of different people, None without any;
    loss: the largest change of a cosine by 8 bits, 0 for float32; files: in the folder.
    """

    rows: int
    people: int
    same: Distribution | None
    different: Distribution | None
    loss: float
    files: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)

    def summary(self) -> str:
        """As people expect it of embeddings, in a few lines."""
        people = counted(self.people, "person", "people")
        lines = [f"{counted(self.rows, 'embedding')} of {people}"]
        for what, found in (("same person", self.same), ("different people", self.different)):
            if found is not None:
                lines.append(
                    f"{what}: mean {found.mean:.2f}, range {found.minimum:.2f} to "
                    f"{found.maximum:.2f} ({counted(found.pairs, 'pair')})"
                )
        if SCALES in self.files:
            lines.append(f"8 bits change a cosine by at most {self.loss:.4f}")
        return "\n".join(lines)


def write_export(
    folder: str | os.PathLike[str],
    embeddings: Array,
    rows: Sequence[Row],
    kind: Kind = "float32",
    parquet: bool = False,
) -> Exported:
    """Write unit embeddings (n, F) and their index into a new or empty folder.

    int8: each row divided by its largest number, with `scales.npy` to multiply by.

    Raises:
        FileError: the folder is not empty, or cannot be written.
        GalleryError: Parquet without pyarrow, another kind, or nothing to export.
    """
    if kind not in ("float32", "int8"):
        raise GalleryError(f"an export is float32 or int8, not {kind!r}")
    if not len(rows):
        raise GalleryError("the gallery has no template to export")
    table = _parquet(rows) if parquet else None  # first: pyarrow may be missing
    arrays, restored = _arrays(embeddings, kind)
    same, different, loss = _compared(embeddings, restored, [row.subject for row in rows])
    names = [*arrays, INDEX, *([PARQUET] if table is not None else []), REPORT]
    people = len({row.subject for row in rows})
    found = Exported(len(rows), people, same, different, loss, tuple(names))
    target = _empty(Path(folder))
    contents = {name: _npy(array) for name, array in arrays.items()}
    contents[INDEX] = _csv(rows)
    if table is not None:
        contents[PARQUET] = table
    contents[REPORT] = (json_text(found.to_json(), "utf-8", indent=1) + "\n").encode()
    written: list[Path] = []
    try:
        for name, content in contents.items():
            write_whole(target / name, content, private=True, overwrite=False)
            written.append(target / name)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return found


def _arrays(embeddings: Array, kind: Kind) -> tuple[dict[str, NDArray[Any]], Array]:
    """The files' arrays, and what they say the embeddings are."""
    if kind == "float32":
        single = embeddings.astype(np.float32)
        return {MATRIX: single}, single.astype(np.float64)
    scales = (np.abs(embeddings).max(axis=1, keepdims=True) / 127).astype(np.float32)
    numbers = np.rint(embeddings / np.maximum(scales, 1e-12)).astype(np.int8)
    return {MATRIX: numbers, SCALES: scales}, numbers.astype(np.float64) * scales


def _compared(
    embeddings: Array, restored: Array, subjects: Sequence[str]
) -> tuple[Distribution | None, Distribution | None, float]:
    few = np.linspace(0, len(subjects) - 1, min(len(subjects), MAX_COMPARED)).astype(int)
    labels = np.unique(np.array(subjects)[few], return_inverse=True)[1]
    first, second = np.triu_indices(len(few), 1)
    scores = (embeddings[few] @ embeddings[few].T)[first, second]
    changed = (restored[few] @ restored[few].T)[first, second]
    equal = labels[first] == labels[second]
    loss = float(np.abs(changed - scores).max()) if scores.size else 0.0
    parts = [scores[equal], scores[~equal]]
    same, different = (Distribution.of(part) if part.size else None for part in parts)
    return same, different, loss


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _csv(rows: Sequence[Row]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(row, name) for name in COLUMNS] for row in rows)
    return stream.getvalue().encode("utf-8", "backslashreplace")


def _parquet(rows: Sequence[Row]) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise GalleryError(
            "an index as Parquet needs pyarrow: pip install 'fhe-face[parquet]', or export it as "
            "CSV only"
        ) from None
    table = pyarrow.table({name: [getattr(row, name) for row in rows] for name in COLUMNS})
    stream = io.BytesIO()
    parquet.write_table(table, stream)
    return stream.getvalue()


def _empty(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise FileError(f"{shown(folder)}: is not empty; an export takes a new folder")
    except FileError:
        raise
    except OSError as error:
        raise explain(folder, "create", error) from error
    return folder
