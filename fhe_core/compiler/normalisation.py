"""Squared norm, a polynomial in place of its inverse square root, and the normalised embedding.

The polynomial is a product of completed squares (fhe_core.normalisation). A factor reads the
squared norm's ciphertext at another scale and adds a constant, both free; one squaring follows.
Factors and embedding are multiplied as a tree of the least depth: always the two with the most
levels left.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler.builder import Filler, PlanBuilder
from fhe_core.compiler.layouts import powers_of_two
from fhe_core.compiler.policy import Policy
from fhe_core.compiler.smaller_ring import lifted
from fhe_core.normalisation import Factor, Normalisation, Product
from fhe_core.parameters import Parameters
from fhe_core.plan import PlanError

#: A match multiplies two results, so that they cannot be at the lowest level.
RESULT_LEVEL = 1
#: log2. Rescaling leaves noise of 2^14.9 / scale (N = 2^16) in numbers near one: here, 1/280.
MIN_EMBEDDING_LOG_SCALE = 23.0


def embedding_scale(
    parameters: Parameters, policy: Policy, level: int, normalisation: Normalisation
) -> float:
    """Scale of an embedding at ``level`` for which the normalised one gets the policy's scale.

    Raises:
        PlanError: the modulus chain is too short for the polynomial.
    """

    def result(log_scale: float) -> float:
        trial = PlanBuilder(parameters, policy)
        source = trial.input("embedding", level, 2.0**log_scale)
        name, _ = append_normalisation(trial, source, 1, normalisation, normalisation.product())
        return math.log2(trial.values[name].scale)

    # log2 scale of the result is a linear function of log2 scale of the embedding.
    start = policy.log_result_scale
    found = result(start)
    log_scale = start + (start - found) / (result(start + 1) - found)
    if log_scale < MIN_EMBEDDING_LOG_SCALE:
        raise PlanError(
            f"a normalisation of degree {normalisation.degree} (Newton steps included) leaves 2^"
            f"{log_scale:.1f} for the embedding's scale with '{parameters.name}', where noise "
            f"would show: choose a lower degree or parameters with a longer modulus chain"
        )
    return float(2.0**log_scale)


def append_normalisation(
    builder: PlanBuilder,
    source: str,
    period: int,
    normalisation: Normalisation,
    product: Product,
) -> tuple[str, str]:
    """Append the steps for an embedding repeated with ``period`` slots.

    source: ``product.sign`` times the embedding.
    Returns the names of the normalised embedding and of its squared norm before normalisation, both
    in the ring of fresh ciphertexts.

    Raises:
        PlanError: the modulus chain is too short for the polynomial.
    """
    rescale = builder.policy.rescales.squared_norm
    squared = builder.square_one(
        "square embedding", source, "squared embedding", "", rescale=rescale
    )
    bottom = builder.bottom(builder.values[squared].level)
    norm = builder.fold("squared norm", squared, "squared norm", powers_of_two(period))
    try:
        leaves = [source] + [
            _factor(builder, norm, f"factor {number + 1}", factor, normalisation)
            for number, factor in enumerate(product.factors)
        ]
        result = _multiplied(builder, leaves)
    except PlanError:
        left = builder.values[norm].level - bottom
        raise PlanError(
            f"a normalisation of degree {normalisation.degree} (Newton steps included) needs more "
            f"than the {left} levels that '{builder.parameters.name}' has left: choose a lower "
            "degree or parameters with a longer modulus chain"
        ) from None
    health = builder.drop_level("health", norm, "health", bottom + builder.policy.health_level)
    return lifted(builder, result), lifted(builder, health)


def _stretch(normalisation: Normalisation) -> float:
    """dt / dy."""
    low, high = normalisation.interval
    return 2 / (high - low)


def _factor(
    builder: PlanBuilder, norm: str, name: str, factor: Factor, normalisation: Normalisation
) -> str:
    centre = float(normalisation.variable(np.zeros(1))[0]) - factor.centre
    line = builder.affine(
        f"{name}: line",
        norm,
        f"{name}: line",
        factor.gain * _stretch(normalisation),
        _constant(factor.gain * centre),
    )
    if not factor.squared:
        return line
    return builder.square(f"{name}: square", [line], _constant(factor.offset), 0, rescale=1)[0]


def _multiplied(builder: PlanBuilder, leaves: list[str]) -> str:
    waiting = list(leaves)
    while len(waiting) > 1:
        waiting.sort(key=lambda name: -builder.values[name].level)  # stable
        left, right, *waiting = waiting
        last = not waiting
        number = len(leaves) - len(waiting) - 1
        label = "normalise" if last else f"normalise: product {number}"
        waiting.append(builder.multiply(label, left, right, label, rescale=1))
    result = builder.values[waiting[0]].level
    if result - builder.bottom(result) < RESULT_LEVEL:
        raise PlanError("the result has too few levels to be matched")
    return waiting[0]


def _constant(value: float) -> Filler:
    def fill(_network: object, _lane: int) -> NDArray[np.float64]:
        return np.full((1, 8), value)

    return fill
