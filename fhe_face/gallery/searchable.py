"""Looking faces up in an open gallery."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fhe_core.matching import Probe, Scores
from fhe_face.gallery.base import OpenGallery
from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.embedders import Embedder
from fhe_face.gallery.faces import FoundFace, name_of
from fhe_face.gallery.identification import How, Match, Result, Verified
from fhe_face.gallery.index import Found, Searcher
from fhe_face.gallery.ranking import TOP, BySubject, Identified
from fhe_face.models.templates import Array


class SearchableGallery(OpenGallery):
    """What a `Gallery` answers."""

    def identify(
        self,
        photo: Any,
        *,
        top: int = TOP,
        every: bool = True,
        match: Match = "encrypted",
        searcher: Searcher | None = None,
        embedder: Embedder | None = None,
    ) -> list[Identified]:
        """Who is on a photo: an answer for each face, largest first; every: not only the largest.

        match: "encrypted" (scores of sealed blocks by `searcher`; default: in this process), or
        "local" (blocks opened here, and compared in the clear).

        Raises:
            ImageError: the photo cannot be used, or shows no face.
            OtherModel: it was prepared or embedded in another way than the gallery's faces.
            GalleryError: the gallery has no thresholds.
            ContainerError, AnswerLimitError: the searcher's scores cannot be used.
        """
        self.finder.decision()
        found = self.finder.embedded(photo, embedder or self.embedder, every)
        return [
            self.answer(face, result, top=top, match=match, searcher=searcher)
            for face, result in found
        ]

    def faces(self, photo: Any, every: bool = True) -> list[FoundFace]:
        """The faces of a photo, prepared as the gallery's are, largest first.

        For whoever embeds faces of many photos at once, and asks for each `answer` afterwards.

        Raises:
            ImageError, OtherModel, DetectorError: as `identify`.
        """
        return self.finder.reader.read(photo, every=every)

    def answer(
        self,
        face: FoundFace,
        result: Result,
        *,
        top: int = TOP,
        match: Match = "encrypted",
        searcher: Searcher | None = None,
    ) -> Identified:
        """Who a face is, by what embedding it gave; of `faces`, in the same order.

        Raises: as `identify`, but for those of photos.
        """
        how = How(match, self._used(searcher, self._names(searcher)))
        return self.finder.answer(face, result, how, top)

    def verify(
        self,
        photo: Any,
        subject: str,
        *,
        match: Match = "encrypted",
        searcher: Searcher | None = None,
        embedder: Embedder | None = None,
    ) -> Verified:
        """Whether the largest face of a photo is a subject's, by id or name.

        Raises:
            UnknownSubject: there is nobody of that name or id.
            UnhealthyResultError: the face must not be used; the text names the photo.
            Others: as `identify`.
        """
        self.finder.wanted(subject)  # before minutes go into embedding
        found = self.finder.embedded(photo, embedder or self.embedder, every=False)
        ((face, result),) = found
        named = name_of(photo)
        return self.verdict(face, result, subject, match=match, searcher=searcher, photo=named)

    def verdict(
        self,
        face: FoundFace,
        result: Result,
        subject: str,
        *,
        match: Match = "encrypted",
        searcher: Searcher | None = None,
        photo: str = "the photo",
    ) -> Verified:
        """Whether a face is a subject's, by what embedding it gave; photo: names it in errors.

        Raises: as `verify`, but for those of photos.
        """
        how = How(match, self._used(searcher, len(Answer)))
        return self.finder.verdict(face, result, subject, how, photo)

    def scores(
        self, embedding: Array, match: Match = "encrypted", searcher: Searcher | None = None
    ) -> tuple[Found, BySubject]:
        """Of a unit embedding (F,) with everybody; errors as `identify`.

        Whoever asks a searcher for these is counted as for one answer: do not let them out.
        """
        how = How(match, self._used(searcher, self._names(searcher)))
        return self.finder.scores(embedding, how)

    def called(self, subjects: Iterable[str]) -> list[str]:
        """Names where the gallery keeps them, or else ids: what fusion takes people by."""
        names = {}
        if self.facts.names:
            rows = self.opened.store.subjects()
            names = {row.id: self.people.name(row) for row in rows}
        return [names.get(id) or id for id in subjects]

    def pass_over(self, match: Match = "encrypted", searcher: Searcher | None = None) -> None:
        """A face has no embedding, so nobody is searched for: this gallery hides that from none."""

    def _names(self, searcher: Searcher | None) -> int:
        """How many different answers there are: each name, sure or not, and nobody."""
        return 1 if searcher is None else 2 * self.opened.store.counts().subjects + 1

    def _used(self, searcher: Searcher | None, outcomes: int) -> Searcher:
        """The caller's searcher, whose answers are counted, or the one of this process."""
        return _Own(self) if searcher is None else self._counted.around(searcher, outcomes)


@dataclass(frozen=True)
class _Own:
    """The server's part in this process, which is only loaded where somebody searches."""

    gallery: OpenGallery

    def search(self, probe: Probe, /) -> Scores:
        return self.gallery.searcher.search(probe)
