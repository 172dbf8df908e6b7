"""``fhe-face identify``: faces of many photos, embedded together and looked up in galleries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fhe_face.commands.gallery_embedding import TOGETHER, Result
from fhe_face.failures import one_line
from fhe_face.gallery.embedders import Embedder, require_embedder
from fhe_face.gallery.errors import OtherModel
from fhe_face.gallery.faces import FoundFace
from fhe_face.gallery.fusion import Opinion, answer_fused
from fhe_face.gallery.gallery import Gallery
from fhe_face.gallery.identification import Match
from fhe_face.gallery.ranking import Identified
from fhe_face.photos.images import ImageError
from fhe_face.progress import Stage


@dataclass(frozen=True, eq=False)
class Looked:
    """A photo, and its faces' answers or why it could not be used."""

    photo: Path
    faces: tuple[Identified, ...] = ()
    error: str | None = None


@dataclass(frozen=True, eq=False)
class Asked:
    """A gallery, what embeds for it, and how much it weighs beside others."""

    gallery: Gallery
    embedder: Embedder
    weight: float


#: The faces of a photo as each gallery prepares them, or why it could not be used.
_Read = list[list[FoundFace]] | str


@dataclass(frozen=True, eq=False)
class Looking:
    """Looks photos up in one gallery, or in several together.

    every: all faces of a photo, not only the largest.
    """

    asked: Sequence[Asked]
    match: Match
    top: int
    every: bool
    stage: Stage

    def run(self, photos: Sequence[Path]) -> list[Looked]:
        """The answers for all photos; one that cannot be used does not stop the others.

        Raises: as `Gallery.identify`, but for photos.
        """
        for one in self.asked:
            require_embedder(one.embedder, one.gallery.facts)
        looked: list[Looked] = []
        for first in range(0, len(photos), TOGETHER):
            self.stage("looking up photos", first, len(photos))
            looked += self._some(photos[first : first + TOGETHER])
        self.stage("looking up photos", len(photos), len(photos))
        return looked

    def _some(self, photos: Sequence[Path]) -> Iterator[Looked]:
        read = [self._read(photo) for photo in photos]
        results = [iter(found) for found in self._embedded(read)]
        for photo, faces in zip(photos, read, strict=True):
            if isinstance(faces, str):
                yield Looked(photo, error=faces)
                continue
            alike = zip(*faces, strict=True)
            answers = [self._answer(own, [next(found) for found in results]) for own in alike]
            yield Looked(photo, tuple(answers))

    def _read(self, photo: Path) -> _Read:
        try:
            faces = [one.gallery.faces(photo, self.every) for one in self.asked]
        except (ImageError, OtherModel) as error:
            return one_line(error).removeprefix(f"{photo}: ")
        if len({len(own) for own in faces}) > 1:
            return "the galleries find different numbers of faces on it"
        return faces

    def _embedded(self, read: Sequence[_Read]) -> list[list[Result]]:
        """For each gallery, what all faces gave; computed once for those that are alike."""
        known: dict[tuple[str, str], list[Result]] = {}
        found = []
        for place, one in enumerate(self.asked):
            facts = one.gallery.facts
            key = facts.model, facts.preparation_digest
            if key not in known:
                faces = [f.prepared for own in read if not isinstance(own, str) for f in own[place]]
                known[key] = one.embedder.embed(faces)
            found.append(known[key])
        return found

    def _answer(self, faces: Sequence[FoundFace], results: Sequence[Result]) -> Identified:
        if len(self.asked) == 1:
            gallery = self.asked[0].gallery
            return gallery.answer(faces[0], results[0], top=self.top, match=self.match)
        opinions = [
            Opinion(one.gallery, one.weight, result)
            for one, result in zip(self.asked, results, strict=True)
        ]
        return answer_fused(faces[0], opinions, top=self.top, match=self.match)
