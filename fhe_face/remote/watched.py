"""A store at a server that is compared with what the client knows, at no cost of its own.

Every state, every settings and every list of all rows that is read anyway is compared; every change
of the client's own is carried over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from fhe_face.client.ledger import Warn, warn_in_python
from fhe_face.remote.asking import BATCH
from fhe_face.remote.listing import Face, Held, Listing, digest
from fhe_face.remote.store import RemoteStore
from fhe_face.remote.witness import Witness, tampered
from fhe_face.store import (
    Added,
    NewBlock,
    Purged,
    Refusal,
    Replacement,
    State,
    StoredTemplate,
    Subject,
    Template,
)

Row = TypeVar("Row")
_UNCOMPARED: Final = (
    "while this client read the gallery, other clients (or the server) changed it: this time it "
    "was not compared with what this client knows"
)


def _as_it_is(_facts: Mapping[str, Any]) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass
class WatchedStore(RemoteStore):
    """With a witness, which its owner saves. tell: told what others have changed; moving: around a
    change of the facts, which its owner keeps.

    Raises, besides what `RemoteStore` raises: TamperedError.
    """

    witness: Witness = field(default_factory=lambda: Witness(""))
    tell: Warn = warn_in_python
    moving: Callable[[Mapping[str, Any]], AbstractContextManager[None]] = _as_it_is

    def state(self) -> State:
        found = super().state()
        self.witness.see(found)
        return found

    def sealed_settings(self) -> tuple[bytes, int]:
        settings, version = super().sealed_settings()
        said = self.witness.see_settings(settings, version)
        if said is not None:
            self.tell(said)
        return settings, version

    def templates(
        self, subject: str | None = None, include_deleted: bool = False, batch: int = BATCH
    ) -> Iterator[StoredTemplate]:
        found = super().templates(subject, include_deleted, batch)
        every = subject is None and include_deleted
        return self._compared(found, Held.of) if every else found

    def held(self) -> Iterator[Held]:
        return self._compared(super().held(), lambda row: row)

    def templates_of(self, owners: Iterable[str]) -> Iterator[tuple[str, list[StoredTemplate]]]:
        listing = self.witness.listing
        known: dict[str, dict[str, Face]] | None = None
        for owner, found in super().templates_of(owners):
            if listing is not None and self.witness.is_current:
                known = listing.by_owner() if known is None else known
                if not _fits(found, known.get(owner, {})):
                    self.forget_state()
                    self.state()
                    if self.witness.is_current:  # else others have changed something
                        raise tampered(f"of {owner}, it gives other templates")
            yield owner, found

    def _compared(self, templates: Iterator[Row], held: Callable[[Row], Held]) -> Iterator[Row]:
        """The same, compared when all of them have come."""
        self.forget_state()
        before = self.state().changes
        listing = Listing.of(self.subjects(include_deleted=True), ())
        for row in templates:
            listing.take(held(row))
            yield row
        self.forget_state()
        said: str | None = _UNCOMPARED
        if self.state().changes == before:
            said = self.witness.see_listing(listing, before)
        if said is not None:
            self.tell(said)

    # --- changes -------------------------------------------------------------------------------

    def _carry(self, transactions: int = 1) -> None:
        self.witness.carried(self.state().changes, transactions)

    def add(
        self,
        subjects: Iterable[Subject] = (),
        templates: Iterable[Template] = (),
        refusals: Iterable[Refusal] = (),
    ) -> Added:
        people = list({row.id: row for row in subjects}.values())
        faces, refused = list(templates), list(refusals)
        added = super().add(people, faces, refused)
        if self.witness.listing is not None:
            self.witness.listing.add(people, faces, added.subjects, added.templates)
            self._carry(-(-(len(people) + len(faces) + len(refused)) // BATCH))
        return added

    def marked(self, what: str, kind: str, ids: Iterable[str]) -> int:
        named = list(ids)
        count = super().marked(what, kind, named)
        if self.witness.listing is not None:
            known = self.witness.listing
            mark = known.mark_faces if kind == "templates" else known.mark_people
            mark(named, what == "delete")
            self._carry()
        return count

    def move(self, templates: Iterable[str], subject: str) -> None:
        named = list(templates)
        super().move(named, subject)
        if self.witness.listing is not None:
            self.witness.listing.move(named, subject)
            self._carry()

    def rename(self, subject: str, name: bytes | None) -> None:
        super().rename(subject, name)
        if self.witness.listing is not None:
            self.witness.listing.rename(subject, name)
            self._carry()

    def merge(self, subjects: Iterable[str], into: str) -> None:
        named = list(subjects)
        super().merge(named, into)
        if self.witness.listing is not None:
            self.witness.listing.merge(named, into)
            self._carry()

    def purge(self) -> Purged:
        found = super().purge()
        if self.witness.listing is not None:
            self.witness.listing.purge()
            self._carry()
        return found

    def replace_blocks(
        self,
        seen_version: int,
        remove: Iterable[str] = (),
        add: Sequence[NewBlock] = (),
        settings: bytes | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> int:
        version = super().replace_blocks(seen_version, remove, add, settings, facts)
        if settings is not None:
            self.witness.see_settings(settings, version)
        elif self.witness.settings_version == seen_version:
            self.witness.settings_version = version
        self._carry()
        return version

    def replace_all(self, seen_version: int, new: Replacement) -> int:
        with self.moving(new.facts):
            version, written = super().replaced(seen_version, new)
            if self.witness.listing is not None:
                self.witness.listing.replace(written.records, written.names, written.forgotten)
                self._carry()
            self.witness.see_settings(new.settings, version)
        return version

    def merged(self) -> list[tuple[str, str]]:
        found = super().merged()
        listing = self.witness.listing
        if listing is not None and self.witness.is_current:
            said = dict(found)
            if any(said.get(id) != listing.home(id) for id in listing.merged):
                raise tampered("it has forgotten who was merged")
        return found


def _fits(found: Sequence[StoredTemplate], known: Mapping[str, Face]) -> bool:
    """Whether templates are those that are known, each once, by their records."""
    given = {row.id: digest(row.record) for row in found}
    own = all(id in known and known[id].record == record for id, record in given.items())
    whole = all(id in given for id, face in known.items() if face.deleted is False)
    return own and whole and len(given) == len(found)
