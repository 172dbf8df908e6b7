"""What a store should hold, as plain dictionaries: the oracle of random tests."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhe_face.store import Store


@dataclass
class Face:
    """A template."""

    subject: str
    deleted: bool = False


@dataclass
class Model:
    """Subjects and templates, and which owners have an entry."""

    mode: str
    subjects: dict[str, bool] = field(default_factory=dict)  # id: deleted
    merged: dict[str, str] = field(default_factory=dict)
    faces: dict[str, Face] = field(default_factory=dict)
    placed: set[str] = field(default_factory=set)

    def home(self, subject: str) -> str:
        return self.merged.get(subject, subject)

    def live_faces(self, subject: str) -> list[str]:
        return [
            id
            for id, face in self.faces.items()
            if face.subject == subject and not face.deleted and not self.subjects[subject]
        ]

    def live_owners(self) -> set[str]:
        faces = {s: self.live_faces(s) for s in self.subjects}
        if self.mode == "mean":
            return {subject for subject, live in faces.items() if live}
        return {id for live in faces.values() for id in live}

    def touch(self, subjects: set[str], faces: set[str]) -> None:
        """Owners that have changed lose their entries."""
        self.placed -= subjects if self.mode == "mean" else faces

    def add(self, subject: str, id: str) -> None:
        if subject not in self.merged:
            self.subjects.setdefault(subject, False)
        home = self.home(subject)
        if id not in self.faces and not self.subjects[home]:
            self.faces[id] = Face(home)
            self.touch({home}, {id})

    def mark_faces(self, ids: set[str], deleted: bool) -> None:
        changed = {id for id in ids if self.faces[id].deleted != deleted}
        for id in changed:
            self.faces[id].deleted = deleted
        self.touch({self.faces[id].subject for id in changed}, changed)

    def mark_subjects(self, ids: set[str], deleted: bool) -> None:
        changed = {self.home(id) for id in ids if self.subjects[self.home(id)] != deleted}
        for id in changed:
            self.subjects[id] = deleted
        self.touch(changed, {id for id, face in self.faces.items() if face.subject in changed})

    def move(self, ids: set[str], subject: str) -> None:
        for id in ids:
            before, target = self.faces[id].subject, self.home(subject)
            if before != target:
                self.faces[id].subject = target
                self.touch({before, target}, {id} if self.subjects[before] else set())

    def merge(self, ids: set[str], into: str) -> None:
        target = self.home(into)
        for source in {self.home(id) for id in ids} - {target}:
            for face in self.faces.values():
                face.subject = target if face.subject == source else face.subject
            for alias, home in self.merged.items():
                self.merged[alias] = target if home == source else home
            self.merged[source] = target
            del self.subjects[source]
            self.touch({source, target}, set())

    def purge(self) -> None:
        gone = {id for id, deleted in self.subjects.items() if deleted}
        self.faces = {
            id: face
            for id, face in self.faces.items()
            if not face.deleted and face.subject not in gone
        }
        self.subjects = {id: deleted for id, deleted in self.subjects.items() if not deleted}
        self.merged = {a: home for a, home in self.merged.items() if home not in gone}

    def agrees_with(self, store: Store) -> None:
        """Every list of the store says the same."""
        people = {s.id: s.deleted for s in store.subjects(include_deleted=True)}
        assert people == self.subjects
        faces = {t.id: (t.subject, t.deleted) for t in store.templates(include_deleted=True)}
        assert faces == {
            id: (face.subject, face.deleted or self.subjects[face.subject])
            for id, face in self.faces.items()
        }
        live = self.live_owners()
        assert self.placed <= live
        placed = [e.owner.id for b in store.blocks() for e in store.entries(b.digest)]
        assert sorted(placed) == sorted(self.placed)
        waiting = [owner.id for owner in store.pending()]
        assert sorted(waiting) == sorted(live - self.placed)
        for alias, home in self.merged.items():
            assert store.subject(alias).id == home
        for subject in store.subjects():
            assert subject.templates == len(self.live_faces(subject.id))
