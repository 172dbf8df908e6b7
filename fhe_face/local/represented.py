"""The folder of ``fhe-face represent``: a matrix, an index whose rows are its rows, what is kept.

Until a run ends its groups lie in `parts/`; the manifest is written last and names the digests of
matrix and index, so whatever is interrupted, what is read again fits together. Embeddings are
biometric data: every file is readable by its owner only.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_core.files import FileError, explain, shown, write_whole
from fhe_face.extras import require_extra
from fhe_face.models.architecture import EMBEDDING
from fhe_face.output import json_text

MATRIX: Final = "embeddings.npy"
INDEX: Final = "index.csv"
PARQUET: Final = "index.parquet"
REFUSED: Final = "refused.csv"
MANIFEST: Final = "represent.json"
PARTS: Final = "parts"
VERSION: Final = 1
_MAX_PART: Final = 1 << 28

Single = NDArray[np.float32]
#: What reading a file of an earlier run may raise; such a file counts for nothing.
_DAMAGE: Final = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RecursionError),
    *(csv.Error, zipfile.BadZipFile, MemoryError),  # the last: a size that a header claims
)


@dataclass(frozen=True)
class Row:
    """A face of the matrix, or one that was refused.

    photo: relative to the folder given; sha256: of its bytes, empty where they cannot be read;
    face: from 1, largest first; faces: how many there are on the photo; person: by the folder's
    name, else empty; x, y, width, height: of its box in pixels, empty for a crop; squared_norm:
    before normalisation; contrast: of what was embedded, as a part of the photo's, below 1 where
    the network diverged on the face as it is; why: of a refusal.
    """

    photo: str
    sha256: str
    face: int
    faces: int
    person: str
    x: str = ""
    y: str = ""
    width: str = ""
    height: str = ""
    squared_norm: str = ""
    contrast: str = ""
    why: str = ""

    @property
    def softened(self) -> bool:
        """Whether the network diverged on the face as it is, and not on it with less contrast."""
        return bool(self.contrast) and float(self.contrast) < 1


@dataclass(frozen=True, eq=False)
class Known:
    """What a photo gave: a row for each face, and an embedding (F,) of those not refused."""

    rows: tuple[Row, ...]
    embeddings: tuple[Single, ...]

    def as_of(self, photo: str, person: str) -> Known:
        """The same content under another name."""
        rows = tuple(Row(**{**asdict(row), "photo": photo, "person": person}) for row in self.rows)
        return Known(rows, self.embeddings)


@dataclass
class Store:
    """A folder of represented faces. settings: what an embedding depends on beside the photo.

    known: what is there already, by the digest of a photo; changed: settings of what lies there
    that are others now, by name.
    """

    folder: Path
    settings: Mapping[str, Any]
    known: dict[str, Known] = field(default_factory=dict)
    changed: tuple[str, ...] = ()
    _group: list[Known] = field(default_factory=list)
    _parts: int = 0
    _written: list[Path] = field(default_factory=list)
    _is_new: bool = False

    @classmethod
    def opened(cls, folder: Path, settings: Mapping[str, Any]) -> Store:
        """A new folder, or one of an earlier run.

        Raises:
            FileError: it holds something else, or cannot be read or made.
        """
        store = cls(folder, settings, _is_new=not folder.exists())
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            inside = {entry.name for entry in folder.iterdir()}
        except OSError as error:
            raise explain(folder, "create", error) from error
        if inside and not inside & {MANIFEST, PARTS}:
            raise FileError(
                f"{shown(folder)}: is not empty, and no folder of fhe-face represent: name "
                "a new one"
            )
        if MANIFEST in inside:
            store._read_finished()
        store._read_parts()
        return store

    def add(self, sha256: str, found: Known) -> None:
        """Take what a photo gave; `keep` writes it down."""
        self.known[sha256] = found
        self._group.append(found)

    def keep(self) -> None:
        """Write down what was added since; it survives whatever happens from then on.

        Raises:
            FileError: it cannot be written.
        """
        if not self._group:
            return
        parts = self.folder / PARTS
        try:
            parts.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise explain(parts, "create", error) from error
        self._parts += 1
        while (target := parts / f"{self._digest[:16]}-{self._parts:06}.npz").exists():
            self._parts += 1
        write_whole(target, _packed(self._group), private=True)
        self._written.append(target)
        self._group.clear()

    def finish(
        self, found: Sequence[Known], parquet: bool, extra: Mapping[str, bytes]
    ) -> dict[str, int]:
        """Write the whole, in this order, and drop the parts. extra: further files by name.

        Returns the sizes of the files. Without a face nothing is written: the folder is as it was
        before. Raises FileError.
        """
        rows = [row for one in found for row in one.rows if not row.why]
        if not rows:
            self._withdraw()
            return {}
        refused = [row for one in found for row in one.rows if row.why]
        matrix = _npy([vector for one in found for vector in one.embeddings])
        index = _csv(rows, with_row=True)
        contents = {MATRIX: matrix, INDEX: index, REFUSED: _csv(refused), **extra}
        if parquet:
            contents[PARQUET] = _parquet(rows)
        digests = {name: hashlib.sha256(contents[name]).hexdigest() for name in (MATRIX, INDEX)}
        manifest = {"version": VERSION, "settings": dict(self.settings), "sha256": digests}
        text = json_text(manifest, "ascii", indent=1) + "\n"
        contents[MANIFEST] = text.encode("ascii")
        for name, content in contents.items():
            write_whole(self.folder / name, content, private=True)
        self._drop_parts(contents)
        return {name: len(content) for name, content in contents.items()}

    @property
    def _digest(self) -> str:
        return hashlib.sha256(json.dumps(dict(self.settings), sort_keys=True).encode()).hexdigest()

    def _read_finished(self) -> None:
        with suppress(*_DAMAGE):
            manifest = json.loads((self.folder / MANIFEST).read_bytes())
            before = manifest["settings"]
            if manifest["version"] != VERSION or before != dict(self.settings):
                names = sorted({*before, *self.settings})
                self.changed = tuple(n for n in names if before.get(n) != self.settings.get(n))
                return
            contents = {name: (self.folder / name).read_bytes() for name in (MATRIX, INDEX)}
            for name, content in contents.items():
                if hashlib.sha256(content).hexdigest() != manifest["sha256"][name]:
                    return
            matrix = np.load(io.BytesIO(contents[MATRIX]), allow_pickle=False)
            rows = rows_of(contents[INDEX])
            refused = rows_of((self.folder / REFUSED).read_bytes())
            self._know(rows, matrix, refused)

    def _read_parts(self) -> None:
        for part in sorted((self.folder / PARTS).glob(f"{self._digest[:16]}-*.npz")):
            with suppress(*_DAMAGE):
                if part.stat().st_size > _MAX_PART:
                    continue
                with np.load(io.BytesIO(part.read_bytes()), allow_pickle=False) as content:
                    rows = rows_of(content["rows"].tobytes())
                    refused = rows_of(content["refused"].tobytes())
                    self._know(rows, content["embeddings"], refused)

    def _know(self, rows: Sequence[Row], matrix: NDArray[Any], refused: Sequence[Row]) -> None:
        fits = matrix.shape == (len(rows), EMBEDDING if len(rows) else 0)
        if not fits or not np.isfinite(matrix).all():
            raise ValueError("matrix and index do not fit")
        photos: dict[tuple[str, str], list[tuple[Row, Single | None]]] = {}
        for row, vector in zip(rows, matrix.astype(np.float32), strict=True):
            photos.setdefault((row.photo, row.sha256), []).append((row, vector))
        for row in refused:
            photos.setdefault((row.photo, row.sha256), []).append((row, None))
        for (_, sha256), faces in photos.items():
            faces.sort(key=lambda face: face[0].face)
            self.known[sha256] = Known(
                tuple(row for row, _ in faces),
                tuple(vector for _, vector in faces if vector is not None),
            )

    def _withdraw(self) -> None:
        for part in self._written:
            part.unlink(missing_ok=True)
        with suppress(OSError):  # it holds parts of an earlier run
            (self.folder / PARTS).rmdir()
        if self._is_new:
            with suppress(OSError):
                self.folder.rmdir()

    def _drop_parts(self, contents: Mapping[str, bytes]) -> None:
        parts = self.folder / PARTS
        with suppress(OSError):
            for part in parts.glob("*.npz"):
                part.unlink()
            parts.rmdir()
        for name in {PARQUET, "pairs.csv"} - set(contents):  # of an earlier run
            (self.folder / name).unlink(missing_ok=True)


def require_parquet() -> None:
    """Raise MissingExtra where pyarrow is missing, before time is spent."""
    require_extra("an index as Parquet", "parquet", "pyarrow")


def _packed(found: Sequence[Known]) -> bytes:
    rows = [row for one in found for row in one.rows]
    vectors = [vector for one in found for vector in one.embeddings]
    stream = io.BytesIO()
    np.savez(
        stream,
        embeddings=np.stack(vectors) if vectors else np.zeros((0, 0), np.float32),
        rows=np.frombuffer(_csv([row for row in rows if not row.why], True), np.uint8),
        refused=np.frombuffer(_csv([row for row in rows if row.why]), np.uint8),
    )
    return stream.getvalue()


def _npy(vectors: Sequence[Single]) -> bytes:
    stream = io.BytesIO()
    matrix = np.stack(vectors) if vectors else np.zeros((0, 0), np.float32)
    np.save(stream, matrix, allow_pickle=False)
    return stream.getvalue()


def _columns(with_row: bool) -> list[str]:
    names = [one.name for one in fields(Row)]
    return ["row", *(name for name in names if name != "why")] if with_row else names


def _csv(rows: Iterable[Row], with_row: bool = False) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, _columns(with_row), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for number, row in enumerate(rows):
        writer.writerow({"row": number, **asdict(row)})
    return stream.getvalue().encode("utf-8", "surrogateescape")


def rows_of(content: bytes) -> list[Row]:
    """Rows of an index; one of _DAMAGE for anything else."""
    text = io.StringIO(content.decode("utf-8", "surrogateescape"), newline="")
    found = []
    for line in csv.DictReader(text, strict=True):
        values: dict[str, Any] = {n.name: line[n.name] for n in fields(Row) if n.name in line}
        contrast = values.get("contrast") or "1"
        if not 0 < float(contrast) <= 1:
            raise ValueError("not a part of the contrast")
        float(values.get("squared_norm") or "0")  # any number: a face may diverge
        found.append(Row(**{**values, "face": int(line["face"]), "faces": int(line["faces"])}))
    return found


def _parquet(rows: Sequence[Row]) -> bytes:
    require_parquet()
    import pyarrow
    from pyarrow import parquet

    columns: dict[str, list[Any]] = {"row": list(range(len(rows)))}
    for name in _columns(True)[1:]:
        values = [getattr(row, name) for row in rows]
        columns[name] = [
            value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            if isinstance(value, str)
            else value
            for value in values
        ]
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()
