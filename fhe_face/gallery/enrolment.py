"""Photos into a gallery: streamed, written down group by group, and never twice.

A photo is written down whole, with all its faces, in one transaction: what was interrupted goes on
where it was, and a second run takes only what is new. What a photo shows is told by its content.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fhe_core.files import FileError
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport
from fhe_face.gallery.embedders import Embedder, require_embedder
from fhe_face.gallery.errors import GalleryError, OtherModel, RecordError
from fhe_face.gallery.faces import FaceReader, FoundFace, content_digest
from fhe_face.gallery.known import Known
from fhe_face.gallery.opened import Opened
from fhe_face.gallery.photos import Item
from fhe_face.gallery.report import (
    Conflicting,
    EnrolledFace,
    Enrolment,
    Progress,
    Refused,
    Repeated,
    Why,
)
from fhe_face.gallery.subjects import People
from fhe_face.gallery.weighing import weighed
from fhe_face.photos.image_error import ImageError
from fhe_face.store import NotStored, Placed, Refusal, StoredSubject, Subject, Template

Report = Callable[[Progress], None]


@dataclass(frozen=True, eq=False)
class _Waiting:
    """A photo that was read and is embedded with the next group."""

    item: Item
    source: str
    faces: Sequence[FoundFace]


@dataclass
class Enroller:
    """One run. again: photos that were refused before are tried once more."""

    opened: Opened
    people: People
    reader: FaceReader
    embedder: Embedder
    again: bool = False
    report: Report | None = None
    found: Enrolment = field(default_factory=Enrolment)
    _group: list[_Waiting] = field(default_factory=list)
    _seen: dict[str, Item] = field(default_factory=dict)
    _done: int = 0
    _total: int = 0
    _started: float = 0.0

    def run(self, items: Sequence[Item]) -> Enrolment:
        """Enrol photos; those that cannot be are told in the result.

        Raises:
            OtherModel: what embeds is not what the gallery was enrolled with.
            StoreError: the gallery cannot be written; what was reported as done stays.
        """
        require_embedder(self.embedder, self.opened.facts)
        self._total, self._started = len(items), time.perf_counter()
        self._known = Known.of(self.opened.store)
        for item in items:
            self._take(item)
            if sum(len(one.faces) for one in self._group) >= self.embedder.together:
                self._embed()
        self._embed()
        self.found.seconds = time.perf_counter() - self._started
        return self.found

    # --- reading ----------------------------------------------------------------------------------

    def _take(self, item: Item) -> None:
        try:
            source = self.opened.settings.ids.source(content_digest(item.photo))
        except (FileError, ImageError) as error:
            self._refuse(item, Why.UNREADABLE, str(error))
            return self._step()
        if self._is_new(item, source):
            self._read(item, source)
        return None

    def _read(self, item: Item, source: str) -> None:
        try:
            faces = self.reader.read(item.photo, every=item.every)
        except OtherModel as error:
            self._refuse(item, Why.OTHER_PREPARATION, str(error))
            return self._step()
        except ImageError as error:
            why = Why.NO_FACE if "no face found" in str(error) else Why.UNREADABLE
            reason = self._refuse(item, why, str(error))
            self._write([], [], [self._refusal(source, reason)])
            return self._step()
        self._group.append(_Waiting(item, source, faces))
        return None

    def _is_new(self, item: Item, source: str) -> bool:
        """Whether a photo is to be embedded; tells why it is not."""
        before = self._seen.setdefault(source, item)
        if before is not item:
            self._tell_double(item, before)
        elif (reason := self._known.refusal(source)) is not None:
            if self.again:
                return True
            self._tell_refused(item, source, reason)
        elif rows := self._known.templates(source):
            self._tell_known(item, rows)
        elif item.template is not None and self._taken(item.template):
            self._refuse(item, Why.TAKEN, f"the gallery has a template {item.template} already")
        else:
            return True
        self._step()
        return False

    def _taken(self, template: str) -> bool:
        try:
            return bool(self.opened.store.template(template))
        except NotStored:
            return False

    def _tell_refused(self, item: Item, source: str, sealed: bytes) -> None:
        try:
            reason = self.opened.vault.open_reason(source, sealed)
        except RecordError as error:
            reason = str(error)
        self._refuse(item, Why.EARLIER, reason)

    def _tell_double(self, item: Item, before: Item) -> None:
        same = (
            vars(item.person) == vars(before.person)
            if item.person and before.person
            else (item.person is before.person)
        )
        if same:
            self.found.repeated.append(Repeated(item.name, before.name))
        else:
            self.found.conflicting.append(Conflicting(item.name, before.name, False))

    def _tell_known(self, item: Item, rows: Sequence[Placed]) -> None:
        if all(row.deleted for row in rows):
            self._refuse(
                item,
                Why.DELETED,
                "was enrolled and deleted: undelete it, or compact the gallery before it is "
                "enrolled again",
            )
            return
        subjects = {row.subject for row in rows if not row.deleted}
        if item.person is not None:
            own, _ = self.people.for_person(item.person)
            if own.id not in subjects:
                label = self.people.info(self.opened.store.subject(min(subjects))).label
                self.found.conflicting.append(Conflicting(item.name, label, True))
                return
        self.found.known.append(item.name)

    # --- embedding --------------------------------------------------------------------------------

    def _embed(self) -> None:
        """Embed the group, and write all of it down at once."""
        group, self._group = self._group, []
        if not group:
            return
        faces = [face.prepared for one in group for face in one.faces]
        results = iter(self.embedder.embed(faces))
        subjects: list[Subject] = []
        templates: list[Template] = []
        refusals: list[Refusal] = []
        told: list[tuple[_Waiting, FoundFace, Template]] = []
        for one in group:
            reasons = []
            for face in one.faces:
                result = next(results)
                refused = isinstance(result, HealthReport)
                if isinstance(result, HealthReport):
                    reasons.append(self._diverged(one, face, result))
                elif result.contrast < 1:
                    self._softened(one, result.contrast)
                if refused and not self.opened.store.foreign:
                    continue
                subject = self._subject(one, face)
                if subject is None:
                    continue
                template = self._template(one, face, subject.id, result)
                subjects.append(subject)
                templates.append(template)
                if not refused:
                    told.append((one, face, template))
            if reasons and not self.opened.store.foreign:
                refusals.append(self._refusal(one.source, "; ".join(reasons)))
        added = set(self._write(subjects, templates, refusals))
        for one in group:
            self._call(one.item, added)
        names = {subject.id: subject for subject in subjects}
        for one, face, template in told:
            self._tell(one, face, template, names[template.subject], template.id in added)
        self._step(len(group))

    def _diverged(self, one: _Waiting, face: FoundFace, report: HealthReport) -> str:
        number = f"face {face.number}: " if len(one.faces) > 1 else ""
        return self._refuse(one.item, Why.DIVERGED, f"{number}{report.message}", face.number)

    def _softened(self, one: _Waiting, contrast: float) -> None:
        self.found.remarks.append(
            f"{one.item.name}: embedded with {contrast:g} of its contrast, because the network "
            "diverged on it, or on a face that was computed with it"
        )

    def _subject(self, one: _Waiting, face: FoundFace) -> Subject | None:
        """Whose face it is; None where that person is deleted."""
        if one.item.person is None:
            id = self.opened.settings.ids.stranger(one.source, face.number)
            name = one.item.name.rpartition("/")[2]
            name = f"{name} face {face.number}" if len(one.faces) > 1 else name
            return Subject(id, self.people.sealed_name(id, name))
        subject, known = self.people.for_person(one.item.person)
        if known is not None and known.deleted:
            self._refuse(one.item, Why.DELETED, _deleted(known))
            return None
        return subject

    def _call(self, item: Item, added: set[str]) -> None:
        """Let the name of somebody with an own id lead there, too."""
        person = item.person
        if added and person is not None and person.own_id is not None and person.name:
            try:
                self.people.call(person.own_id, person.name)
            except GalleryError as error:
                self.found.remarks.append(f"{item.name}: {error}")

    def _template(
        self, one: _Waiting, face: FoundFace, subject: str, result: Embedding | HealthReport
    ) -> Template:
        """A face's; of a refused one a blank, which a server cannot tell from others.

        It is similar to nobody, and changes no mean.
        """
        id = one.item.template or self.opened.settings.ids.template(one.source, face.number)
        values = np.zeros(self.opened.parameters.features)
        if isinstance(result, Embedding):
            values = weighed(result, face.prepared)
        record = self.opened.vault.seal_record(id, values)
        return Template(id, subject, one.source, record)

    # --- writing and telling ----------------------------------------------------------------------

    def _write(
        self,
        subjects: Iterable[Subject],
        templates: Sequence[Template],
        refusals: Sequence[Refusal],
    ) -> list[str]:
        """In one transaction; the ids of templates that are new."""
        if not templates and not refusals:
            return []
        return self.opened.store.add(subjects, templates, refusals).templates

    def _refusal(self, source: str, reason: str) -> Refusal:
        return Refusal(source, self.opened.vault.seal_reason(source, reason))

    def _refuse(self, item: Item, why: Why, text: str, face: int | None = None) -> str:
        reason = text.removeprefix(f"{item.photo}: ").removeprefix(f"{item.name}: ")
        self.found.refused.append(Refused(item.name, why, reason, face))
        return reason

    def _tell(
        self, one: _Waiting, face: FoundFace, template: Template, subject: Subject, new: bool
    ) -> None:
        for warning in face.warnings:
            self.found.remarks.append(f"{one.item.name}: {warning}")
        if new:
            person = one.item.person
            name = person.name if person and self.opened.facts.names else None
            self.found.enrolled.append(
                EnrolledFace(one.item.name, face.number, template.id, subject.id, name, face.box)
            )

    def _step(self, photos: int = 1) -> None:
        self._done += photos
        if self.report is not None:
            seconds = time.perf_counter() - self._started
            left = seconds / self._done * (self._total - self._done)
            enrolled, refused = len(self.found.enrolled), len(self.found.refused)
            self.report(Progress(self._done, self._total, enrolled, refused, seconds, left))


def _deleted(known: StoredSubject) -> str:
    return f"subject {known.id} is deleted: undelete it, or compact the gallery first"
