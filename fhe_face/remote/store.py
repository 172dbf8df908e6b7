"""A gallery's store at a server: the methods of `fhe_face.store.Store` over HTTP.

Who is asked for must not be seen: rows of single subjects are never fetched, but all of them, once
for each state of the gallery. What a server says is checked like everything that it says; what it
cannot be asked for over HTTP is refused.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from fhe_face.remote import rows
from fhe_face.remote.answers import quoted
from fhe_face.remote.asking import BATCH, PAGE_BYTES, GalleryRequests, batches, damaged, named
from fhe_face.remote.elsewhere import Elsewhere
from fhe_face.store import (
    Added,
    Block,
    Counts,
    Entry,
    NewBlock,
    NotStored,
    Owner,
    Purged,
    Refusal,
    StoredSubject,
    StoredTemplate,
    Subject,
    Template,
    Writer,
)

_MOST_BLOCKS: Final = 1 << 20
#: As `gallery.ids` makes ids: the server can neither read nor guess them.
_DERIVED: Final = re.compile(r"[0-9a-f]{32}")


@dataclass
class RemoteStore(GalleryRequests, Elsewhere):
    """One gallery of a server.

    Raises, besides what `Store` raises: RemoteError, where the server cannot be used.
    """

    _people: tuple[int, dict[str, StoredSubject]] | None = field(default=None, repr=False)
    _missing: set[str] = field(default_factory=set, repr=False)

    def close(self) -> None:
        """The connection is its owner's."""

    # --- The gallery ---------------------------------------------------------------------------

    @property
    def facts(self) -> dict[str, Any]:
        """What the gallery says about itself."""
        return dict(self._get("").inner("facts").values)

    @property
    def settings(self) -> bytes:
        """The sealed settings."""
        return self.sealed_settings()[0]

    def sealed_settings(self) -> tuple[bytes, int]:
        """The sealed settings, and the version that they are of."""
        fields = self._get("settings")
        return fields.raw("settings", rows.SEALED_BYTES), fields.integer("version")

    @property
    def version(self) -> int:
        """Grows when blocks, settings or facts change."""
        return self.state().version

    def counts(self) -> Counts:
        """How much there is; faces that were refused are counted, too."""
        return rows.counts(self._get("counts"))

    # --- Subjects and templates ----------------------------------------------------------------

    def add(
        self,
        subjects: Iterable[Subject] = (),
        templates: Iterable[Template] = (),
        refusals: Iterable[Refusal] = (),
    ) -> Added:
        """As `Store.add`, in transactions of 1,000 rows: subjects first, then templates."""
        done = Added([], [], [])
        unique = {row.id: row for row in subjects}
        faces = list(templates)
        sending = chain(
            (("subjects", rows.subject_json(row)) for row in unique.values()),
            (("templates", rows.template_json(row)) for row in faces),
            (("refusals", rows.refusal_json(row)) for row in refusals),
        )
        for some in batches(sending, BATCH):
            document: dict[str, list[Any]] = {"subjects": [], "templates": [], "refusals": []}
            for kind, row in some:
                document[kind].append(row)
            added = rows.added(self._post("add", document).fields(), BATCH)
            for whole, part in zip(done, added, strict=True):
                whole.extend(part)
        self._carry_over(unique, faces, done)
        return done

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

    def _carry_over(
        self, people: Mapping[str, Subject], faces: list[Template], done: Added
    ) -> None:
        """An own change into the list of subjects, unless others have changed something as well."""
        self._missing.difference_update(done.subjects)
        before, self._people = self._people, None
        if before is None or self.state().changes != before[0] + 1:
            return
        known = before[1]
        for id in done.subjects:
            known[id] = StoredSubject(id, people[id].name if id in people else None, 0, False)
        new = set(done.templates)
        for owner in (face.subject for face in faces if face.id in new):
            if owner not in known:  # one that was merged
                return
            known[owner] = known[owner]._replace(templates=known[owner].templates + 1)
        self._people = before[0] + 1, known

    def template(self, id: str) -> StoredTemplate:
        """As `Store.template`."""
        return rows.template(self._get(f"templates/{named(id)}"))

    def templates(
        self, subject: str | None = None, include_deleted: bool = False, batch: int = BATCH
    ) -> Iterator[StoredTemplate]:
        """As `Store.templates`."""
        query = {"deleted": str(include_deleted).lower()}
        if subject is not None:
            query["subject"] = subject
        return map(rows.template, self._list("templates", query))

    def templates_of(self, owners: Iterable[str]) -> Iterator[tuple[str, list[StoredTemplate]]]:
        """As `Store.templates_of`."""
        for some in batches(owners, BATCH):
            wanted = set(some)
            for fields in self._list("templates:of", document={"owners": some}):
                owner = rows.row_id(fields, "owner")
                found = [rows.template(one) for one in fields.objects("templates", 1 << 16)]
                if owner in wanted:
                    wanted.remove(owner)
                    yield owner, found

    def sources(self) -> set[str]:
        """As `Store.sources`."""
        found = {row.source for row in self.templates(include_deleted=True) if row.source}
        return found | {row.source for row in self.refusals()}

    def refusals(self) -> list[Refusal]:
        """As `Store.refusals`: photos without a face, not faces that were refused."""
        return list(map(rows.refusal, self._list("refusals", {})))

    def delete_templates(self, ids: Iterable[str]) -> int:
        """As `Store.delete_templates`."""
        return self.marked("delete", "templates", ids)

    def undelete_templates(self, ids: Iterable[str]) -> int:
        """As `Store.undelete_templates`."""
        return self.marked("undelete", "templates", ids)

    def delete_subjects(self, ids: Iterable[str]) -> int:
        """As `Store.delete_subjects`."""
        return self.marked("delete", "subjects", ids)

    def undelete_subjects(self, ids: Iterable[str]) -> int:
        """As `Store.undelete_subjects`."""
        return self.marked("undelete", "subjects", ids)

    def marked(self, what: str, kind: str, ids: Iterable[str]) -> int:
        """Delete, or the opposite; kind: "subjects" or "templates"."""
        document: dict[str, list[str]] = {"subjects": [], "templates": []}
        return self._post(what, {**document, kind: rows.texts(ids)}).fields().integer(kind)

    def move(self, templates: Iterable[str], subject: str) -> None:
        """As `Store.move`."""
        self._post("move", {"templates": rows.texts(templates), "subject": subject})

    def rename(self, subject: str, name: bytes | None) -> None:
        """As `Store.rename`."""
        self._post("rename", {"subject": subject, "name": rows.maybe_encoded(name)})

    def merge(self, subjects: Iterable[str], into: str) -> None:
        """As `Store.merge`."""
        self._post("merge", {"subjects": rows.texts(subjects), "into": into})

    # --- The index -----------------------------------------------------------------------------

    def pending(self) -> Iterator[Owner]:
        """As `Store.pending`."""
        return map(rows.owner, self._list("pending", {}))

    def blocks(self) -> list[Block]:
        """As `Store.blocks`."""
        found = [rows.block(one) for one in self._get("blocks").objects("items", _MOST_BLOCKS)]
        return sorted(found, key=lambda block: block.number)

    def entries(self, digest: str) -> list[Entry]:
        """As `Store.entries`."""
        fields = self._get(f"blocks/{digest}/entries", PAGE_BYTES)
        return rows.entries(fields, self.templates_of_block)

    def read_block(self, digest: str) -> bytes:
        """As `Store.read_block`; what comes is compared with the digest."""
        try:
            answer = self._asked("GET", f"blocks/{digest}/content", limit=self.block_bytes)
        except NotStored as error:
            raise damaged(digest, "is missing") from error
        if hashlib.sha256(answer.body).hexdigest() != digest:
            raise damaged(digest, "was altered")
        return answer.body

    def write_block(self, content: bytes | Writer) -> str:
        """As `Store.write_block`."""
        if not isinstance(content, bytes):
            stream = io.BytesIO()
            content(stream)
            content = stream.getvalue()
        digest = hashlib.sha256(content).hexdigest()
        headers = {"Content-Type": "application/octet-stream"}
        self._asked("PUT", f"blocks/{digest}", content, headers)
        return digest

    def replace_blocks(
        self,
        seen_version: int,
        remove: Iterable[str] = (),
        add: Sequence[NewBlock] = (),
        settings: bytes | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> int:
        """As `Store.replace_blocks`."""
        document: dict[str, Any] = {
            "seen_version": seen_version,
            "remove": rows.texts(remove),
            "add": [rows.block_json(block) for block in add],
        }
        if settings is not None:
            document["settings"] = rows.encoded(settings)
        if facts is not None:
            document["facts"] = dict(facts)
        return self._post("blocks:replace", document).fields().integer("version")

    def purge(self) -> Purged:
        """As `Store.purge`."""
        return rows.purged(self._post("purge", {}).fields(), _MOST_BLOCKS)
