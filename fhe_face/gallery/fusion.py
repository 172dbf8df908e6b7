"""Two galleries, two models, one answer: scores and thresholds with weights.

People are the same where both galleries have the same name, or the caller's own id. A gallery
whose model refuses a face weighs nothing for that face.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fhe_face.client.health import HealthReport
from fhe_face.gallery.decisions import Answer, Decision
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.faces import FoundFace
from fhe_face.gallery.identification import Match, Result, missing
from fhe_face.gallery.index import Searcher
from fhe_face.gallery.ranking import TOP, BySubject, Identified, ranked
from fhe_face.models.templates import unit

if TYPE_CHECKING:
    from fhe_face.gallery.gallery import Gallery


@dataclass(frozen=True, eq=False)
class Vote:
    """What one gallery says of a face. scores: by what people are called in both galleries.

    gallery: its name, for messages.
    """

    weight: float
    decision: Decision
    scores: Mapping[str, float]
    gallery: str = ""

    @property
    def middle(self) -> float:
        """Of its thresholds."""
        return (self.decision.same_from + self.decision.different_below) / 2

    @property
    def alone(self) -> tuple[Answer, str | None]:
        """What it would answer by itself, and whom it would name."""
        if not self.scores:
            return Answer.UNKNOWN, None
        best = max(self.scores, key=lambda person: self.scores[person])
        answer = self.decision.answer(self.scores[best])
        return answer, None if answer is Answer.UNKNOWN else best


def fused(votes: Sequence[Vote]) -> tuple[BySubject, Decision]:
    """The weighted means of scores, and of thresholds.

    Somebody whom only some galleries know is scored by these, with their weights, as far above the
    middle of the thresholds as above that of theirs: cosines of two networks are of two scales.

    Raises:
        GalleryError: no gallery has a weight.
    """
    total = sum(vote.weight for vote in votes)
    if not votes or total <= 0:
        raise GalleryError("no gallery is left that weighs anything")
    people = sorted({person for vote in votes for person in vote.scores})
    middle = sum(vote.weight * vote.middle for vote in votes) / total
    scores = []
    for person in people:
        known = [vote for vote in votes if person in vote.scores]
        weight = sum(vote.weight for vote in known)
        margins = sum(vote.weight * (vote.scores[person] - vote.middle) for vote in known)
        scores.append(middle + margins / weight if weight else -1.0)
    decision = Decision(
        sum(vote.weight * vote.decision.same_from for vote in votes) / total,
        sum(vote.weight * vote.decision.different_below for vote in votes) / total,
        sum(vote.weight * vote.decision.temperature for vote in votes) / total,
        "fusion",
    )
    return BySubject(tuple(people), np.array(scores), (None,) * len(people)), decision


def disagreement(votes: Sequence[Vote]) -> str | None:
    """A line where one gallery matches somebody whom another does not know, or takes for another.

    Somebody whom a gallery does not have is nobody to disagree on. None where they agree, or are
    not sure.
    """
    for vote in votes:
        answer, person = vote.alone
        if answer is not Answer.MATCH or person is None:
            continue
        for other in votes:
            other_answer, other_person = other.alone
            unknown = other_answer is Answer.UNKNOWN and person in other.scores
            if unknown or (other_answer is Answer.MATCH and other_person != person):
                said = "unknown" if other_person is None else other_person
                return (
                    f"the galleries disagree: {vote.gallery} says {person}, {other.gallery} says "
                    f"{said}"
                )
    return None


def identify_fused(
    photo: Any,
    galleries: Sequence[tuple[Gallery, float]],
    *,
    top: int = TOP,
    every: bool = True,
    match: Match = "encrypted",
) -> list[Identified]:
    """Who is on a photo, by several galleries (gallery, weight) together.

    A face that no model can embed has a reason instead of an answer.

    Raises:
        GalleryError: no gallery, a weight that is no number above 0, or galleries that find
            different faces.
        ImageError: the photo cannot be used, or shows no face.
    """
    if not galleries or any(not 0 < weight < np.inf for _, weight in galleries):
        raise GalleryError("fusion takes galleries, each with a weight above 0")
    looked = [gallery.finder.embedded(photo, gallery.embedder, every) for gallery, _ in galleries]
    if len({len(faces) for faces in looked}) > 1:
        raise GalleryError("the galleries find different numbers of faces: prepare them alike")
    answers = []
    for faces in zip(*looked, strict=True):
        opinions = [
            Opinion(gallery, weight, result)
            for (gallery, weight), (_, result) in zip(galleries, faces, strict=True)
        ]
        answers.append(answer_fused(faces[0][0], opinions, top=top, match=match))
    return answers


@dataclass(frozen=True, eq=False)
class Opinion:
    """What a gallery's model made of a face, and how much the gallery weighs.

    searcher: who computes its scores; None: this process.
    """

    gallery: Gallery
    weight: float
    result: Result
    searcher: Searcher | None = None


def answer_fused(
    face: FoundFace, opinions: Sequence[Opinion], *, top: int = TOP, match: Match = "encrypted"
) -> Identified:
    """Who a face is, by several galleries together.

    Raises: as `Gallery.answer`.
    """
    votes, reasons, said = [], [], list(face.warnings)
    for one in opinions:
        if isinstance(one.result, HealthReport):
            reasons.append(f"{one.gallery.name}: {one.result.message}")
            one.gallery.pass_over(match, one.searcher)
            continue
        found, scores = one.gallery.scores(unit(one.result.values), match, one.searcher)
        said += missing(found)
        called = one.gallery.called(scores.subjects)
        own = dict(zip(called, scores.scores.tolist(), strict=True))
        votes.append(Vote(one.weight, one.gallery.finder.decision(), own, one.gallery.name))
    if not votes:
        return Identified(face.number, face.box, None, (), "; ".join(reasons), tuple(said))
    merged, decision = fused(votes)
    answer, candidates = ranked(merged, decision, top, lambda _subject: None)
    apart = disagreement(votes)
    said += [] if apart is None else [apart]
    warnings = (*said, *(f"weighs nothing here: {reason}" for reason in reasons))
    return Identified(face.number, face.box, answer, candidates, None, warnings)
