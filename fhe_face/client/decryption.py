"""The client: encrypts images and decrypts results, each with its health check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler import Compiled, CompiledBatch, CompiledNetwork
from fhe_core.container import Corrupt, KeyMismatch, ParameterMismatch
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.preparation import ENTRY
from fhe_core.inverse_root import InverseRoot, InverseRootError
from fhe_core.secret.key import SecretKey
from fhe_face.client.headroom import embeddings_fit, room, scores_fit
from fhe_face.client.health import (
    HealthReport,
    beside,
    check_embedding,
    check_score,
    expected_norm,
    fitting,
)
from fhe_face.places import ENTRY as BATCH
from fhe_face.places import MANY, ONE, Batch


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
    """One secret key and the normalisation that its results must have been computed with.

    Decrypted values must not be shared as they are (docs/security.md).
    """

    def __init__(self, key: SecretKey, root: InverseRoot) -> None:
        self.key = key
        self.root = root

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
        for name, row in zip(plan.inputs, slots, strict=True):
            items[name], seeds[name] = self.key.encrypt(row, plan.values[name].scale)
        return Bundle(what, self.key.parameters, self.key.key_id, items, known, seeds)

    def decrypt_embedding(self, bundle: Bundle) -> Embedding:
        """Decrypt an embedding.

        Raises:
            UnhealthyResultError: the network diverged or the computation wrapped around.
            KeyMismatch: it belongs to another key.
        """
        slots = self._open(bundle, ONE.embedding, 2)
        values = slots[0][: self._length(bundle, self.key.parameters.slots)]
        report = check_embedding(values, slots[1], self.root)
        report.require()
        return Embedding(values.real.copy(), report)

    def decrypt_embeddings(self, bundle: Bundle) -> list[Embedding | HealthReport]:
        """Decrypt a batch; a face whose result must not be used gives the report that says why.

        Raises:
            KeyMismatch: it belongs to another key.
        """
        slots = self._open(bundle, MANY.embedding, 4)
        batch = Batch.from_facts(bundle.facts, self.key.parameters.slots)
        length = self._length(bundle, batch.block // 2)
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

    def decrypt_scores(self, bundle: Bundle) -> list[Score | HealthReport]:
        """Decrypt the scores of two batches, face by face; see `decrypt_embeddings`.

        A score stands in the first slot of its block only.

        Raises:
            KeyMismatch: it belongs to another key.
        """
        slots = self._open(bundle, MANY.score, 6)
        batch = Batch.from_facts(bundle.facts, self.key.parameters.slots)
        length = self._length(bundle, batch.block // 2)
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

    def decrypt_score(self, bundle: Bundle) -> Score:
        """Decrypt a score.

        Raises:
            UnhealthyResultError: a network diverged or the computation wrapped around.
            KeyMismatch: it belongs to another key.
        """
        slots = self._open(bundle, ONE.score, 3)
        value, report = check_score(slots[0], slots[1:], self.root)
        report.require()
        return self._score(value, report)

    def _score(self, value: float, report: HealthReport) -> Score:
        norms = np.prod([expected_norm(self.root, y) for y in report.squared_norms])
        return Score(value, float(value / norms), report)

    def _rooms(self, bundle: Bundle) -> list[float]:
        return [room(item, self.key.parameters) for item in bundle.items.values()]

    @staticmethod
    def _length(bundle: Bundle, most: int) -> int:
        length = bundle.facts.get("embedding")
        if type(length) is not int or not 1 <= length <= most:
            raise Corrupt("the embedding does not say how long it is")
        return length

    def _open(self, bundle: Bundle, what: str, count: int) -> list[NDArray[np.complex128]]:
        if bundle.what != what or len(bundle.items) != count:
            raise Corrupt(f"expected an encrypted {what}, got an encrypted {bundle.what}")
        if bundle.key_id != self.key.key_id:
            raise KeyMismatch(
                f"the {what} belongs to key {bundle.key_id[:8]}, not to {self.key.key_id[:8]}"
            )
        # A wider interval, claimed by the server, would let diverging results pass.
        if _inverse_root(bundle) != self.root:
            raise ParameterMismatch(
                f"the {what} was normalised in another way than the client's keys were made for"
            )
        return [self.key.decrypt(item) for item in bundle.items.values()]


def _inverse_root(bundle: Bundle) -> InverseRoot:
    try:
        return InverseRoot.from_description(bundle.facts.get("normalisation"))
    except InverseRootError:
        raise Corrupt("the result does not say which normalisation was used") from None
