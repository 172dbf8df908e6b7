"""Subjects and templates of an open store: what is there, and how it is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from fhe_face.store import changing, reading
from fhe_face.store.blocks import BlockFiles
from fhe_face.store.database import Database
from fhe_face.store.opening import BLOCKS
from fhe_face.store.rows import (
    Added,
    Placed,
    Refusal,
    StoredSubject,
    StoredTemplate,
    Subject,
    Template,
)


class People:
    """The half of a store that knows no blocks; see `Store`."""

    def __init__(self, folder: Path, database: Database) -> None:
        """Use `Store.create` or `Store.open`."""
        self.folder = folder
        self._database = database
        self._files = BlockFiles(folder / BLOCKS)

    def add(
        self,
        subjects: Iterable[Subject] = (),
        templates: Iterable[Template] = (),
        refusals: Iterable[Refusal] = (),
    ) -> Added:
        """Add, in one transaction; ids that exist are left alone, so that adding twice adds once.

        A template of a merged subject goes to the one that it was merged into; one of a deleted
        subject is not added, but named. A template ends the refusal of its source. Others wait
        while the arguments are read: have them ready.

        Raises:
            NotStored: a template's subject is unknown; nothing is added then.
        """
        with self._database.changing() as change:
            return changing.add(change, subjects, templates, refusals)

    def subject(self, id: str) -> StoredSubject:
        """A subject, or the one that it was merged into. NotStored: there is none."""
        return reading.one_subject(self._database, id)

    def subjects(self, include_deleted: bool = False) -> Iterator[StoredSubject]:
        """All subjects, in the order of adding; merged ones are gone."""
        return reading.all_subjects(self._database, include_deleted)

    def merged(self) -> list[tuple[str, str]]:
        """The id of every subject that was merged, and of the one that it is now."""
        return reading.merged_subjects(self._database)

    def template(self, id: str) -> StoredTemplate:
        """A template. NotStored: there is none."""
        return reading.one_template(self._database, id)

    def templates(
        self,
        subject: str | None = None,
        include_deleted: bool = False,
        batch: int = reading.PAGE,
    ) -> Iterator[StoredTemplate]:
        """All templates, or those of a subject, in the order of adding."""
        return reading.all_templates(self._database, subject, include_deleted, batch)

    def templates_of(self, owners: Iterable[str]) -> Iterator[tuple[str, list[StoredTemplate]]]:
        """The live templates of each owner (a subject, or the template itself), in that order."""
        return reading.templates_of(self._database, owners)

    def sources(self) -> set[str]:
        """All sources with a template, also a deleted one, or a refusal."""
        return reading.known_sources(self._database)

    def from_sources(self, sources: Iterable[str]) -> dict[str, list[Placed]]:
        """The templates, also deleted ones, of those of the sources that have any."""
        return reading.from_sources(self._database, sources)

    def refusals(self) -> list[Refusal]:
        """All sources that gave no template, ordered by source."""
        return reading.all_refusals(self._database)

    def delete_templates(self, ids: Iterable[str]) -> int:
        """Delete templates at once; how many were not deleted. NotStored: one is unknown."""
        with self._database.changing() as change:
            return changing.mark_templates(change, ids, True)

    def undelete_templates(self, ids: Iterable[str]) -> int:
        """Bring templates back; how many were deleted. NotStored: one is unknown."""
        with self._database.changing() as change:
            return changing.mark_templates(change, ids, False)

    def delete_subjects(self, ids: Iterable[str]) -> int:
        """Delete subjects, with their templates, at once; how many. NotStored: one is unknown."""
        with self._database.changing() as change:
            return changing.mark_subjects(change, ids, True)

    def undelete_subjects(self, ids: Iterable[str]) -> int:
        """Bring subjects back with the templates that they had; how many. NotStored: unknown."""
        with self._database.changing() as change:
            return changing.mark_subjects(change, ids, False)

    def move(self, templates: Iterable[str], subject: str) -> None:
        """Give templates to another subject, which is not deleted. NotStored: one is unknown."""
        with self._database.changing() as change:
            changing.move(change, templates, subject)

    def rename(self, subject: str, name: bytes | None) -> None:
        """Change a subject's sealed name; its id stays. NotStored: it is unknown."""
        with self._database.changing() as change:
            changing.rename(change, subject, name)

    def merge(self, subjects: Iterable[str], into: str) -> None:
        """Give all templates of subjects to one. Their ids stay known, as other names of that one.

        Raises:
            NotStored: one is unknown. StoreError: one is deleted. Nothing is changed then.
        """
        with self._database.changing() as change:
            changing.merge(change, subjects, into)
