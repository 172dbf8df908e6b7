"""What happens to people and templates of a gallery, and looking after all of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from fhe_face.gallery.checking import Finding, check_client, store_findings
from fhe_face.gallery.errors import GalleryError, RecordError
from fhe_face.gallery.export import Exported, Kind, Row, write_export
from fhe_face.gallery.opened import Opened
from fhe_face.gallery.photos import Person
from fhe_face.gallery.saving import back_up
from fhe_face.gallery.sealing import seal_pending
from fhe_face.gallery.subjects import People
from fhe_face.models.templates import Array, unit
from fhe_face.progress import Stage, silent


@dataclass
class Upkeep:
    """Changes that need no photo."""

    opened: Opened
    people: People

    def move(self, templates: Iterable[str], subject: str) -> None:
        """See `Gallery.move`.

        Raises:
            UnknownSubject: there is no such template. StoreError: the subject is deleted.
        """
        ids = [id for text in templates for id in self.people.find_templates(text)]
        target, known = self.people.for_person(Person(subject))
        if known is None:
            self.opened.store.add([target])
        self.opened.store.move(ids, target.id)

    def rename(self, subject: str, name: str) -> None:
        """See `Gallery.rename`."""
        if not self.opened.facts.names:
            raise GalleryError(
                "the gallery keeps no names, so there is none to change; create one with names"
            )
        row = self.people.find(subject)
        sealed = self.opened.vault.seal_name(row.id, name)
        self.people.call(row.id, name)
        self.opened.store.rename(row.id, sealed)

    def merge(self, subjects: Sequence[str], into: str) -> None:
        """See `Gallery.merge`."""
        ids = [self.people.find(one).id for one in subjects]
        target = self.people.find(into).id
        if not [id for id in ids if id != target]:
            raise GalleryError("merging takes two different people")
        self.opened.store.merge([id for id in ids if id != target], target)

    def delete(self, subjects: Sequence[str], templates: Sequence[str]) -> int:
        """See `Gallery.delete`."""
        people, faces = self._ids(subjects, templates)
        store = self.opened.store
        count = store.delete_subjects(people) if people else 0
        return count + (store.delete_templates(faces) if faces else 0)

    def undelete(self, subjects: Sequence[str], templates: Sequence[str]) -> int:
        """See `Gallery.undelete`."""
        people, faces = self._ids(subjects, templates)
        store = self.opened.store
        count = store.undelete_subjects(people) if people else 0
        return count + (store.undelete_templates(faces) if faces else 0)

    def _ids(
        self, subjects: Sequence[str], templates: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        people = [self.people.find(one).id for one in subjects]
        return people, [id for text in templates for id in self.people.find_templates(text)]

    # --- looking after it -------------------------------------------------------------------------

    def check(self, repair: bool, stage: Stage = silent) -> list[Finding]:
        """See `Gallery.check`."""
        found = store_findings(self.opened, repair)
        if repair:
            seal_pending(self.opened, stage)
        known = {one.about for one in found if one.kind == "damaged-block"}
        return found + list(check_client(self.opened, known, repair, stage))

    def backup(self, target: str | os.PathLike[str]) -> None:
        """See `Gallery.backup`."""
        back_up(self.opened, Path(target))

    def export(
        self, folder: str | os.PathLike[str], kind: Kind = "float32", parquet: bool = False
    ) -> Exported:
        """See `Gallery.export`."""
        names = {row.id: self.people.name(row) or "" for row in self.opened.store.subjects()}
        rows: list[Row] = []
        embeddings: list[Array] = []
        for template in self.opened.store.templates():
            try:
                embedding = self.opened.vault.open_record(template.id, template.record)
            except RecordError:
                continue
            if not embedding.any():  # of a face that was refused
                continue
            name = names.get(template.subject, "")
            added = datetime.fromtimestamp(template.added, timezone.utc).isoformat()
            rows.append(Row(len(rows), template.id, template.subject, name, added))
            embeddings.append(unit(embedding))
        features = self.opened.parameters.features
        matrix = np.stack(embeddings) if embeddings else np.zeros((0, features))
        return write_export(folder, matrix, rows, kind, parquet)
