"""A gallery for another model or preparation: every photo is embedded again; ids and names stay.

Photos are found by their content. New records wait beside the key until all are there; then one
transaction replaces everything. Until then the gallery works as before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np

from fhe_core.files import FileError
from fhe_face.client.decryption import Embedding
from fhe_face.gallery.decisions import Decision
from fhe_face.gallery.embedders import Embedder
from fhe_face.gallery.errors import GalleryError, OtherModel
from fhe_face.gallery.faces import FaceReader, FoundFace, content_digest
from fhe_face.gallery.facts import Facts
from fhe_face.gallery.known import Known
from fhe_face.gallery.opened import ATTEMPTS, Opened, busy
from fhe_face.gallery.photos import Item
from fhe_face.gallery.report import Progress
from fhe_face.gallery.staging import Staging
from fhe_face.gallery.vault import Vault
from fhe_face.gallery.weighing import weighed
from fhe_face.gallery.words import counted
from fhe_face.photos.image_error import ImageError
from fhe_face.store import Conflict, Placed, Replacement, Resealed

#: Of a photo, that are told apart.
_MOST_FACES: Final = 1000


@dataclass(eq=False)
class Rebuilt:
    """What became of a rebuild. embedded: templates now; before: in an interrupted run; missing:
    templates whose photo was not among those given; refused: (template, reason); dropped: how many
    of these two were given up; strangers: photos that are not in the gallery.
    """

    embedded: int = 0
    before: int = 0
    missing: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    dropped: int = 0
    strangers: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)

    def summary(self) -> str:
        """One line for people."""
        parts = [f"{counted(self.embedded + self.before, 'template')} rebuilt"]
        parts += [f"{self.dropped} dropped"] if self.dropped else []
        others = counted(len(self.strangers), "photo is", "photos are")
        parts += [f"{others} not enrolled"] if self.strangers else []
        return f"{', '.join(parts)}; {self.seconds:.1f} s"


@dataclass(frozen=True, eq=False)
class _Face:
    template: str
    face: FoundFace


@dataclass
class Rebuilder:
    """One run. facts: of the gallery as it will be; reader: for these."""

    opened: Opened
    facts: Facts
    embedder: Embedder
    reader: FaceReader
    report: Callable[[Progress], None] | None = None
    found: Rebuilt = field(default_factory=Rebuilt)
    _group: list[_Face] = field(default_factory=list)

    def run(
        self, items: Sequence[Item], decision: Decision | None, weights: str | None, drop: bool
    ) -> Rebuilt:
        """Embed, and replace everything at the end.

        drop: give up templates whose photo is missing or refused now.

        Raises:
            GalleryError: templates would be lost and `drop` was not asked for: nothing has
                changed, and what was embedded is kept for the next run.
            Busy, StoreError: it cannot be written; as before.
        """
        started = time.perf_counter()
        self.vault = Vault(self.opened.key, self.facts, self.opened.parameters.features)
        target = f"{self.facts.gallery} {self.facts.model} {self.facts.preparation_digest}"
        place = Staging(self.opened.folder.client, f"{target} {self.facts.key_id}")
        with closing(place) as staging:
            self._embed_all(items, staging, started)
            self._replace(staging, decision, weights, drop)
            staging.discard()
        self.found.seconds = time.perf_counter() - started
        return self.found

    # --- embedding --------------------------------------------------------------------------------

    def _embed_all(self, items: Sequence[Item], staging: Staging, started: float) -> None:
        known = Known.of(self.opened.store)
        for number, item in enumerate(items, 1):
            self._take(item, known, staging)
            if len(self._group) >= self.embedder.together:
                self._embed(staging)
            if self.report is not None:
                seconds = time.perf_counter() - started
                left = seconds / number * (len(items) - number)
                done, refused = self.found.embedded, len(self.found.refused)
                self.report(Progress(number, len(items), done, refused, seconds, left))
        self._embed(staging)

    def _take(self, item: Item, known: Known, staging: Staging) -> None:
        try:
            source = self.opened.settings.ids.source(content_digest(item.photo))
        except (FileError, ImageError):
            self.found.strangers.append(item.name)
            return
        rows = known.templates(source)
        if not rows:
            self.found.strangers.append(item.name)
            return
        wanted = [row for row in rows if staging.record(row.id) is None]
        self.found.before += len(rows) - len(wanted)
        if not wanted:
            return
        try:
            faces = self.reader.read(item.photo, every=True)
        except (ImageError, OtherModel) as error:
            self._refuse(staging, [row.id for row in wanted], str(error))
            return
        for template, face in self._matched(source, wanted, faces):
            if face is None:
                self._refuse(staging, [template], f"{item.name}: the face is not found any more")
            else:
                self._group.append(_Face(template, face))

    def _matched(
        self, source: str, rows: Sequence[Placed], faces: Sequence[FoundFace]
    ) -> Iterator[tuple[str, FoundFace | None]]:
        """Each template with its face: by its number, which is in its id; one with an id that the
        caller chose is of the largest face."""
        ids = self.opened.settings.ids
        numbered = {ids.template(source, number): number for number in range(1, _MOST_FACES + 1)}
        by_number = {face.number: face for face in faces}
        for row in rows:
            yield row.id, by_number.get(numbered.get(row.id, 1))

    def _embed(self, staging: Staging) -> None:
        group, self._group = self._group, []
        if not group:
            return
        results = self.embedder.embed([one.face.prepared for one in group])
        records: dict[str, bytes] = {}
        for one, result in zip(group, results, strict=True):
            if isinstance(result, Embedding):
                record = self.vault.seal_record(one.template, weighed(result, one.face.prepared))
                records[one.template] = record
            elif self.opened.store.foreign:  # a blank, as enrolling makes: nobody sees a refusal
                blank = np.zeros(self.opened.parameters.features)
                records[one.template] = self.vault.seal_record(one.template, blank)
            else:
                self._refuse(staging, [one.template], result.message)
        staging.add(records, {})
        self.found.embedded += len(records)

    def _refuse(self, staging: Staging, templates: Sequence[str], reason: str) -> None:
        staging.add({}, {one: self.vault.seal_reason(one, reason) for one in templates})

    # --- replacing --------------------------------------------------------------------------------

    def _replace(
        self, staging: Staging, decision: Decision | None, weights: str | None, drop: bool
    ) -> None:
        for _ in range(ATTEMPTS):
            version = self.opened.store.state().version
            forgotten = self._lost(staging)
            if (self.found.missing or self.found.refused) and not drop:
                raise self._would_lose()
            settings = replace(
                self.opened.settings,
                decision=decision,
                centre=None,
                weights=weights,
                calibration=None,
            )
            new = Replacement(
                self._records(staging),
                self._names(),
                self.opened.store.refusals(),
                [],
                self.vault.seal_settings(settings.to_bytes()),
                self.facts.to_json(),
                forgotten,
            )
            with suppress(Conflict):
                self.opened.store.replace_all(version, new)
                self.found.dropped = len(self.found.missing) + len(self.found.refused)
                return
        raise busy()

    def _lost(self, staging: Staging) -> list[str]:
        """Templates without a new record, which the report names unless they are deleted."""
        self.found.missing, self.found.refused, lost = [], [], []
        for row in self.opened.store.templates(include_deleted=True):
            if staging.record(row.id) is not None:
                continue
            lost.append(row.id)
            reason = staging.refusal(row.id)
            if row.deleted:
                continue
            if reason is None:
                self.found.missing.append(row.id)
            else:
                self.found.refused.append((row.id, self.vault.open_reason(row.id, reason)))
        return lost

    def _would_lose(self) -> GalleryError:
        missing, refused = len(self.found.missing), len(self.found.refused)
        first = f" (first: {self.found.refused[0][1]})" if refused else ""
        lost = counted(missing, "template has", "templates have")
        now = counted(refused, "is", "are")
        kept = "; what was embedded is kept for the next run"
        return GalleryError(
            f"{lost} no photo among those given and {now} refused now"
            f"{first}: give all photos that were enrolled, or drop these templates"
            f"{kept if self.found.embedded or self.found.before else ''}"
        )

    def _records(self, staging: Staging) -> Iterator[Resealed]:
        for row in self.opened.store.templates(include_deleted=True):
            record = staging.record(row.id)
            if record is not None:
                yield Resealed(row.id, row.source, record)

    def _names(self) -> Iterator[tuple[str, bytes]]:
        for row in self.opened.store.subjects(include_deleted=True):
            if row.name is not None:
                yield row.id, row.name
