"""A gallery's store at a server: the methods of `fhe_face.store.Store` over HTTP.

Who is asked for must not be seen: rows of single subjects are never fetched, but all of them, once
for each state of the gallery. What a server says is checked like everything that it says; what it
cannot be asked for over HTTP is refused.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from fhe_face.remote import rows
from fhe_face.remote.asking import BATCH, PAGE_BYTES, batches, damaged, translated
from fhe_face.remote.elsewhere import Elsewhere
from fhe_face.remote.reading import Rows
from fhe_face.remote.replacing import Sending, Written
from fhe_face.store import (
    Added,
    Block,
    Conflict,
    Counts,
    Entry,
    NewBlock,
    NotStored,
    Owner,
    Purged,
    Refusal,
    Replacement,
    Subject,
    Template,
    Writer,
)

_MOST_BLOCKS: Final = 1 << 20


@dataclass
class RemoteStore(Rows, Elsewhere):
    """One gallery of a server.

    Raises, besides what `Store` raises: RemoteError, where the server cannot be used.
    """

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
        self.carry_over(unique, faces, done)
        return done

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

    def replace_all(self, seen_version: int, new: Replacement) -> int:
        """As `Store.replace_all`, but that blocks are sealed afterwards.

        The evaluation keys of a new key are in gallery-keys by its id.
        """
        return self.replaced(seen_version, new)[0]

    def replaced(self, seen_version: int, new: Replacement) -> tuple[int, Written]:
        """The new version, and what was written."""
        key_id = str(new.facts.get("key_id"))
        keys = None if self.facts.get("key_id") == key_id else key_id
        sending = Sending.of(seen_version, new, keys)
        try:
            with sending.file, translated(self.id, "records:replace"):
                answer = self.connection.request(
                    "POST",
                    self.path("records:replace"),
                    (sending.pieces, sending.length),
                    headers={"Content-Type": "application/x-ndjson"},
                    again=True,  # a second time finds another version
                )
            version = answer.fields().integer("version")
        except Conflict:
            version = self._written_before(new)
        finally:
            self.forget_state()
        return version, sending.written

    def _written_before(self, new: Replacement) -> int:
        """The version, where an attempt whose answer was lost has done it: a sealed text is never
        made twice. Conflict: somebody else was quicker."""
        settings, version = self.sealed_settings()
        if settings != new.settings:
            raise Conflict(f"gallery {self.id}: others have changed it: read again and try again")
        return version

    def purge(self) -> Purged:
        """As `Store.purge`."""
        return rows.purged(self._post("purge", {}).fields(), _MOST_BLOCKS)
