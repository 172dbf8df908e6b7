"""The server: runs plans on ciphertexts. It has no code that could decrypt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from fhe_core.ciphertext import Ciphertext
from fhe_core.compiler import Compiled, CompiledNetwork
from fhe_core.container import KeyMismatch, ParameterMismatch, WrongKind
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.preparation import ENTRY
from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.plan import Plan, PlanError, Progress
from fhe_core.runtime import native
from fhe_core.runtime.cleartext import Tables
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import PackedPlan, memory_bytes, pack
from fhe_face.facts import require_same_preparation
from fhe_face.places import ENTRY as BATCH
from fhe_face.places import MANY, Batch, kinds_of
from fhe_face.shapes import RESULT_FACTS, score_names
from fhe_face.tokens import ENTRY as REQUESTS
from fhe_face.tokens import tokens_of


class Server:
    """One client's evaluation keys and one model.

    Raises:
        ParameterMismatch: keys and plan were made for different parameters.
    """

    def __init__(
        self,
        keys: EvaluationKeys,
        compiled: Compiled,
        tables: Tables,
        match_plan: Plan,
        *,
        threads: int,
        pair: tuple[CompiledNetwork, Tables] | None = None,
    ) -> None:
        """``pair``: the plan for two images at a time, and its tables for the same model.

        With a plan for batches, images, embeddings and scores are those of whole batches.
        """
        self.compiled = compiled
        self._kinds = kinds_of(compiled.plan)
        self._pair_source = pair
        self._evaluator = Evaluator(keys.parameters, keys, threads)
        for plan in (compiled.plan, match_plan):
            if plan.parameters_digest != keys.parameters.digest:
                raise ParameterMismatch("the keys and the plan were made for different parameters")
        self._weights_digest = _digest(tables)
        self._embed = pack(compiled.plan, tables, keys.parameters)
        self._match = pack(match_plan, {}, keys.parameters)

    @property
    def key_id(self) -> str:
        """Public name of the client's key."""
        return self._evaluator.keys.key_id

    @property
    def packed_weight_bytes(self) -> int:
        """Memory of all plaintexts the server multiplies by or adds."""
        pairs = [] if self._pair_source is None else [self._pair]
        return memory_bytes([self._embed, *pairs])

    @property
    def evaluation_key_memory_bytes(self) -> int:
        return self._evaluator.keys.memory_bytes

    def embed(self, image: Bundle, progress: Progress | None = None) -> Bundle:
        """The encrypted normalised embedding of an encrypted image, with its squared norm.

        Of a batch, all of them.
        """
        self._require_image("the image", image)
        outputs = self._run(self._embed, list(image.items.values()), progress)
        return self._embedding(image, outputs)

    @property
    def takes_pairs(self) -> bool:
        """Whether :meth:`embed_pair` can be used."""
        return self._pair_source is not None

    def embed_pair(
        self, first: Bundle, second: Bundle, progress: Progress | None = None
    ) -> tuple[Bundle, Bundle]:
        """Both results of :meth:`embed`, for little more than the time of one.

        Raises:
            PlanError: this server has no plan for pairs.
        """
        self._require_image("the first image", first)
        self._require_image("the second image", second)
        inputs = [*first.items.values(), *second.items.values()]
        outputs = self._run(self._pair, inputs, progress)
        return self._embedding(first, outputs[:2]), self._embedding(second, outputs[2:])

    @cached_property
    def _pair(self) -> PackedPlan:
        if self._pair_source is None:
            raise PlanError("this server has no plan for two images at a time")
        compiled, tables = self._pair_source
        return pack(compiled.plan, tables, self._evaluator.parameters)

    def _require_image(self, name: str, image: Bundle) -> None:
        self._require_own(name, image, self._kinds.image)
        if image.facts.get("plan") != self.compiled.plan.digest:
            raise ParameterMismatch(f"{name} was encrypted for another plan or model architecture")

    def _embedding(self, image: Bundle, outputs: Sequence[Ciphertext]) -> Bundle:
        plan = self.compiled.plan
        facts = {key: plan.metadata[key] for key in RESULT_FACTS}
        facts["weights"] = self._weights_digest
        facts[REQUESTS] = tokens_of("the image", image.facts, 1)
        if ENTRY in image.facts:
            facts[ENTRY] = image.facts[ENTRY]
        if BATCH in plan.metadata:
            slots = self._evaluator.parameters.slots
            facts[BATCH] = Batch.from_facts(image.facts, slots).describe()
        return self._bundle(self._kinds.embedding, plan.outputs, outputs, facts)

    def match(self, left: Bundle, right: Bundle, progress: Progress | None = None) -> Bundle:
        """The encrypted inner product of two embeddings, with both squared norms.

        Of two batches, face by face.
        """
        for name, bundle in (("the first embedding", left), ("the second embedding", right)):
            self._require_own(name, bundle, self._kinds.embedding)
        require_same_preparation(left.facts, right.facts)
        if left.facts.get(BATCH) != right.facts.get(BATCH):
            slots = self._evaluator.parameters.slots
            counts = [Batch.from_facts(bundle.facts, slots).count for bundle in (left, right)]
            raise ParameterMismatch(
                f"batches of {counts[0]} and {counts[1]} faces; a match compares as many with each "
                "other"
            )
        tokens = [
            *tokens_of("the first embedding", left.facts, 1),
            *tokens_of("the second embedding", right.facts, 1),
        ]
        if {**left.facts, REQUESTS: tokens} != {**right.facts, REQUESTS: tokens}:
            raise ParameterMismatch("the embeddings come from different models or normalisations")
        ones, others = (list(bundle.items.values()) for bundle in (left, right))
        count = 4 if self._kinds is MANY else 2
        if any(len(items) != count for items in (ones, others)):
            raise ParameterMismatch("an embedding must come with its squared norm")
        names, outputs = [], []
        for first in range(0, len(ones), 2):
            outputs += self._run(self._match, [ones[first], others[first]], progress)
            outputs += [ones[first + 1], others[first + 1]]
            names += score_names(first // 2 + 1, len(ones) // 2)
        facts = {**left.facts, REQUESTS: tokens}
        return self._bundle(self._kinds.score, names, outputs, facts)

    def _require_own(self, name: str, bundle: Bundle, what: str) -> None:
        if bundle.parameters.digest != self._evaluator.parameters.digest:
            raise ParameterMismatch(f"{name} was made with other parameters than the keys")
        if bundle.key_id != self._evaluator.keys.key_id:
            raise KeyMismatch(
                f"{name} belongs to key {bundle.key_id[:8]}, the evaluation keys to "
                f"{self._evaluator.keys.key_id[:8]}"
            )
        if bundle.what != what:
            raise WrongKind(f"{name} holds an encrypted {bundle.what}, not an encrypted {what}")

    def _run(
        self, packed: PackedPlan, inputs: list[Ciphertext], progress: Progress | None
    ) -> list[Ciphertext]:
        return native.run(packed, self._evaluator, inputs, progress)

    def _bundle(
        self,
        what: str,
        names: Sequence[str],
        outputs: Sequence[Ciphertext],
        facts: Mapping[str, Any],
    ) -> Bundle:
        return Bundle(
            what,
            self._evaluator.parameters,
            self._evaluator.keys.key_id,
            dict(zip(names, outputs, strict=True)),
            facts,
            {},
        )


def _digest(tables: Tables) -> str:
    """Embeddings of different models must not be compared: this tells them apart."""
    digest = hashlib.sha256()
    for name in sorted(tables):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tables[name]).tobytes())
    return digest.hexdigest()[:32]
