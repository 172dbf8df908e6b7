"""People of a gallery: found by id or by name, and what happens to them."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fhe_core.files import shown
from fhe_face.gallery.errors import GalleryError, RecordError, UnknownSubject
from fhe_face.gallery.faces import content_digest
from fhe_face.gallery.ids import checked
from fhe_face.gallery.opened import Opened
from fhe_face.gallery.photos import Person
from fhe_face.store import NotStored, StoredSubject, Subject

#: Of a template's id.
_BEGINNING: Final = re.compile(r"[A-Za-z0-9._-]{4,64}")


@dataclass(frozen=True)
class SubjectInfo:
    """A subject as the owner of the gallery sees it.

    name: None where names are not kept; templates: live ones, of a deleted subject those that
    undeleting brings back; pending: whether it waits to be sealed.
    """

    id: str
    name: str | None
    templates: int
    deleted: bool

    @property
    def label(self) -> str:
        """The name, or else the id."""
        return self.name or self.id

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return {
            "subject": self.id,
            "name": self.name,
            "templates": self.templates,
            "deleted": self.deleted,
        }


@dataclass
class People:
    """Finds subjects."""

    opened: Opened

    def info(self, row: StoredSubject) -> SubjectInfo:
        """With its name, as far as it can be opened."""
        return SubjectInfo(row.id, self.name(row), row.templates, row.deleted)

    def name(self, row: StoredSubject) -> str | None:
        """None where it is not kept, or its sealed text is damaged."""
        if row.name is None:
            return None
        try:
            return self.opened.vault.open_name(row.id, row.name)
        except RecordError:
            return None

    def find(self, given: str) -> StoredSubject:
        """By id, or by the name that it was enrolled with, or has now.

        One that was merged is found as the one that it became.

        Raises:
            UnknownSubject: there is none.
        """
        found = self.looked_up(given)
        if found is None:
            raise UnknownSubject(f"the gallery has no subject {given[:80]!r}")
        return found

    def for_person(self, person: Person) -> tuple[Subject, StoredSubject | None]:
        """What to add for somebody, and the subject that is there already.

        Raises:
            GalleryError: neither a name nor an id, or no possible id.
        """
        if person.own_id is not None:
            known = self._by_id(checked(person.own_id, "subject"))
            id = person.own_id
        elif person.name:
            id = self.opened.settings.ids.subject(person.name)
            known = self._by_id(id)
        else:
            raise GalleryError("a person has a name or an id")
        id = known.id if known else id
        return Subject(id, self.sealed_name(id, person.name)), known

    def find_templates(self, text: str) -> list[str]:
        """See `Gallery.find_templates`."""
        store = self.opened.store
        with suppress(NotStored):
            return [store.template(text).id]
        if Path(text).is_file():
            source = self.opened.settings.ids.source(content_digest(text))
            found = [row.id for row in store.from_sources([source]).get(source, ())]
            if found:
                return found
            raise UnknownSubject(f"{shown(text)}: no face of this photo is in the gallery")
        rows = store.templates(include_deleted=True) if _BEGINNING.fullmatch(text) else ()
        found = [row.id for row in rows if row.id.startswith(text)]
        if len(found) != 1:
            several = f"{len(found)} templates begin so" if found else "no such template or photo"
            raise UnknownSubject(f"{text[:80]!r}: {several}")
        return found

    def sealed_name(self, id: str, name: str | None) -> bytes | None:
        """A name to keep; None where the gallery keeps none."""
        keeps = self.opened.facts.names and name is not None
        return self.opened.vault.seal_name(id, str(name)) if keeps else None

    def looked_up(self, given: str) -> StoredSubject | None:
        """As `find`, None where there is nobody."""
        return self._by_id(given) or self._by_id(self.opened.settings.ids.subject(given))

    def call(self, id: str, name: str) -> None:
        """Let a name lead to a subject: the id that belongs to the name becomes one of its own.

        Raises:
            GalleryError: the name leads to somebody else.
        """
        of_name = self.opened.settings.ids.subject(name)
        known = self._by_id(of_name)
        if known is not None and known.id == id:
            return
        if known is not None and (known.templates or known.deleted):
            raise GalleryError(
                f"somebody else is, or was, called {name[:80]!r}: merge the two, if they are one "
                "person"
            )
        self.opened.store.add([Subject(of_name)])
        self.opened.store.merge([of_name], id)

    def _by_id(self, id: str) -> StoredSubject | None:
        try:
            return self.opened.store.subject(id)
        except NotStored:
            return None
