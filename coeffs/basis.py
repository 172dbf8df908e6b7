"""Polynomials in the Chebyshev basis of an interval, and how well they replace 1/√y there.

A polynomial on [low, high] is its Chebyshev coefficients c_0, c_1, ... in
t = (2y - low - high) / (high - low), which runs from -1 to 1. Powers of y are only converted to
and from: at degree 15 on [100, 3000] they reach 10^52 and cancel.
"""

import decimal
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Interval = tuple[float, float]

#: Evenly spaced values of y that the mean error is taken over.
ERROR_POINTS: Final = 100_001


def scaled(y: float | Floats, interval: Interval) -> Floats:
    """t, from -1 at the low end to 1 at the high end."""
    low, high = interval
    return np.asarray(2 * ((np.asarray(y, dtype=np.float64) - low) / (high - low)) - 1)


def evaluate(
    coefficients: Sequence[float] | Floats, interval: Interval, y: float | Floats, newton: int = 0
) -> Floats:
    """p(y) by Clenshaw's rule, then `newton` steps p <- p (3 - y p²) / 2; any shape."""
    with np.errstate(all="ignore"):
        p = np.asarray(chebyshev.chebval(scaled(y, interval), np.asarray(coefficients)))
        for _ in range(newton):
            p = np.asarray(p * (3 - y * p * p) / 2)
    return p


def error_at(
    coefficients: Sequence[float] | Floats, interval: Interval, y: float | Floats, newton: int = 0
) -> Floats:
    """The relative error p(y)·√y - 1, with its sign."""
    with np.errstate(all="ignore"):
        return np.asarray(evaluate(coefficients, interval, y, newton) * np.sqrt(y) - 1)


def turning_points(coefficients: Sequence[float] | Floats, interval: Interval) -> Floats:
    """Where p(y)·√y can be extreme: both ends, and between them the zeros of 2 y p'(y) + p(y).

    That derivative times 2√y is a polynomial of p's degree, so the list is complete. Ascending;
    only the ends for coefficients whose zeros cannot be computed.
    """
    low, high = interval
    c = np.asarray(coefficients, dtype=np.float64)
    with np.errstate(all="ignore"):
        middle = (high + low) / (high - low)
        derivative = chebyshev.chebmul([middle, 1.0], chebyshev.chebder(c))
        try:
            zeros = chebyshev.chebroots(chebyshev.chebadd(2 * derivative, c))
        except np.linalg.LinAlgError:
            zeros = np.empty(0)
    near = np.abs(np.imag(zeros)) < 1e-6
    t = np.sort(np.real(zeros)[near])
    inside = low + (t[np.abs(t) < 1] + 1) / 2 * (high - low)
    return np.concatenate([[low], inside, [high]])


def relative_errors(
    coefficients: Sequence[float] | Floats, interval: Interval, newton: int = 0
) -> tuple[float, float]:
    """Worst of |p(y)·√y - 1| on the interval, and its mean over 100,001 evenly spaced points.

    The worst is taken at the turning points as well, so it does not fall between two points.
    Where p passes far from 1/√y, Newton steps may have extremes elsewhere: there the points count.
    """
    y = np.linspace(*interval, ERROR_POINTS)
    errors = np.abs(error_at(coefficients, interval, y, newton))
    extreme = turning_points(coefficients, interval)
    worst = np.abs(error_at(coefficients, interval, extreme, newton)).max()
    with np.errstate(all="ignore"):
        return float(np.maximum(worst, errors.max())), float(errors.mean())


def to_monomial(coefficients: Sequence[float] | Floats, interval: Interval) -> tuple[float, ...]:
    """Coefficients of powers of y, highest degree first, each correctly rounded."""
    with _exact(len(coefficients), interval) as context:
        c = [decimal.Decimal(float(x)) for x in coefficients]
        low, high = (decimal.Decimal(x) for x in interval)
        slope, shift = 2 / (high - low), -(high + low) / (high - low)
        zero = decimal.Decimal(0)
        total = [zero] * len(c)
        previous, current = [zero], [decimal.Decimal(1)]  # T_-1 does not matter: the first
        for k, factor in enumerate(c):  # step below takes t, not 2t
            for power, value in enumerate(current):
                total[power] += factor * value
            twice = 1 if k == 0 else 2
            following = [zero] * (len(current) + 1)
            for power, value in enumerate(current):
                following[power] += twice * shift * value
                following[power + 1] += twice * slope * value
            for power, value in enumerate(previous):
                following[power] -= value
            previous, current = current, following
        return tuple(float(context.plus(x)) for x in reversed(total))


def to_chebyshev(monomial: Sequence[float], interval: Interval) -> tuple[float, ...]:
    """Chebyshev coefficients, c_0 first, of a polynomial in powers of y, highest degree first."""
    with _exact(len(monomial), interval) as context:
        low, high = (decimal.Decimal(x) for x in interval)
        half, middle = (high - low) / 2, (high + low) / 2
        result = [decimal.Decimal(float(monomial[0]))]
        for factor in monomial[1:]:  # Horner's rule with y = half t + middle
            following = [decimal.Decimal(0)] * (len(result) + 1)
            for k, value in enumerate(result):
                following[k] += middle * value
                following[k + 1] += half * value if k == 0 else half * value / 2
                if k:
                    following[k - 1] += half * value / 2
            following[0] += decimal.Decimal(float(factor))
            result = following
        return tuple(float(context.plus(x)) for x in result)


def _exact(terms: int, interval: Interval) -> AbstractContextManager[decimal.Context]:
    """Enough digits that nothing that cancels shows in a double."""
    low, high = interval
    stretch = 4 * (high / (high - low) if high > low else 1.0)
    digits = 60 + int(2 * terms * math.log10(stretch))
    return decimal.localcontext(
        decimal.Context(digits, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX, traps=[])
    )


def monomial_loss(monomial: Sequence[float], interval: Interval) -> float:
    """How much of p(y)·√y the rounding of the monomial coefficients alone can change, at most."""
    y = np.linspace(*interval, 1001)
    with np.errstate(all="ignore"):
        sizes = np.polyval(np.abs(np.asarray(monomial)), y) * np.sqrt(y)
    return float(sizes.max() * np.finfo(np.float64).eps / 2)
