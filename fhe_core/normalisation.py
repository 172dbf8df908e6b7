"""A polynomial in place of 1 / sqrt(y), and its form as a product of squares, which is the cheapest
to evaluate under encryption.

Every real polynomial is a product of real quadratics and at most one linear factor. A quadratic
with its square completed is one squaring: shifting and scaling cost no level. So a polynomial of
degree d takes 1 + ceil(log2(ceil(d / 2))) levels from y, and its product with the embedding
2d + 1 <= 2^levels from the embedding on, which no other form can undercut. The inverse root has no
zero on the interval, so the factors stay away from zero there and the product is well conditioned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from fhe_core.errors import Failure

MAX_DEGREE = 64
MAX_NEWTON_STEPS = 4
#: Newton steps included: beyond it, roots take minutes to find and have lost their precision.
MAX_PRODUCT_DEGREE = 600
#: How far the product may be from the polynomial, relative to its largest value.
_AGREEMENT = 1e-9
#: How much larger than their sum the two terms of a completed square may be.
_MAX_CANCELLATION = 256.0
#: Of a polynomial's zeros; squares of larger ones overflow.
_MAX_ROOT = 2.0**500

Array = NDArray[np.float64]


class NormalisationError(Failure, ValueError):
    """Coefficients that cannot stand for an inverse square root."""

    code = "normalisation"


@dataclass(frozen=True)
class Factor:
    """gain * (t - centre), squared and plus ``offset`` where ``squared``; t is in [-1, 1]."""

    gain: float
    centre: float
    squared: bool
    offset: float = 0.0

    def evaluate(self, t: Array) -> Array:
        linear = self.gain * (t - self.centre)
        return linear**2 + self.offset if self.squared else linear


@dataclass(frozen=True)
class Product:
    """sign * product of the factors; every factor but the first is at most 1 on [-1, 1]."""

    sign: int
    factors: tuple[Factor, ...]

    def evaluate(self, t: Array) -> Array:
        return self.sign * math.prod((f.evaluate(t) for f in self.factors), start=np.ones_like(t))


@dataclass(frozen=True)
class Normalisation:
    """p(y) close to 1 / sqrt(y) for y in ``interval``, and worth nothing outside.

    Attributes:
        chebyshev: c_0, c_1, ... of p in t = (2y - low - high) / (high - low).
        interval: (low, high) of squared norms.
        newton_steps: p <- p (3 - y p^2) / 2 that follow.
    """

    chebyshev: tuple[float, ...]
    interval: tuple[float, float]
    newton_steps: int = 0

    def __post_init__(self) -> None:
        """Raise NormalisationError for numbers that cannot be."""
        low, high = self.interval
        if not 0 < low < high < math.inf:
            raise NormalisationError(f"interval [{low}, {high}]; it must be 0 < low < high")
        if not 2 <= len(self.chebyshev) <= MAX_DEGREE + 1:
            raise NormalisationError(f"{len(self.chebyshev)} coefficients; it must be 2 to 65")
        if not all(math.isfinite(c) for c in self.chebyshev) or not self.chebyshev[-1]:
            raise NormalisationError("coefficients must be finite, and the highest not zero")
        if not 0 <= self.newton_steps <= MAX_NEWTON_STEPS:
            raise NormalisationError(
                f"{self.newton_steps} Newton steps; it must be 0 to {MAX_NEWTON_STEPS}"
            )

    @classmethod
    def from_powers(
        cls, coefficients: Sequence[float], interval: tuple[float, float]
    ) -> Normalisation:
        """From coefficients of powers of y, highest degree first."""
        low, high = interval
        line = np.array([(low + high) / 2, (high - low) / 2])
        total: Array = np.zeros(1)
        for coefficient in coefficients:
            total = np.asarray(
                chebyshev.chebadd(chebyshev.chebmul(total, line), [coefficient]), dtype=np.float64
            )
        return cls(tuple(float(c) for c in total[: len(coefficients)]), interval)

    @property
    def degree(self) -> int:
        """Degree in y, Newton steps included: each turns d into 3d + 1."""
        degree = len(self.chebyshev) - 1
        for _ in range(self.newton_steps):
            degree = 3 * degree + 1
        return degree

    def variable(self, y: Array) -> Array:
        """t of y."""
        low, high = self.interval
        return np.asarray((2 * y - low - high) / (high - low), dtype=np.float64)

    def evaluate(self, y: float | Array) -> Array:
        """p(y) with the Newton steps."""
        values = np.asarray(y, dtype=np.float64)
        series = np.array(self.chebyshev)
        result: Array = np.asarray(chebyshev.chebval(self.variable(values), series), np.float64)
        for _ in range(self.newton_steps):
            result = result * (3 - values * result**2) / 2
        return result

    def product(self) -> Product:
        """The polynomial, Newton steps included, as a product.

        Raises:
            NormalisationError: the product would lose precision, or p has a zero in the interval.
        """
        if self.degree > MAX_PRODUCT_DEGREE:
            raise NormalisationError(
                f"degree {self.degree} is too high to be evaluated as a product; it must be at "
                f"most {MAX_PRODUCT_DEGREE}"
            )
        with np.errstate(all="ignore"):
            return self._product()

    def _product(self) -> Product:
        expanded = self._expanded()
        try:
            roots = np.asarray(chebyshev.chebroots(expanded), dtype=np.complex128)
        except np.linalg.LinAlgError:  # not finite, or a leading coefficient that is nearly zero
            raise NormalisationError("the polynomial's coefficients are too unlike") from None
        if not np.all(np.abs(roots) < _MAX_ROOT):
            raise NormalisationError("the polynomial's coefficients are too unlike")
        factors = [_scaled(factor) for factor in _factors(roots)]
        t = np.cos(np.linspace(0, np.pi, 4 * len(expanded) + 65))
        wanted = chebyshev.chebval(t, expanded)
        plain = math.prod((f.evaluate(t) for f in factors), start=np.ones_like(t))
        if not np.all(np.abs(plain) > 0) or not np.all(wanted > 0):
            raise NormalisationError("the polynomial is not positive on the whole interval")
        leading = float(np.dot(plain, wanted) / np.dot(plain, plain))
        factors[0] = _stretched(factors[0], abs(leading))
        product = Product(1 if leading > 0 else -1, tuple(factors))
        error = np.max(np.abs(product.evaluate(t) - wanted)) / np.max(np.abs(wanted))
        if not error <= _AGREEMENT:
            raise NormalisationError(
                f"degree {self.degree} is too high to be evaluated as a product (error {error:.1g})"
            )
        return product

    def describe(self) -> dict[str, Any]:
        """JSON-ready, exact."""
        return {
            "chebyshev": [float(c).hex() for c in self.chebyshev],
            "interval": [float(bound).hex() for bound in self.interval],
            "newton_steps": self.newton_steps,
        }

    @classmethod
    def from_description(cls, content: Any) -> Normalisation:
        """Inverse of :meth:`describe`; NormalisationError for anything else."""
        try:
            if not isinstance(content, Mapping) or type(content["newton_steps"]) is not int:
                raise NormalisationError("not a description of an inverse root")
            low, high = (float.fromhex(bound) for bound in content["interval"])
            coefficients = tuple(float.fromhex(c) for c in content["chebyshev"])
            return cls(coefficients, (low, high), content["newton_steps"])
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise NormalisationError(f"not a description of an inverse root: {error}") from None

    def _expanded(self) -> Array:
        """Chebyshev coefficients with the Newton steps multiplied out."""
        low, high = self.interval
        line = np.array([(low + high) / 2, (high - low) / 2])
        total = np.asarray(self.chebyshev)
        for _ in range(self.newton_steps):
            square = chebyshev.chebmul(chebyshev.chebmul(total, total), line)
            total = chebyshev.chebmul(total, chebyshev.chebsub([3.0], square)) / 2
        return total


@dataclass(frozen=True)
class ExactNormalisation:
    """1 / sqrt(y) itself, in the clear, for embeddings that were not normalised under encryption.

    interval: of squared norms of healthy faces.
    """

    interval: tuple[float, float]

    def evaluate(self, y: float | Array) -> Array:
        """1 / sqrt(y); not finite where y is not positive."""
        with np.errstate(all="ignore"):
            return np.asarray(1 / np.sqrt(np.asarray(y, dtype=np.float64)))


#: By what an embedding is multiplied, by a server or by a client.
AnyNormalisation = Normalisation | ExactNormalisation


def _factors(roots: NDArray[np.complex128]) -> list[Factor]:
    """Unscaled factors; a linear one, if any, comes last."""
    upper = sorted((r for r in roots if r.imag > 0), key=lambda r: float(r.real))
    factors = [Factor(1.0, float(r.real), True, float(r.imag) ** 2) for r in upper]
    real = sorted(float(r.real) for r in roots if r.imag == 0)
    # Neighbours in pairs: far from each other they would cancel. The one furthest out stays alone.
    lone = [max(real, key=abs)] if len(real) % 2 else []
    for root in lone:
        real.remove(root)
    for left, right in zip(real[::2], real[1::2], strict=True):
        half = (right - left) / 2
        factors.append(Factor(1.0, left + half, True, -(half**2)))
    return factors + [Factor(1.0, root, False) for root in lone]


def _scaled(factor: Factor) -> Factor:
    """The factor with largest absolute value 1 on [-1, 1]."""
    points = np.array([-1.0, 1.0, min(1.0, max(-1.0, factor.centre))])
    largest = float(np.max(np.abs(factor.evaluate(points))))
    terms = (abs(factor.centre) + 1) ** 2 + abs(factor.offset) if factor.squared else largest
    if not 0 < terms <= _MAX_CANCELLATION * largest:
        raise NormalisationError("the polynomial's zeros are too unlike to be paired")
    return _stretched(factor, 1 / largest)


def _stretched(factor: Factor, by: float) -> Factor:
    gain = factor.gain * (math.sqrt(by) if factor.squared else by)
    return Factor(gain, factor.centre, factor.squared, factor.offset * by)
