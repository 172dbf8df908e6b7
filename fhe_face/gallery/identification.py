"""Who is on a photo, and whether it shows somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport, UnhealthyResultError
from fhe_face.gallery.decisions import Answer, Decision
from fhe_face.gallery.embedders import Embedder, require_embedder
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.faces import FaceReader, FoundFace
from fhe_face.gallery.facts import Mode
from fhe_face.gallery.index import Found, Index, Searcher
from fhe_face.gallery.opened import Opened
from fhe_face.gallery.ranking import BySubject, Identified, by_subject, ranked
from fhe_face.gallery.subjects import People
from fhe_face.models.templates import Array, unit
from fhe_face.store import StoredSubject

#: Where scores are computed: by the server on sealed blocks, or here on opened ones.
Match = Literal["encrypted", "local"]


#: What embedding a face gives.
Result = Embedding | HealthReport


@dataclass(frozen=True)
class How:
    """Where scores are computed: match, and by which searcher where that is "encrypted".

    Raises:
        GalleryError: another word.
    """

    match: Match
    searcher: Searcher

    def __post_init__(self) -> None:
        """See the class."""
        if self.match not in ("encrypted", "local"):
            raise GalleryError(f"match is {self.match!r}; it must be 'encrypted' or 'local'")


@dataclass(frozen=True)
class Verified:
    """Whether a photo shows somebody.

    score: of the mean template, or the best of the subject's; mean: over the subject's templates
    where each is searched by itself, else the same; threshold: from which it is a match.
    """

    subject: str
    name: str | None
    answer: Answer
    score: float
    mean: float
    threshold: float
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return {**vars(self), "answer": self.answer.value, "warnings": list(self.warnings)}


@dataclass
class Finder:
    """Looks faces up in an open gallery."""

    opened: Opened
    index: Index
    people: People
    reader: FaceReader
    _subjects: tuple[int, dict[str, str]] | None = None

    def decision(self) -> Decision:
        """What the gallery decides by.

        Raises:
            GalleryError: it has no thresholds.
        """
        found = self.opened.settings.decision
        if found is None:
            raise GalleryError(
                "the gallery has no thresholds, so nothing tells a match from a stranger: "
                "calibrate it, or give them when it is created (thresholds=(0.3, 0.4))"
            )
        return found

    def embedded(
        self, photo: Any, embedder: Embedder, every: bool
    ) -> list[tuple[FoundFace, Result]]:
        """The faces of a photo with what embedding them gave.

        Raises:
            ImageError: the photo cannot be used, or shows no face.
            OtherModel: it is prepared or embedded in another way than the gallery's faces.
        """
        require_embedder(embedder, self.opened.facts)
        faces = self.reader.read(photo, every=every)
        results = embedder.embed([face.prepared for face in faces])
        return list(zip(faces, results, strict=True))

    def scores(self, embedding: Array, how: How) -> tuple[Found, BySubject]:
        """Of a unit embedding (F,) with everybody: of what is searched, and of subjects."""
        local = how.match == "local"
        found = self.index.local(embedding) if local else self.index.sealed(embedding, how.searcher)
        return found, by_subject(found, self.subjects_of_templates())

    def answer(self, face: FoundFace, result: Result, how: How, top: int) -> Identified:
        """See `Gallery.answer`."""
        decision = self.decision()
        if isinstance(result, HealthReport):
            return Identified(face.number, face.box, None, (), result.message, face.warnings)
        found, scores = self.scores(unit(result.values), how)
        answer, candidates = ranked(scores, decision, top, self.name_of)
        said = (*face.warnings, *missing(found))
        return Identified(face.number, face.box, answer, candidates, None, said)

    def verdict(
        self, face: FoundFace, result: Result, subject: str, how: How, name: str
    ) -> Verified:
        """See `Gallery.verdict`."""
        decision, row = self.decision(), self.wanted(subject)
        if isinstance(result, HealthReport):
            named = tuple(f"{name}: {failure}" for failure in result.failures)
            raise UnhealthyResultError(replace(result, failures=named))
        found, _ = self.scores(unit(result.values), how)
        own = self._own(found, row.id)
        if not own.size:
            raise GalleryError(f"subject {subject[:80]!r} has no template to compare with")
        score = float(np.clip(own.max(), -1.0, 1.0))
        return Verified(
            row.id,
            self.people.name(row),
            decision.answer(score),
            score,
            float(np.clip(own.mean(), -1.0, 1.0)),
            decision.same_from,
            (*face.warnings, *missing(found)),
        )

    def wanted(self, subject: str) -> StoredSubject:
        """Whom a photo is compared with.

        Raises:
            UnknownSubject: there is nobody of that name or id.
            GalleryError: that subject is deleted, or the gallery has no thresholds.
        """
        self.decision()
        row = self.people.find(subject)
        if row.deleted:
            raise GalleryError(f"subject {subject[:80]!r} is deleted: undelete it first")
        return row

    def _own(self, found: Found, subject: str) -> Array:
        """The scores that are a subject's."""
        subject_of = self.subjects_of_templates()
        places = [
            place
            for place, owner in enumerate(found.owners)
            if (owner if subject_of is None else subject_of.get(owner)) == subject
        ]
        return found.scores[places]

    def subjects_of_templates(self) -> dict[str, str] | None:
        """Of templates, where these are what is searched."""
        if self.opened.facts.mode is Mode.MEAN:
            return None
        changes = self.opened.store.state().changes
        if self._subjects is None or self._subjects[0] != changes:
            rows = self.opened.store.templates()
            self._subjects = changes, {row.id: row.subject for row in rows}
        return self._subjects[1]

    def name_of(self, subject: str) -> str | None:
        """Of a subject; None where names are not kept."""
        if not self.opened.facts.names:
            return None
        return self.people.name(self.people.find(subject))


def missing(found: Found) -> Sequence[str]:
    """What has to be said about blocks that no server has searched."""
    if not found.missing:
        return ()
    return (
        f"{len(found.missing)} damaged or missing blocks were compared in the clear: "
        f"gallery check --repair seals them again ({found.missing[0][:12]}...)",
    )
