"""Reading the rows of a gallery at a server: all of them, so that nobody is asked for alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from fhe_face.remote import rows
from fhe_face.remote.answers import quoted
from fhe_face.remote.asking import BATCH, GalleryRequests, batches, named
from fhe_face.remote.errors import BadAnswer
from fhe_face.remote.listing import Held
from fhe_face.store import (
    Added,
    NotStored,
    Placed,
    Refusal,
    StoredSubject,
    StoredTemplate,
    Subject,
    Template,
)

#: As `gallery.ids` makes ids: the server can neither read nor guess them.
_DERIVED: Final = re.compile(r"[0-9a-f]{32}")


@dataclass
class Rows(GalleryRequests):
    """What was read is kept for as long as the gallery's state is the same."""

    _people: tuple[int, dict[str, StoredSubject]] | None = field(default=None, repr=False)
    _by_source: tuple[int, dict[str, list[Placed]]] | None = field(default=None, repr=False)
    _missing: set[str] = field(default_factory=set, repr=False)

    def subject(self, id: str) -> StoredSubject:
        """As `Store.subject`. What may be a name is never sent: only a derived id that is in no
        list, because it was merged or is new, is asked for."""
        found = self.mirror().get(id)
        if found is not None:
            return found
        if not _DERIVED.fullmatch(id) or id in self._missing:
            raise NotStored(f"there is no subject {quoted(id)}")
        try:
            return rows.subject(self._get(f"subjects/{id}"))
        except NotStored:
            self._missing.add(id)
            raise

    def subjects(self, include_deleted: bool = False) -> Iterator[StoredSubject]:
        """As `Store.subjects`."""
        everybody = list(self.mirror().values())
        return (row for row in everybody if include_deleted or not row.deleted)

    def mirror(self) -> dict[str, StoredSubject]:
        """All subjects, as they were at the present state."""
        changes = self.state().changes
        if self._people is None or self._people[0] != changes:
            found = self._list("subjects", {"deleted": "true"})
            self._people = changes, {row.id: row for row in map(rows.subject, found)}
            self._missing.clear()
        return self._people[1]

    def carry_over(self, people: Mapping[str, Subject], faces: list[Template], done: Added) -> None:
        """An own change into the list of subjects, unless others have changed something as well."""
        self._missing.difference_update(done.subjects)
        changes = self.state().changes
        self._carry_photos(faces, done, changes)
        before, self._people = self._people, None
        if before is None or changes != before[0] + 1:
            return
        known = before[1]
        for id in done.subjects:
            known[id] = StoredSubject(id, people[id].name if id in people else None, 0, False)
        new = set(done.templates)
        for owner in (face.subject for face in faces if face.id in new):
            if owner not in known:  # one that was merged
                return
            known[owner] = known[owner]._replace(templates=known[owner].templates + 1)
        self._people = changes, known

    def _carry_photos(self, faces: list[Template], done: Added, changes: int) -> None:
        before, self._by_source = self._by_source, None
        if before is None or changes != before[0] + 1:
            return
        new = set(done.templates)
        for face in faces:
            if face.id in new and face.source is not None:
                placed = Placed(face.id, face.subject, False)
                before[1].setdefault(face.source, []).append(placed)
        self._by_source = changes, before[1]

    def merged(self) -> list[tuple[str, str]]:
        """As `Store.merged`."""
        return list(map(rows.merged, self._list("merged", {})))

    def template(self, id: str) -> StoredTemplate:
        """As `Store.template`."""
        found = rows.template(self._get(f"templates/{named(id)}"))
        if found.id != id:  # or it would be deleted, or moved, in its place
            raise BadAnswer(
                f"the server answers about template {quoted(found.id)}, not {quoted(id)}"
            )
        return found

    def templates(
        self, subject: str | None = None, include_deleted: bool = False, batch: int = BATCH
    ) -> Iterator[StoredTemplate]:
        """As `Store.templates`."""
        query = {"deleted": str(include_deleted).lower()}
        if subject is not None:
            query["subject"] = subject
        return map(rows.template, self._list("templates", query))

    def held(self) -> Iterator[Held]:
        """All templates, deleted ones too, with digests in place of records."""
        return map(rows.held, self._list("templates", {"deleted": "true", "records": "false"}))

    def templates_of(self, owners: Iterable[str]) -> Iterator[tuple[str, list[StoredTemplate]]]:
        """As `Store.templates_of`."""
        for some in batches(owners, BATCH):
            wanted = set(some)
            for fields in self._list("templates:of", document={"owners": some}):
                owner = rows.row_id(fields, "owner")
                found = [rows.template(one) for one in fields.objects("templates", 1 << 16)]
                if any(row.deleted or owner not in (row.id, row.subject) for row in found):
                    raise BadAnswer(f"the server gives {quoted(owner)} templates of others")
                if owner in wanted:
                    wanted.remove(owner)
                    yield owner, found
            if wanted:
                raise BadAnswer(f"the server says nothing of {len(wanted)} owners of templates")

    def sources(self) -> set[str]:
        """As `Store.sources`."""
        return set(self._photos()) | {row.source for row in self.refusals()}

    def from_sources(self, sources: Iterable[str]) -> dict[str, list[Placed]]:
        """As `Store.from_sources`: all rows are read, so that no photo is asked for by itself."""
        known = self._photos()
        return {source: known[source] for source in sources if source in known}

    def _photos(self) -> dict[str, list[Placed]]:
        """The templates of all photos, as they were at the present state."""
        changes = self.state().changes
        if self._by_source is None or self._by_source[0] != changes:
            found: dict[str, list[Placed]] = {}
            for row in self.held():
                if row.source is not None:
                    placed = Placed(row.id, row.subject, row.deleted)
                    found.setdefault(row.source, []).append(placed)
            self._by_source = changes, found
        return self._by_source[1]

    def refusals(self) -> list[Refusal]:
        """As `Store.refusals`: photos without a face, not faces that were refused."""
        return list(map(rows.refusal, self._list("refusals", {})))
