"""Composite minimax polynomials in place of a sign (Lee et al. 2020, ia.cr/2020/834).

An odd polynomial p(x) = x q(x²) is near the sign of x where q(y) is near 1/√y, in the same relative
error: so the minimax fit of ``fhe_face.coeffs`` is the fit of a sign, and the product of completed
squares that normalises embeddings evaluates it in the fewest levels, log2(degree + 1).
A composition brings [-1, -a] and [a, 1] nearer to -1 and 1 stage by stage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.normalisation import Normalisation, Product
from fhe_face.coeffs import basis, methods

#: Of doubles, or longer ones where the machine has them.
Floats = NDArray[Any]


@dataclass(frozen=True)
class Stage:
    """One odd polynomial of a composition.

    Attributes:
        degree: odd; as 2^levels - 1 it wastes none of its levels.
        interval: of abs(x), on which it is fitted.
        error: its largest distance from 1 there.
        inverse_root: q.
    """

    degree: int
    interval: tuple[float, float]
    error: float
    inverse_root: Normalisation

    @property
    def levels(self) -> int:
        """Rescales from x to p(x)."""
        return math.ceil(math.log2(self.degree + 1))

    @cached_property
    def product(self) -> Product:
        """q as it is evaluated."""
        return self.inverse_root.product()

    def evaluate(self, x: Floats) -> Floats:
        """p(x), in the precision of x, as the product that is evaluated under encryption."""
        low, high = self.inverse_root.interval
        return x * self.product.evaluate((2 * x * x - low - high) / (high - low))


def fit(degree: int, interval: tuple[float, float]) -> Stage:
    """The odd polynomial of that degree with the least largest distance from 1 on the interval.

    Raises:
        ValueError: the degree is even or below 3, or the interval is not one of positive numbers.
    """
    low, high = interval
    if degree < 3 or degree % 2 == 0 or not 0 < low < high:
        raise ValueError(f"no odd polynomial of degree {degree} is fitted on {interval}")
    squares = low**2, high**2
    coefficients = methods.minimax(squares, (degree - 1) // 2)
    at = basis.turning_points(coefficients, squares)
    error = float(np.max(np.abs(basis.error_at(coefficients, squares, at))))
    inverse_root = Normalisation(tuple(float(c) for c in coefficients), squares)
    return Stage(degree, interval, error, inverse_root)


def compose(start: float, degrees: Sequence[int]) -> tuple[Stage, ...]:
    """Stages for x with start <= abs(x) <= 1, each fitted on what the one before leaves."""
    stages: list[Stage] = []
    interval = start, 1.0
    for degree in degrees:
        stages.append(fit(degree, interval))
        interval = 1 - stages[-1].error, 1 + stages[-1].error
    return tuple(stages)


def evaluate(stages: Sequence[Stage], x: Floats) -> Floats:
    """The composition, in the precision of x."""
    for stage in stages:
        x = stage.evaluate(x)
    return x
