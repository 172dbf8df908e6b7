"""Results of an engine's key, of one face each: scores with an enrolled face, and embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fhe_core.container import ParameterMismatch, WrongKind
from fhe_core.formats.ciphertexts import Bundle, bundle_from_bytes
from fhe_core.formats.heads import Head
from fhe_core.matching.answers import answers_of
from fhe_core.parameters import Parameters
from fhe_core.secret.key import SecretKey
from fhe_face.authority.requests import Verdict
from fhe_face.authority.thresholds import Standard
from fhe_face.authority.words import Word
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Score
from fhe_face.client.devices import Register
from fhe_face.client.health import HealthReport
from fhe_face.client.ledger import Ledger, result_digest
from fhe_face.engine import Engine
from fhe_face.places import EMBEDDING, SCORE
from fhe_face.senders import senders_of
from fhe_face.tokens import sides_of, tokens_of

#: Match, uncertain, unknown, refused; and healthy, refused.
_OUTCOMES = {SCORE: 4, EMBEDDING: 2}


@dataclass(frozen=True)
class Weighted:
    """A ledger that counts an answer as what it may give away."""

    inner: Ledger
    worth: int

    def spend(self, digest: bytes, answers: int) -> None:
        """See `Ledger.spend`."""
        self.inner.spend(digest, answers * self.worth)


@dataclass(frozen=True)
class Claim:
    """What a result says it answers, by tokens of this key. senders: ids of the devices that
    encrypted its faces."""

    is_score: bool
    tokens: tuple[str, ...]
    senders: tuple[str | None, ...]


@dataclass(frozen=True, eq=False)
class Checked:
    """A result whose shape is right, not yet opened. digest: names its content."""

    bundle: Bundle
    claim: Claim
    digest: str


class Faces:
    """Opens results of one client key."""

    def __init__(
        self, key: SecretKey, engine: Engine, ledger: Ledger, devices: Register | None = None
    ) -> None:
        """devices: of the key; faces of those that were revoked are not opened."""
        self._parameters = key.parameters
        self._clients = {
            what: FaceClient(key, engine, Weighted(ledger, answers_of(outcomes)), devices)
            for what, outcomes in _OUTCOMES.items()
        }

    @property
    def key_id(self) -> str:
        """Public name of the key."""
        return self._clients[SCORE].key_id

    def check(self, data: bytes, weights: str | None, asked: Callable[[Claim], object]) -> Checked:
        """Compare a result with what this key's plans give, from its header.

        weights: the digest that it must name, where one is known. asked: refuses what nobody has
        asked for, before a ciphertext is read.

        Raises:
            ContainerError: another shape, key or plan, no token of this key, or not one face.
        """
        claims: list[Claim] = []

        def admit(head: Head) -> None:
            runs = self._clients[SCORE].expected.require(head)
            if [run.faces for run in runs] != [1]:
                raise WrongKind(f"{head.source}: an authority decides about one face at a time")
            if weights is not None and head.facts.get("weights") != weights:
                raise ParameterMismatch(
                    f"{head.source}: was computed with other weights than the thresholds are for"
                )
            sides = sides_of(head.what)
            tokens = tuple(tokens_of(head.source, head.facts, sides))
            senders = senders_of(head.source, head.facts, sides)
            claims.append(Claim(head.what == SCORE, tokens, senders))
            asked(claims[0])

        bundle = bundle_from_bytes(data, "the result", self._load, admit)
        return Checked(bundle, claims[0], result_digest(bundle).hex())

    def match(self, checked: Checked, standard: Standard, band: float) -> tuple[Verdict, float]:
        """The verdict on a score, and the score, which must not leave.

        Raises:
            AnswerLimitError: the key has given as many answers as it may.
        """
        (found,) = self._opened(checked)
        if not isinstance(found, Score):
            return Verdict(Word.REFUSED, near=True), float("nan")
        score = found.cosine
        return Verdict(standard.word(score), standard.near(score, band)), score

    def enrol(self, checked: Checked) -> Verdict:
        """Whether an embedding is healthy. AnswerLimitError: as `match`."""
        (found,) = self._opened(checked)
        refused = isinstance(found, HealthReport)
        return Verdict(Word.REFUSED, near=True) if refused else Verdict(Word.HEALTHY)

    def _opened(self, checked: Checked) -> Sequence[object]:
        return self._clients[checked.bundle.what].decrypt(checked.bundle)

    def _load(self, name: str) -> Parameters:
        """The parameters of this key, and no others."""
        if name != self._parameters.name:
            raise KeyError(name)
        return self._parameters
