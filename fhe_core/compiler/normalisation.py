"""Squared norm, inverse-square-root polynomial, and their product with the embedding.

For a quadratic a y^2 + b y + c with a > 0 the square is completed: with w = sqrt(a) y it is
(w + b / (2 sqrt a))^2 + c - b^2 / (4 a). Multiplying y by sqrt(a) costs nothing: the same
ciphertext read at another scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler.builder import Filler, PlanBuilder
from fhe_core.compiler.policy import Policy
from fhe_core.plan import PlanError


def embedding_log_scale(policy: Policy, coefficients: Sequence[float]) -> float:
    """log2 scale of the embedding for which sqrt(a) y comes out at the policy's scale."""
    _check(coefficients)
    return policy.log_scale + math.log2(coefficients[0]) / 4


def append_normalisation(
    builder: PlanBuilder,
    source: str,
    period: int,
    coefficients: Sequence[float],
) -> tuple[str, str]:
    """Append the steps for an embedding repeated with ``period`` slots.

    Returns the names of the normalised embedding and of its squared norm before normalisation.

    Raises:
        PlanError: the polynomial is not a quadratic with a positive leading coefficient.
    """
    _check(coefficients)
    a, b, c = coefficients
    root = math.sqrt(a)
    squared = builder.square_one("square embedding", source, "squared embedding", "", drop=1)
    amounts = [1 << i for i in range((period - 1).bit_length())]
    norm = builder.fold("squared norm", squared, "squared norm", amounts)
    shifted = builder.affine("complete the square", norm, "w", root, _constant(b / (2 * root)))
    polynomial = builder.square("polynomial", [shifted], _constant(c - b * b / (4 * a)), 0, drop=1)[
        0
    ]
    result = builder.multiply("normalise", source, polynomial, "normalised", drop=1)
    health = builder.drop("health", norm, "health", builder.policy.health_limbs)
    return result, health


def _check(coefficients: Sequence[float]) -> None:
    if len(coefficients) != 3 or coefficients[0] <= 0:
        raise PlanError(
            "the normalisation must be a quadratic with a positive leading coefficient, "
            f"got {list(coefficients)}"
        )


def _constant(value: float) -> Filler:
    def fill(_network: Any, _lane: int) -> NDArray[np.float64]:
        return np.full((1, 8), value)

    return fill
