"""What a client knows to be in a gallery at a server: who has which records, by its own doing.

The server cannot read records and names, or make new ones; it could leave some out, bring old ones
back, or give them to others. So the client keeps a list of its own, carries every change of its own
over to it, and compares it with what the server says. What it cannot tell is in docs/remote.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from fhe_face.remote.answers import quoted
from fhe_face.remote.errors import BadAnswer, RemoteError
from fhe_face.store import StoredSubject, StoredTemplate, Subject, Template

_DIGEST_BYTES: Final = 16


class TamperedError(RemoteError):
    """The server's gallery is not what this client left there."""

    code = "remote-tampered"


class Held(NamedTuple):
    """A template without its record. record: digest; deleted: it, or its subject, is."""

    id: str
    subject: str
    source: str | None
    record: str
    deleted: bool

    @classmethod
    def of(cls, row: StoredTemplate) -> Held:
        """Of a template with its record."""
        return cls(row.id, row.subject, row.source, digest(row.record), row.deleted)


@dataclass(frozen=True)
class Face:
    """A template. subject: whose; record: digest; deleted: by itself; None: that is not known."""

    subject: str
    record: str
    deleted: bool | None


@dataclass(frozen=True)
class Person:
    """A subject. name: digest of the sealed name, or empty."""

    name: str
    deleted: bool


@dataclass
class Listing:
    """Subjects and templates by id; merged: ids of subjects that became others."""

    people: dict[str, Person] = field(default_factory=dict)
    faces: dict[str, Face] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, people: Iterable[StoredSubject], faces: Iterable[StoredTemplate]) -> Listing:
        """As a server says."""
        found = cls({row.id: Person(digest(row.name), row.deleted) for row in people})
        for row in faces:
            found.take(Held.of(row))
        return found

    def take(self, row: Held) -> None:
        """A template that the server has. Of a deleted subject's, its own mark is not seen.

        Raises:
            BadAnswer: it was listed before: only one of both would be compared.
        """
        if row.id in self.faces:
            raise BadAnswer(f"the server lists template {quoted(row.id)} twice")
        owner = self.people.get(row.subject)
        own = None if owner is not None and owner.deleted else row.deleted
        self.faces[row.id] = Face(row.subject, row.record, own)

    # --- changes of one's own ---------------------------------------------------------------------

    def add(
        self,
        people: Iterable[Subject],
        faces: Iterable[Template],
        added_people: Iterable[str],
        added_faces: Iterable[str],
    ) -> None:
        """As `Store.add`; added: what the server says was new."""
        new = set(added_people)
        for person in people:
            if person.id in new and self.home(person.id) not in self.people:
                self.people[person.id] = Person(digest(person.name), False)
        new = set(added_faces)
        for face in faces:
            if face.id in new and face.id not in self.faces:
                self.faces[face.id] = Face(self.home(face.subject), digest(face.record), False)

    def mark_faces(self, ids: Iterable[str], deleted: bool) -> None:
        """As `Store.delete_templates`, and the opposite."""
        for id in ids:
            if id in self.faces:
                face = self.faces[id]
                self.faces[id] = Face(face.subject, face.record, deleted)

    def mark_people(self, ids: Iterable[str], deleted: bool) -> None:
        """As `Store.delete_subjects`, and the opposite."""
        for id in map(self.home, ids):
            if id in self.people:
                self.people[id] = Person(self.people[id].name, deleted)

    def move(self, ids: Iterable[str], subject: str) -> None:
        """As `Store.move`."""
        for id in ids:
            if id in self.faces:
                face = self.faces[id]
                self.faces[id] = Face(self.home(subject), face.record, face.deleted)

    def rename(self, subject: str, name: bytes | None) -> None:
        """As `Store.rename`."""
        id = self.home(subject)
        if id in self.people:
            self.people[id] = Person(digest(name), self.people[id].deleted)

    def merge(self, subjects: Iterable[str], into: str) -> None:
        """As `Store.merge`."""
        target = self.home(into)
        gone = {self.home(id) for id in subjects} - {target}
        for id, face in self.faces.items():
            if face.subject in gone:
                self.faces[id] = Face(target, face.record, face.deleted)
        for id in gone:
            self.people.pop(id, None)
            self.merged[id] = target

    def purge(self) -> None:
        """As `Store.purge`: what is deleted is gone."""
        for id in [id for id, face in self.faces.items() if self._deleted(face)]:
            del self.faces[id]
        for id in [id for id, person in self.people.items() if person.deleted]:
            del self.people[id]

    def replace(
        self, records: Mapping[str, str], names: Mapping[str, str], forgotten: Iterable[str]
    ) -> None:
        """As `Store.replace_all`: other records and names, by digests."""
        for id in forgotten:
            self.faces.pop(id, None)
        for id, face in self.faces.items():
            self.faces[id] = Face(face.subject, records.get(id, face.record), face.deleted)
        for id, person in self.people.items():
            self.people[id] = Person(names.get(id, ""), person.deleted)

    def home(self, id: str) -> str:
        """Whom a subject was merged into, or itself."""
        for _ in range(len(self.merged) + 1):
            if id not in self.merged:
                break
            id = self.merged[id]
        return id

    def _deleted(self, face: Face) -> bool:
        owner = self.people.get(face.subject)
        return bool(face.deleted) or (owner is not None and owner.deleted)

    def updated(self, found: Listing) -> Listing:
        """What a server says, with what only this one knows of it."""
        faces = {}
        for id, face in found.faces.items():
            before = self.faces.get(id)
            deleted = before.deleted if before and face.deleted is None else face.deleted
            faces[id] = Face(face.subject, face.record, deleted)
        return Listing(dict(found.people), faces, dict(self.merged))

    def by_owner(self) -> dict[str, dict[str, Face]]:
        """The live templates of each owner: a subject, or the template itself."""
        found: dict[str, dict[str, Face]] = {}
        for id, face in self.faces.items():
            if not self._deleted(face):
                for owner in (face.subject, id):
                    found.setdefault(owner, {})[id] = face
        return found

    # --- comparing --------------------------------------------------------------------------------

    def differences(self, other: Listing) -> Differences:
        """What is otherwise in another listing, as far as this one knows."""
        new = sorted(other.faces.keys() - self.faces.keys())
        gone = sorted(self.faces.keys() - other.faces.keys())
        both = sorted(self.faces.keys() & other.faces.keys())
        moved, changed, marked = [], [], []
        for id in both:
            one, two = self.faces[id], other.faces[id]
            if one.subject != two.subject:
                moved.append(id)
            if one.record != two.record:
                changed.append(id)
            known = one.deleted is not None and two.deleted is not None
            if known and self._deleted(one) != other._deleted(two):
                marked.append(id)
        people = sorted(
            id
            for id in self.people.keys() | other.people.keys()
            if self.people.get(id) != other.people.get(id)
        )
        return Differences(new, gone, moved, changed, marked, people)

    def digest(self) -> str:
        """One text for all of it, that two clients can compare over another way."""
        whole = hashlib.sha256()
        for id, person in sorted(self.people.items()):
            whole.update(f"s {id} {person.name} {person.deleted}\n".encode())
        for id, face in sorted(self.faces.items()):
            line = f"t {id} {face.subject} {face.record} {self._deleted(face)}\n"
            whole.update(line.encode())
        return whole.hexdigest()

    # --- as a file --------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "people": {id: [one.name, one.deleted] for id, one in self.people.items()},
            "faces": {id: [f.subject, f.record, f.deleted] for id, f in self.faces.items()},
            "merged": self.merged,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Listing:
        """Inverse of `to_json`. ValueError, TypeError, KeyError, AttributeError: anything else."""
        people = {str(id): Person(str(n), bool(d)) for id, (n, d) in content["people"].items()}
        faces = {
            str(id): Face(str(subject), str(record), None if d is None else bool(d))
            for id, (subject, record, d) in content["faces"].items()
        }
        merged = {str(id): str(into) for id, into in content["merged"].items()}
        return cls(people, faces, merged)


@dataclass(frozen=True)
class Differences:
    """Ids of templates that are new, gone, given to others, altered, deleted or brought back; and
    of subjects that are otherwise."""

    new: list[str]
    gone: list[str]
    moved: list[str]
    changed: list[str]
    marked: list[str]
    people: list[str]

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def summary(self) -> str:
        """One line for people."""
        said = {
            "new": "new templates",
            "gone": "templates gone",
            "moved": "templates given to others",
            "changed": "records replaced",
            "marked": "templates deleted or brought back",
            "people": "subjects added, removed, renamed or deleted",
        }
        parts = [f"{len(ids)} {said[kind]}" for kind, ids in vars(self).items() if ids]
        return ", ".join(parts) or "nothing"


def digest(sealed: bytes | None) -> str:
    """Of a sealed name or record; empty where there is none."""
    return "" if sealed is None else short(hashlib.sha256(sealed).hexdigest())


def short(sha256: str) -> str:
    """As much of a SHA-256 as is kept."""
    return sha256[: 2 * _DIGEST_BYTES]
