"""From scores to ranked people with confidences, and the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fhe_face.gallery.decisions import Answer, Decision
from fhe_face.gallery.index import Found
from fhe_face.models.faces.face import Box
from fhe_face.models.templates import Array

#: Candidates that are told by default.
TOP = 5


@dataclass(frozen=True)
class Candidate:
    """Somebody that a face may be.

    score: the cosine, at most 1, of the mean template or of the best one; confidence: 0..1, of all
    candidates and nobody together 1; template: the best one, where each is searched by itself.
    """

    subject: str
    name: str | None
    score: float
    confidence: float
    template: str | None = None

    @property
    def label(self) -> str:
        """The name, or else the id."""
        return self.name or self.subject

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


@dataclass(frozen=True)
class Identified:
    """What is said about one face of a photo.

    face: its number, largest first, from 1; box: x, y, width, height in pixels, None for a crop;
    answer: None where the face has no embedding that may be used: then reason says why. A match
    or an uncertain one is the first of the candidates. warnings: one line each.
    """

    face: int
    box: Box | None
    answer: Answer | None
    candidates: tuple[Candidate, ...] = ()
    reason: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def best(self) -> Candidate | None:
        """Who it is, or may be; None for somebody unknown."""
        known = self.answer in (Answer.MATCH, Answer.UNCERTAIN)
        return self.candidates[0] if known and self.candidates else None

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return {
            "face": self.face,
            "box": None if self.box is None else [round(n, 2) for n in self.box],
            "answer": None if self.answer is None else self.answer.value,
            "candidates": [candidate.to_json() for candidate in self.candidates],
            "reason": self.reason,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, eq=False)
class BySubject:
    """Scores (n,) of subjects, each with its best template where these are searched."""

    subjects: tuple[str, ...]
    scores: Array
    best: tuple[str | None, ...]


def by_subject(found: Found, subject_of: Mapping[str, str] | None) -> BySubject:
    """The best score of each subject; subject_of: of templates, None where owners are subjects."""
    if subject_of is None:
        return BySubject(found.owners, found.scores, (None,) * len(found.owners))
    best: dict[str, int] = {}
    for place, owner in enumerate(found.owners):
        subject = subject_of.get(owner)
        if subject is None:
            continue
        if subject not in best or found.scores[place] > found.scores[best[subject]]:
            best[subject] = place
    places = list(best.values())
    return BySubject(tuple(best), found.scores[places], tuple(found.owners[p] for p in places))


def ranked(
    scores: BySubject, decision: Decision, top: int, name_of: Callable[[str], str | None]
) -> tuple[Answer, tuple[Candidate, ...]]:
    """The answer, and the most similar subjects, at most `top` of them; equal scores by id."""
    count = len(scores.subjects)
    if not count:
        return Answer.UNKNOWN, ()
    confidences = decision.confidences(scores.scores)
    last = count - min(max(top, 1), count)
    least = np.partition(scores.scores, last)[last]
    chosen = np.flatnonzero(scores.scores >= least)  # more than `top` where some are equal
    order = sorted(chosen, key=lambda place: (-scores.scores[place], scores.subjects[place]))
    candidates = tuple(
        Candidate(
            scores.subjects[place],
            name_of(scores.subjects[place]),
            float(np.clip(scores.scores[place], -1.0, 1.0)),
            float(confidences[place]),
            scores.best[place],
        )
        for place in order[: max(top, 1)]
    )
    return decision.answer(candidates[0].score), candidates[:top]
