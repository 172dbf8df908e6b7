"""What follows the last matrix: the normalisation, or nothing where whoever decrypts normalises."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fhe_core.compiler.builder import PlanBuilder
from fhe_core.compiler.normalisation import append_normalisation, embedding_scale
from fhe_core.compiler.smaller_ring import lifted
from fhe_core.normalisation import Normalisation, Product


@dataclass(frozen=True)
class Ending:
    """The end of a plan.

    normalisation: what is computed of the embedding; None: the embedding itself is the result.
    """

    builder: PlanBuilder
    normalisation: Normalisation | None

    @cached_property
    def _product(self) -> Product | None:
        return None if self.normalisation is None else self.normalisation.product()

    @property
    def sign(self) -> int:
        """Of the embedding that `append` takes.

        Raises:
            NormalisationError: the polynomial cannot be evaluated as a product.
        """
        return 1 if self._product is None else self._product.sign

    def scale(self, level: int) -> float:
        """Of the embedding at ``level``, such that the result gets the policy's.

        Raises:
            PlanError: the modulus chain is too short for the polynomial.
        """
        policy = self.builder.policy
        if self.normalisation is None:
            return float(2.0**policy.log_result_scale)
        return embedding_scale(self.builder.parameters, policy, level, self.normalisation)

    def append(self, source: str, period: int) -> tuple[str, ...]:
        """Append what is left of the plan; returns its outputs, in the ring of fresh ciphertexts:
        the normalised embedding and the squared norm, or the embedding.

        source: ``sign`` times the embedding, repeated with ``period`` slots.

        Raises:
            PlanError: the modulus chain is too short.
        """
        if self.normalisation is None or self._product is None:
            return (lifted(self.builder, source),)
        return append_normalisation(self.builder, source, period, self.normalisation, self._product)

    def describe(self) -> dict[str, Any] | None:
        """The normalisation, JSON-ready; None where there is none."""
        return None if self.normalisation is None else self.normalisation.describe()
