"""The gallery on the page: enrol a few people, and find them on photos."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from fhe_core.formats.ciphertexts import Bundle
from fhe_face.failures import UsageError
from fhe_face.gallery.decisions import Answer, Decision
from fhe_face.gallery.gallery import Gallery
from fhe_face.gallery.ranking import Identified
from fhe_face.gallery.report import Progress as Enrolling
from fhe_face.gallery.subjects import SubjectInfo
from fhe_face.photos.image_error import ImageError
from fhe_face.photos.images import load_picture
from fhe_face.photos.preparation import PreparedFace
from fhe_face.studio.engine import Engine, Result
from fhe_face.studio.jobs import Job
from fhe_face.studio.photos import Look, Looks, shortened
from fhe_face.studio.pictures import JPEG, PNG, Pictures, noise, preview
from fhe_face.studio.progress import Side
from fhe_face.studio.readiness import Readiness
from fhe_face.studio.scale import Scale
from fhe_face.system import temporary_folder

Photo = tuple[str, bytes]

MAX_NAME: Final = 80
#: Candidates that are told.
_TOP: Final = 3
_THUMBNAILS: Final = 4
_ANSWERS: Final = {
    Answer.MATCH: "Match",
    Answer.UNCERTAIN: "Uncertain",
    Answer.UNKNOWN: "Unknown",
}


@dataclass(frozen=True)
class Person:
    """id: of the subject; photos: how many; pictures: of crops, of this session only."""

    id: str
    label: str
    photos: int
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """What the page shows of the gallery. place: its folder; None: not kept."""

    place: str | None
    people: tuple[Person, ...] = ()
    sealed: int = 0


@dataclass(frozen=True)
class Enrolled:
    """label: whose; added: faces; remarks: one sentence each, of what was not enrolled too."""

    label: str
    added: int
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """A face of a photo: kind is "match", "uncertain", "unknown" or "refused".

    box: x, y, width, height in pixels of the photo; None for a crop. label: who it is, or may be.
    """

    number: int
    box: tuple[float, float, float, float] | None
    kind: str
    words: str
    label: str | None
    detail: str
    scale: Scale | None
    others: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Found:
    """A photo, and who is on it. size: wide and high in pixels."""

    picture: str
    size: tuple[int, int]
    faces: tuple[Named, ...]
    seconds: float


@dataclass
class PeopleDesk:
    """A gallery, whose work is done in the thread of jobs; it is closed with this.

    gallery: None: one is made when it is first needed, and is not kept.
    """

    engine: Engine
    readiness: Readiness
    pictures: Pictures
    looks: Looks
    gallery: Gallery | None
    view: View = field(init=False)
    _stack: ExitStack = field(default_factory=ExitStack, repr=False)
    _crops: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._place = None if self.gallery is None else str(self.gallery.opened.folder.root)
        self.view = View(self._place)
        if self.gallery is not None:
            self._show(self.gallery)

    def enrol(self, job: Job, name: str, photos: Sequence[Photo], encrypted: bool) -> Enrolled:
        """Enrol a person's photos; the work of a job.

        Raises:
            ImageError: no photo can be used. What `Gallery.enroll` and the engine raise.
        """
        looks, remarks = self._looks(job, photos)
        gallery = self._opened()
        through = _Through(self, job, encrypted, "sealing")

        def progress(one: Enrolling) -> None:
            job.tell(Side.CLIENT, "enrolling", one.done, one.total)

        found = gallery.enroll(
            [look.content for look in looks], subject=name, embedder=through, progress=progress
        )
        remarks += [_sentence(one.reason) for one in found.refused]
        remarks += ["One photo is enrolled for another person already." for _ in found.conflicting]
        if found.known or found.repeated:
            count = len(found.known) + len(found.repeated)
            remarks.append(f"{_photos(count)} known already.")
        if found.enrolled:
            crops = self._crops.setdefault(found.enrolled[0].subject, [])
            crops += [look.crop for look in looks]
        for look in looks:
            kept = [look.crop] if found.enrolled else []
            self.pictures.forget(*(name for name in look.pictures if name not in kept))
        self._show(gallery)
        return Enrolled(name, len(found.enrolled), tuple(remarks))

    def identify(self, job: Job, photo: Photo, encrypted: bool) -> Found:
        """Who is on a photo; the work of a job.

        Raises:
            UsageError: nobody is enrolled. What `Gallery.identify` and the engine raise.
        """
        if not self.view.people:
            raise UsageError("nobody is enrolled yet: enrol somebody first")
        started = time.perf_counter()
        name, content = photo
        gallery = self._opened()
        job.tell(Side.CLIENT, "finding faces", 0, 0)
        try:
            pixels = load_picture(content).pixels
            through = _Through(self, job, encrypted, "searching sealed faces")
            answers = gallery.identify(content, top=_TOP, embedder=through)
        except ImageError as error:
            raise ImageError(shortened(name), str(error).partition(": ")[2]) from None
        decision = gallery.finder.decision()
        high, wide = pixels.shape[:2]
        faces = tuple(_named(one, decision) for one in answers)
        picture = self.pictures.keep(JPEG, preview(pixels))
        return Found(picture, (wide, high), faces, time.perf_counter() - started)

    def delete(self, id: str) -> None:
        """Delete a person: no search finds them from now on."""
        gallery = self._opened()
        gallery.delete([id])
        self.pictures.forget(*self._crops.pop(id, []))
        self._show(gallery)

    def close(self) -> None:
        """Close the gallery; one that is not kept is removed."""
        if self.gallery is not None:
            self.gallery.close()
            self.gallery = None
        self._stack.close()

    def _opened(self) -> Gallery:
        if self.gallery is None:
            folder = self._stack.enter_context(temporary_folder("fhe-face-gallery-"))
            self.gallery = self.engine.gallery(folder / "gallery")
        return self.gallery

    def _looks(self, job: Job, photos: Sequence[Photo]) -> tuple[list[Look], list[str]]:
        """Photos with a face, and why the others have none."""
        looks, remarks = [], []
        for number, (name, content) in enumerate(photos):
            job.tell(Side.CLIENT, "finding faces", number, len(photos))
            try:
                looks.append(self.looks.of(content, name))
            except ImageError as error:
                if len(photos) == 1:
                    raise
                remarks.append(_sentence(str(error)))
        job.tell(Side.CLIENT, "finding faces", len(photos), len(photos))
        if not looks:
            raise ImageError(_photos(len(photos)), "no face found in any of them")
        return looks, remarks

    def _show(self, gallery: Gallery) -> None:
        people = tuple(
            Person(one.id, one.label, one.templates, self._pictures_of(one))
            for one in gallery.subjects()
        )
        self.view = View(self._place, people, gallery.counts()["entries"])

    def _pictures_of(self, one: SubjectInfo) -> tuple[str, ...]:
        return tuple(self._crops.get(one.id, ())[: min(_THUMBNAILS, one.templates)])


@dataclass(frozen=True)
class _Through:
    """Embeds for a gallery as the person chose, and shows what goes to the server.

    after: what the gallery does with the embeddings.
    """

    desk: PeopleDesk
    job: Job
    encrypted: bool
    after: str

    @property
    def model(self) -> str:
        return self.desk.engine.model

    @property
    def size(self) -> int:
        return self.desk.engine.size

    @property
    def views(self) -> int:
        return self.desk.engine.views

    @property
    def together(self) -> int:
        return 2 if self.encrypted and self.views == 1 else 16

    def embed(self, faces: Sequence[PreparedFace], /) -> list[Result]:
        job, engine = self.job, self.desk.engine
        if not self.encrypted:
            job.tell(Side.CLIENT, "embedding in the clear", 0, 0)
            found = engine.in_the_clear(faces)
            job.tell(Side.CLIENT, self.after, 0, 0)
            return found
        self.desk.readiness.wait(job)
        found = engine.encrypted(faces, job.tell, self._show).results
        job.tell(Side.CLIENT, self.after, 0, 0)
        return found

    def _show(self, bundle: Bundle) -> None:
        self.job.noise = self.desk.pictures.keep(PNG, noise(bundle))


def _named(one: Identified, decision: Decision) -> Named:
    if one.answer is None:
        detail = _sentence(one.reason or "no embedding")
        return Named(one.face, one.box, "refused", "No answer", None, detail, None)
    best, first = one.best, one.candidates[0] if one.candidates else None
    scale = None
    if first is not None:
        scale = Scale.of(first.score, decision.different_below, decision.same_from)
    detail = "Nobody in the gallery is similar enough."
    if best is not None:
        detail = f"Similarity {best.score:.3f}, confidence {best.confidence:.0%}."
    elif first is not None:
        detail = f"Most similar is {first.label} with {first.score:.3f}: not similar enough."
    others = tuple((c.label, f"{c.score:.3f}") for c in one.candidates[1:])
    label = None if best is None else best.label
    return Named(
        one.face, one.box, one.answer.value, _ANSWERS[one.answer], label, detail, scale, others
    )


def _photos(count: int) -> str:
    return "one photo" if count == 1 else f"{count} photos"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
