"""Results of galleries' keys: scores of one face with everybody, and faces that a server enrolled.

Two kinds of scores: of a probe that somebody sealed, and findings, of a face that a server switched
into the gallery's ring by itself (docs/server-only.md), which carry their health along.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from fhe_core import container
from fhe_core.container import Kind
from fhe_core.formats.ciphertexts import ParameterLoader
from fhe_core.formats.matching import scores_from_bytes
from fhe_core.formats.switching import (
    face_from_bytes,
    findings_from_bytes,
    switch_facts,
)
from fhe_core.matching import Asked, MatchParameters, Scores
from fhe_core.matching.answers import answers_of
from fhe_core.matching.crossed import Findings, SwitchedFace
from fhe_core.parameters import presets
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from fhe_face.authority.galleries import Known
from fhe_face.authority.requests import Question, Verdict
from fhe_face.authority.words import Word
from fhe_face.client.health import HealthReport
from fhe_face.client.ledger import Ledger
from fhe_face.gallery import findings, index
from fhe_face.gallery.crossing import Crossing, judged_face
from fhe_face.models.templates import Array

#: Uncertain, unknown, refused, beside one match or the names of all.
_OTHERS = 3
_HEALTHY_OR_NOT = 2
#: Kinds of files that hold the scores of a search.
SEARCHES = (Kind.SCORES, Kind.FINDINGS)


@dataclass(frozen=True, eq=False)
class CheckedScores:
    """Scores whose shape is right, not yet opened. digest: names their content."""

    content: Scores | Findings
    asked: Asked
    known: Known
    digest: str


@dataclass(frozen=True, eq=False)
class CheckedFace:
    """A face that a server enrolled, not yet opened. digest: names its content."""

    face: SwitchedFace
    known: Known
    digest: str


def token_of(data: bytes) -> str:
    """The token by which a result of a gallery is known: of scores what they bring back, of a
    face its request's. ContainerError: it is neither."""
    with container.loads(data, name="the result") as reader:
        name = "request" if reader.header.kind is Kind.SWITCHED_FACE else "token"
        return reader.header.text(name)


class Searches:
    """Opens results of one gallery key."""

    def __init__(
        self,
        key: SecretKey,
        parameters: MatchParameters,
        ledger: Ledger,
        engines: ParameterLoader = presets.load,
    ) -> None:
        """engines: finds parameters of engines by name; tests have their own."""
        self._sealer = Sealer(key, parameters)
        self._ledger = ledger
        self._engines = engines

    @property
    def key_id(self) -> str:
        """Public name of the key."""
        return self._sealer.key.key_id

    # --- shapes -----------------------------------------------------------------------------------

    def check(self, data: bytes, token: str, known: Known) -> CheckedScores:
        """Compare scores or findings with what the gallery holds, from their header.

        Raises:
            AnswerMismatch, StaleAnswer: of other blocks or positions, or of another face.
            ContainerError: another shape or key.
            NotHere: findings of a gallery that no server searches by itself.
        """
        asked = Asked(
            self._sealer.parameters, self.key_id, bytes.fromhex(token), known.blocks, known.masks
        )
        with container.loads(data, name="the result") as reader:
            kind = reader.header.kind
        content: Scores | Findings
        if kind is Kind.FINDINGS:
            self._crossing(known)
            content = findings_from_bytes(data, asked, "the result")
            digest = hashlib.sha256(data)
        else:
            content = scores_from_bytes(data, asked, "the result")
            digest = hashlib.sha256(content.token + "\n".join(content.blocks).encode())
            digest.update(content.words.tobytes())
        return CheckedScores(content, asked, known, digest.hexdigest())

    def check_face(self, data: bytes, known: Known) -> CheckedFace:
        """Compare a face that a server enrolled with the gallery. Errors as `check`."""
        self._crossing(known)
        face = face_from_bytes(data, self._sealer.parameters, self.key_id, "the result")
        return CheckedFace(face, known, hashlib.sha256(data).hexdigest())

    def _crossing(self, known: Known) -> Crossing:
        description, parameters = known.require_crossing(), self._sealer.parameters
        return Crossing(*switch_facts("the gallery", description, parameters, self._engines))

    # --- opening ----------------------------------------------------------------------------------

    def decide(
        self, checked: CheckedScores, question: Question, band: float
    ) -> tuple[Verdict, float]:
        """The verdict on the best score of everybody, or of the subject that was named.

        Returns that score, too, which must not leave.

        Raises:
            AnswerLimitError: the key has given as many answers as it may.
        """
        known = checked.known
        outcomes = _OTHERS + (known.people if question.names else 1)
        self._ledger.spend(bytes.fromhex(checked.digest), answers_of(outcomes))
        owners = [owner for place in known.places for owner in place.owners]
        scores = self._scores(checked)
        if scores is None:
            return Verdict(Word.REFUSED, near=True), float("nan")
        if not owners:
            return Verdict(Word.UNKNOWN), float("nan")
        if question.subject is not None:
            own = np.array([owner == question.subject for owner in owners])
            scores = np.where(own, scores, -1.0)
        best = int(np.argmax(scores))
        score = float(np.clip(scores[best], -1.0, 1.0))
        word = known.standard.word(score)
        found = owners[best] if question.names and word is Word.MATCH else None
        return Verdict(word, known.standard.near(score, band), found), score

    def enrol(self, checked: CheckedFace) -> Verdict:
        """Whether a face that a server enrolled is healthy. AnswerLimitError: as `decide`."""
        self._ledger.spend(bytes.fromhex(checked.digest), answers_of(_HEALTHY_OR_NOT))
        found = judged_face(self._sealer.key, self._crossing(checked.known), checked.face)
        refused = isinstance(found, HealthReport)
        return Verdict(Word.REFUSED, near=True) if refused else Verdict(Word.HEALTHY)

    def _scores(self, checked: CheckedScores) -> Array | None:
        """Cosines of all live positions; None where they must not be used."""
        live = [place.live for place in checked.known.places]
        found = checked.content
        if isinstance(found, Findings):
            crossing = self._crossing(checked.known)
            judged = findings.judge(self._sealer.key, crossing, found)
            if not judged.report.healthy:
                return None
            length, largest = judged.length, findings.LARGEST
            parts = findings.cosines(self._sealer, crossing, found, live, length)
        else:
            largest = index.LARGEST
            parts = []
            if live:
                rows = self._sealer.open_answer(found, checked.asked, live)
                parts = [row[mask] for row, mask in zip(rows, live, strict=True)]
        scores = np.concatenate([np.zeros(0), *parts])
        return None if np.max(np.abs(scores), initial=0.0) > largest else scores
