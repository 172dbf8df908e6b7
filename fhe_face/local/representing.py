"""Embeddings of photos in the clear, on one's own machine: the plain twin of enrolling."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fhe_core.files import FileError, explain
from fhe_core.normalisation import Normalisation
from fhe_face.client.decryption import Embedding
from fhe_face.client.embedding import CONTRASTS
from fhe_face.client.health import HealthReport
from fhe_face.gallery.creating import Model, preparation_of
from fhe_face.gallery.embedders import LocalEmbedder
from fhe_face.gallery.errors import OtherModel
from fhe_face.gallery.faces import FaceReader, FoundFace, content_digest
from fhe_face.gallery.facts import Facts
from fhe_face.gallery.photos import Item, find_items
from fhe_face.local.represented import Known, Row, Store, require_parquet
from fhe_face.local.represented_pairs import PAIRS, Report
from fhe_face.local.represented_plot import draw, require_plot
from fhe_face.models.evaluation.scores import Distribution
from fhe_face.models.templates import unit
from fhe_face.models.thresholds import Thresholds
from fhe_face.photos.image_error import ImageError
from fhe_face.progress import Stage, silent


@dataclass(frozen=True)
class Represented:
    """What a run gave.

    computed: photos that were embedded now, known: that were there before, repeated: that are
    another one once more; people: by folders;
    same, different: cosines within people and between them, None without any; verdicts: how many
    pairs of faces on different photos are said to be the same, not sure and different, None
    without thresholds or with too many faces; changed: settings that made all of it be computed
    again; refused: photo and reason, each; softened: photo and contrast of faces that were healthy
    with less of it only.
    """

    photos: int
    faces: int
    computed: int
    known: int
    repeated: int
    people: int
    refused: tuple[tuple[str, str], ...]
    softened: tuple[tuple[str, float], ...]
    same: Distribution | None
    different: Distribution | None
    verdicts: dict[str, int] | None
    changed: tuple[str, ...]
    remarks: tuple[str, ...]
    files: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        found = asdict(self)
        found["refused"] = [{"photo": photo, "reason": why} for photo, why in self.refused]
        found["softened"] = [{"photo": photo, "contrast": part} for photo, part in self.softened]
        return found


@dataclass(frozen=True, eq=False)
class Representer:
    """What embeds, and how; one run after another.

    thresholds: of the network, for the report; every: all faces of a photo in a person's folder,
    too, where else the largest is taken.
    """

    embedder: LocalEmbedder
    normalisation: Normalisation
    thresholds: Thresholds | None
    aligned: bool = False
    every: bool = False

    def run(
        self,
        source: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        *,
        parquet: bool = False,
        plot: Path | None = None,
        stage: Stage = silent,
    ) -> Represented:
        """Embed the photos of FOLDER/person/photo, of a flat folder, or one photo, into a folder.

        What an earlier run has written, finished or not, is taken over where photo, weights,
        preparation and coefficients are the same.

        plot: where to draw cosines, thresholds and norms.

        Nothing is written where there is no face, whatever was there before: `files` is empty then.

        Raises:
            FileError: no such photos; or the folder holds something else, or cannot be read or
                written.
            DetectorError: OpenCV or the detector's model file is missing.
            MissingExtra: Parquet without pyarrow.
            PlotError: no plot can be drawn into such a file.
        """
        if plot is not None:
            require_plot(plot)
        if parquet:
            require_parquet()
        try:
            Path(source).stat()
        except OSError as error:
            raise explain(source, "read", error) from error
        how = "as-given" if self.aligned else "aligned"
        model = Model.of(None, self.embedder, self.embedder.views > 1)
        preparation = preparation_of(how, model)
        given = find_items(source)
        settings = {
            "weights": self.embedder.model,
            "preparation": preparation.describe(),
            "coefficients": self.normalisation.describe(),
            "contrasts": list(dict.fromkeys(CONTRASTS)),
            "faces": "all" if self.every or all(one.every for one in given.items) else "largest",
        }
        store = Store.opened(Path(folder), settings)
        reader = FaceReader(Facts("", "", "", self.embedder.model, preparation))
        items = [replace(one, person=None) if self.every else one for one in given.items]
        persons = [one.person.name or "" if one.person else "" for one in given.items]
        root = Path(source) if Path(source).is_dir() else Path(source).parent
        return _Run(self, store, reader, root).run(
            items, persons, given.remarks, parquet, plot, stage
        )


@dataclass
class _Run:
    """One run over photos."""

    by: Representer
    store: Store
    reader: FaceReader
    root: Path
    computed: int = 0

    def run(
        self,
        items: Sequence[Item],
        persons: Sequence[str],
        remarks: tuple[str, ...],
        parquet: bool,
        plot: Path | None,
        stage: Stage,
    ) -> Represented:
        names, digests = [], []
        unread: list[Known] = []
        before = frozenset(self.store.known)
        for number, (item, person) in enumerate(zip(items, persons, strict=True)):
            stage("embedding photos", number, len(items))
            name = os.path.relpath(item.photo, self.root)
            try:
                sha256 = content_digest(item.photo).hex()
            except FileError as error:
                unread.append(_refusal(Row(name, "", 0, 0, person), str(error)))
                continue
            names.append((name, person))
            digests.append(sha256)
            if sha256 not in self.store.known:
                self.store.add(sha256, self._photo(item, name, sha256, person))
                self.computed += 1
                if self.computed % self.by.embedder.together == 0:
                    self.store.keep()
        self.store.keep()
        stage("embedding photos", len(items), len(items))
        found = [
            self.store.known[digest].as_of(*who) for digest, who in zip(digests, names, strict=True)
        ]
        known = sum(digest in before for digest in digests)
        repeated = len(found) - self.computed - known
        return self._finished([*found, *unread], known, repeated, remarks, parquet, plot)

    def _photo(self, item: Item, name: str, sha256: str, person: str) -> Known:
        try:
            faces = self.reader.read(item.photo, every=item.every)
        except (ImageError, OtherModel) as error:
            reason = str(error).removeprefix(f"{item.photo}: ").removeprefix(f"{item.name}: ")
            return _refusal(Row(name, sha256, 0, 0, person), reason)
        results = self.by.embedder.embed([face.prepared for face in faces])
        rows, vectors = [], []
        for face, result in zip(faces, results, strict=True):
            rows.append(_row(face, result, len(faces), Row(name, sha256, face.number, 0, person)))
            if isinstance(result, Embedding):
                vectors.append(unit(result.values).astype(np.float32))
        return Known(tuple(rows), tuple(vectors))

    def _finished(
        self,
        found: Sequence[Known],
        known: int,
        repeated: int,
        remarks: tuple[str, ...],
        parquet: bool,
        plot: Path | None,
    ) -> Represented:
        rows = [row for one in found for row in one.rows if not row.why]
        vectors = [vector for one in found for vector in one.embeddings]
        report = Report.of(rows, vectors, self.by.thresholds)
        extra = {} if report.pairs is None else {PAIRS: report.pairs}
        files = self.store.finish(found, parquet, extra)
        if plot is not None and rows:
            everybody = [row for one in found for row in one.rows]
            draw(plot, everybody, vectors, self.by.thresholds, self.by.normalisation.interval)
        refused = [(row.photo, row.why) for one in found for row in one.rows if row.why]
        return Represented(
            len(found),
            len(rows),
            self.computed,
            known,
            repeated,
            len({row.person for row in rows if row.person}),
            tuple(refused),
            tuple((row.photo, float(row.contrast)) for row in rows if row.softened),
            report.same,
            report.different,
            report.verdicts,
            self.store.changed,
            remarks,
            files,
        )


def _refusal(row: Row, why: str) -> Known:
    """Of a photo as a whole."""
    return Known((replace(row, why=why),), ())


def _row(face: FoundFace, result: Embedding | HealthReport, faces: int, row: Row) -> Row:
    health = result if isinstance(result, HealthReport) else result.health
    box = ("",) * 4 if face.box is None else tuple(f"{number:.1f}" for number in face.box)
    why = result.message if isinstance(result, HealthReport) else ""
    x, y, width, height = box
    norm = f"{health.squared_norms[0]:.6g}"
    contrast = f"{result.contrast:g}" if isinstance(result, Embedding) else ""
    row = replace(row, faces=faces, x=x, y=y, width=width, height=height)
    return replace(row, squared_norm=norm, contrast=contrast, why=why)
