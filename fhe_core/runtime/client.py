"""The client: encrypts images and decrypts results, each with its health check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler import CompiledNetwork
from fhe_core.container import Corrupt, KeyMismatch, ParameterMismatch
from fhe_core.inverse_root import InverseRoot, InverseRootError
from fhe_core.keys.secret import SecretKey
from fhe_core.runtime.health import HealthReport, check_embedding, check_score, expected_norm
from fhe_core.runtime.preparation import ENTRY
from fhe_core.runtime.store import Bundle


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
        if not np.all(np.isfinite(image)) or np.max(np.abs(image), initial=0.0) > 1.0:
            raise ValueError("image values must be finite and in [-1, 1]")
        slots = compiled.pack_image(image)
        plan = compiled.plan
        items, seeds = {}, {}
        facts: dict[str, Any] = {"plan": plan.digest}
        if preparation is not None:
            facts[ENTRY] = dict(preparation)
        for name, row in zip(plan.inputs, slots, strict=True):
            items[name], seeds[name] = self.key.encrypt(row, plan.values[name].scale)
        return Bundle("image", self.key.parameters, self.key.key_id, items, facts, seeds)

    def decrypt_embedding(self, bundle: Bundle) -> Embedding:
        """Decrypt an embedding.

        Raises:
            UnhealthyResultError: the network diverged or the computation wrapped around.
            KeyMismatch: it belongs to another key.
        """
        slots = self._open(bundle, "embedding", 2)
        length = bundle.facts.get("embedding")
        if type(length) is not int or not 1 <= length <= self.key.parameters.slots:
            raise Corrupt("the embedding does not say how long it is")
        values = slots[0][:length]
        report = check_embedding(values, slots[1], self.root)
        report.require()
        return Embedding(values.real.copy(), report)

    def decrypt_score(self, bundle: Bundle) -> Score:
        """Decrypt a score.

        Raises:
            UnhealthyResultError: a network diverged or the computation wrapped around.
            KeyMismatch: it belongs to another key.
        """
        slots = self._open(bundle, "score", 3)
        value, report = check_score(slots[0], slots[1:], self.root)
        report.require()
        norms = np.prod([expected_norm(self.root, y) for y in report.squared_norms])
        return Score(value, float(value / norms), report)

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
