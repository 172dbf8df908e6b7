"""The client: encrypts images and decrypts results, each with its health check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler import Compiled, CompiledBatch, CompiledNetwork
from fhe_core.formats.ciphertexts import Bundle, head_of
from fhe_core.formats.preparation import ENTRY
from fhe_core.inverse_root import InverseRoot
from fhe_core.plan import Plan
from fhe_core.secret.key import SecretKey
from fhe_face.client.expected import Accepted, Expected
from fhe_face.client.headroom import embeddings_fit, room, scores_fit
from fhe_face.client.health import (
    HealthReport,
    beside,
    check_embedding,
    check_score,
    expected_norm,
    fitting,
)
from fhe_face.client.ledger import Ledger, MemoryLedger, result_digest
from fhe_face.client.requests import Asked, Sent
from fhe_face.places import ENTRY as BATCH
from fhe_face.places import MANY, ONE, Batch
from fhe_face.tokens import ENTRY as REQUESTS


@dataclass(frozen=True, eq=False)
class Embedding:
    """A decrypted embedding [length]; ``health`` has passed."""

    values: NDArray[np.float64]
    health: HealthReport


@dataclass(frozen=True)
class Score:
    """A decrypted inner product of two normalised embeddings; ``health`` has passed.

    ``cosine`` divides out what the normalisation polynomial left of the norms.
    """

    value: float
    cosine: float
    health: HealthReport


class Client:
    """One secret key and the plans that its results must have been computed with.

    Decrypted values must not be shared as they are (docs/security.md).
    """

    def __init__(
        self, key: SecretKey, plan: Plan, match_plan: Plan, ledger: Ledger | None = None
    ) -> None:
        """plan: that of the server, for one face or for batches; match_plan: of its scores.

        ledger: counts answers; default: in memory, for a key without a file.
        """
        self.key = key
        self.expected = Expected(key, plan, match_plan)
        self.ledger: Ledger = MemoryLedger() if ledger is None else ledger

    @property
    def root(self) -> InverseRoot:
        """The normalisation of the plan."""
        return self.expected.root

    def encrypt_image(
        self,
        image: NDArray[np.float64],
        compiled: CompiledNetwork,
        preparation: Mapping[str, Any] | None = None,
    ) -> Bundle:
        """Encrypt an image (channels, size, size) with values in [-1, 1].

        preparation: flat JSON that says how it was made; faces that are compared must agree on it.

        Raises:
            ValueError: wrong shape, not finite, or out of range.
        """
        return self._encrypt(ONE.image, image, compiled.pack_image, compiled, {}, preparation)

    def encrypt_images(
        self,
        images: NDArray[np.float64],
        compiled: CompiledBatch,
        preparation: Mapping[str, Any] | None = None,
    ) -> Bundle:
        """Encrypt 1 to ``compiled.capacity`` images (count, channels, size, size) in [-1, 1].

        preparation: how all of them were made.

        Raises:
            ValueError: wrong shape, too many, not finite, or out of range.
        """
        room = compiled.plan.metadata[BATCH]
        batch = Batch(len(images), room["capacity"], room["block"])
        facts = {BATCH: batch.describe()}
        return self._encrypt(MANY.image, images, compiled.pack_images, compiled, facts, preparation)

    def _encrypt(
        self,
        what: str,
        images: NDArray[np.float64],
        pack: Callable[[NDArray[np.float64]], NDArray[Any]],
        compiled: Compiled,
        facts: Mapping[str, Any],
        preparation: Mapping[str, Any] | None,
    ) -> Bundle:
        if not np.all(np.isfinite(images)) or np.max(np.abs(images), initial=0.0) > 1.0:
            raise ValueError("image values must be finite and in [-1, 1]")
        slots = pack(images)
        plan = compiled.plan
        items, seeds = {}, {}
        known: dict[str, Any] = {"plan": plan.digest, **facts}
        if preparation is not None:
            known[ENTRY] = dict(preparation)
        count = facts[BATCH]["count"] if BATCH in facts else 1
        asked = Asked(what, count, plan.digest, preparation)
        known[REQUESTS] = [self.expected.requests.issue(asked)]
        for name, row in zip(plan.inputs, slots, strict=True):
            items[name], seeds[name] = self.key.encrypt(row, plan.values[name].scale)
        return Bundle(what, self.key.parameters, self.key.key_id, items, known, seeds)

    def decrypt_embedding(self, bundle: Bundle, sent: Sequence[Sent] = ()) -> Embedding:
        """Decrypt an embedding. sent: the face that it must be the answer to.

        Raises:
            UnhealthyResultError: the network diverged or the computation wrapped around.
            ContainerError: it is no result of this key, of these plans, or of what was sent.
            AnswerLimitError: the key has given as many answers as it may.
        """
        accepted, slots = self._open(bundle, ONE.embedding, sent)
        values = slots[0][: accepted.length]
        report = check_embedding(values, slots[1], self.root)
        report.require()
        return Embedding(values.real.copy(), report)

    def decrypt_embeddings(
        self, bundle: Bundle, sent: Sequence[Sent] = ()
    ) -> list[Embedding | HealthReport]:
        """Decrypt a batch; a face whose result must not be used gives the report that says why.

        Raises:
            ContainerError, AnswerLimitError: see `decrypt_embedding`.
        """
        accepted, slots = self._open(bundle, MANY.embedding, sent)
        batch, length = accepted.places, accepted.length
        rooms = self._rooms(bundle)
        fit = [embeddings_fit(slots[i + 1].real, self.root, rooms[i]) for i in (0, 2)]
        found: list[Embedding | HealthReport] = []
        for number in range(batch.count):
            half, start = batch.locate(number)
            own = slice(start, start + length)
            values = slots[2 * half][own]
            norm = beside(slots[2 * half + 1][own], slots[3 - 2 * half][own])
            report = fitting(check_embedding(values, norm, self.root), "embeddings", fit[half])
            found.append(Embedding(values.real.copy(), report) if report.healthy else report)
        return found

    def decrypt_scores(
        self, bundle: Bundle, sent: Sequence[Sent] = ()
    ) -> list[Score | HealthReport]:
        """Decrypt the scores of two batches, face by face; see `decrypt_embeddings`.

        A score stands in the first slot of its block only.

        Raises:
            ContainerError, AnswerLimitError: see `decrypt_embedding`.
        """
        accepted, slots = self._open(bundle, MANY.score, sent)
        batch, length = accepted.places, accepted.length
        rooms = self._rooms(bundle)
        fit = [
            scores_fit(slots[i + 1].real, slots[i + 2].real, self.root, length, rooms[i])
            for i in (0, 3)
        ]
        found: list[Score | HealthReport] = []
        for number in range(batch.count):
            half, start = batch.locate(number)
            own, other = (
                [part[start : start + length] for part in slots[3 * side + 1 : 3 * side + 3]]
                for side in (half, 1 - half)
            )
            norms = [beside(*pair) for pair in zip(own, other, strict=True)]
            value, report = check_score(slots[3 * half][start : start + 1], norms, self.root)
            report = fitting(report, "scores", fit[half])
            found.append(self._score(value, report) if report.healthy else report)
        return found

    def decrypt_score(self, bundle: Bundle, sent: Sequence[Sent] = ()) -> Score:
        """Decrypt a score.

        Raises:
            UnhealthyResultError: a network diverged or the computation wrapped around.
            ContainerError, AnswerLimitError: see `decrypt_embedding`.
        """
        _, slots = self._open(bundle, ONE.score, sent)
        value, report = check_score(slots[0], slots[1:], self.root)
        report.require()
        return self._score(value, report)

    def _score(self, value: float, report: HealthReport) -> Score:
        norms = np.prod([expected_norm(self.root, y) for y in report.squared_norms])
        return Score(value, float(value / norms), report)

    def _rooms(self, bundle: Bundle) -> list[float]:
        return [room(item, self.key.parameters) for item in bundle.items.values()]

    def _open(
        self, bundle: Bundle, what: str, sent: Sequence[Sent]
    ) -> tuple[Accepted, list[NDArray[np.complex128]]]:
        """Slots of every ciphertext, after all that the server could have chosen was compared."""
        accepted = self.expected.require(head_of(bundle), what, sent)
        self.ledger.spend(result_digest(bundle), accepted.count)
        return accepted, [self.key.decrypt(item) for item in bundle.items.values()]
