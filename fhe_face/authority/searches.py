"""Results of galleries' keys: the scores of one face with everybody."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from fhe_core import container
from fhe_core.container import Kind
from fhe_core.formats.matching import scores_from_bytes
from fhe_core.matching import Asked, MatchParameters, Scores
from fhe_core.matching.answers import answers_of
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from fhe_face.authority.galleries import Known
from fhe_face.authority.requests import Question, Verdict
from fhe_face.authority.words import Word
from fhe_face.client.ledger import Ledger
from fhe_face.gallery.index import LARGEST

#: Uncertain, unknown, refused, beside one match or the names of all.
_OTHERS = 3


@dataclass(frozen=True, eq=False)
class CheckedScores:
    """Scores whose shape is right, not yet opened. digest: names their content."""

    scores: Scores
    asked: Asked
    known: Known
    digest: str


def token_of(data: bytes) -> str:
    """The token that scores bring back, in hexadecimal; ContainerError where they are none."""
    with container.loads(data, name="the result", expect_kind=Kind.SCORES) as reader:
        return reader.header.text("token")


class Searches:
    """Opens scores of one gallery key."""

    def __init__(self, key: SecretKey, parameters: MatchParameters, ledger: Ledger) -> None:
        self._sealer = Sealer(key, parameters)
        self._ledger = ledger

    @property
    def key_id(self) -> str:
        """Public name of the key."""
        return self._sealer.key.key_id

    def check(self, data: bytes, token: str, known: Known) -> CheckedScores:
        """Compare scores with what the gallery holds, from their header.

        Raises:
            AnswerMismatch, StaleAnswer: of other blocks or positions, or of another probe.
            ContainerError: another shape or key.
        """
        asked = Asked(
            self._sealer.parameters, self.key_id, bytes.fromhex(token), known.blocks, known.masks
        )
        scores = scores_from_bytes(data, asked, "the result")
        digest = hashlib.sha256(scores.token + "\n".join(scores.blocks).encode())
        digest.update(scores.words.tobytes())
        return CheckedScores(scores, asked, known, digest.hexdigest())

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
        if not owners:
            return Verdict(Word.UNKNOWN), float("nan")
        live = [place.live for place in known.places]
        opened = self._sealer.open_answer(checked.scores, checked.asked, live)
        scores = np.concatenate([row[mask] for row, mask in zip(opened, live, strict=True)])
        if np.max(np.abs(scores)) > LARGEST:
            return Verdict(Word.REFUSED, near=True), float("nan")
        if question.subject is not None:
            own = np.array([owner == question.subject for owner in owners])
            scores = np.where(own, scores, -1.0)
        best = int(np.argmax(scores))
        score = float(np.clip(scores[best], -1.0, 1.0))
        word = known.standard.word(score)
        found = owners[best] if question.names and word is Word.MATCH else None
        return Verdict(word, known.standard.near(score, band), found), score
