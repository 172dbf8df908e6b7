"""Four ways to fit a polynomial to 1/√y; all return Chebyshev coefficients of the interval."""

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.polynomial import chebyshev
from scipy import linalg

from fhe_face.coeffs import basis
from fhe_face.coeffs.basis import Floats, Interval

#: Share of the weight that `distribution_weighted` spreads over the whole interval.
BACKGROUND: Final = 0.01
BACKGROUND_POINTS: Final = 1000
_ROWS: Final = 1 << 16
_EXCHANGES: Final = 100
#: A relative error that double precision no longer resolves.
_FLOOR: Final = 1e-13


def least_squares(interval: Interval, degree: int, points: int) -> Floats:
    """Least sum of (p(y) - 1/√y)² over evenly spaced values.

    It cares about large 1/√y most, so the relative error is worst at the high end.
    """
    return _solve(_blocks(np.linspace(*interval, points), interval, degree, relative=False))


def relative_least_squares(interval: Interval, degree: int, points: int) -> Floats:
    """Least sum of (p(y)·√y - 1)² over evenly spaced values."""
    return _solve(_blocks(np.linspace(*interval, points), interval, degree, relative=True))


def distribution_weighted(interval: Interval, degree: int, sample: Floats) -> Floats:
    """Least mean of (p(y)·√y - 1)² over the sample, which must lie inside the interval.

    The sample has 99 % of the weight. The rest is spread evenly in log y: it decides where there
    are no values, and keeps the polynomial near 1/√y between and beside few of them.
    """
    spread = np.geomspace(*interval, BACKGROUND_POINTS).clip(*interval)

    def blocks() -> Iterator[tuple[Floats, Floats]]:
        for values, share in ((sample, 1 - BACKGROUND), (spread, BACKGROUND)):
            weight = math.sqrt(share / values.size)
            for left, right in _blocks(values, interval, degree, relative=True):
                yield weight * left, weight * right

    return _solve(blocks())


def minimax(interval: Interval, degree: int, newton: int = 0) -> Floats:
    """Least worst relative error over the whole interval, after `newton` Newton steps.

    Remez: a polynomial with error +h, -h, +h ... at degree + 2 points, then the points move to the
    extremes of that error, until both agree. The extremes are zeros of a polynomial (see
    `basis.turning_points`), so nothing falls between the points of a grid.
    """
    low, high = interval
    count = degree + 2
    y = low + (1 - np.cos(np.pi * np.arange(count) / (count - 1))) / 2 * (high - low)
    best, worst = np.zeros(degree + 1), math.inf
    signs = (-1.0) ** np.arange(count)
    for _ in range(_EXCHANGES):
        left = chebyshev.chebvander(basis.scaled(y, interval), degree) * np.sqrt(y)[:, None]
        solution = np.linalg.solve(np.column_stack([left, signs]), np.ones(count))
        fitted, level = solution[:-1], abs(float(solution[-1]))
        found = _worst(fitted, interval)
        if found < worst:
            best, worst = fitted, found
        if found - level <= max(1e-9 * found, _FLOOR):
            break
        y = basis.turning_points(fitted, interval)
        if y.size != count:  # rounding decides: least squares may do as well
            fitted = relative_least_squares(interval, degree, BACKGROUND_POINTS)
            found = _worst(fitted, interval)
            if found < worst:
                best, worst = fitted, found
            break
    if newton:
        # A step turns error e into -(3e² + e³)/2, which is larger for e = +E than for -E.
        # Scaled by this, p errs less above than below and both come out the same.
        best = best * math.sqrt(3 / (3 + worst * worst))
    return np.asarray(best)


def _worst(coefficients: Floats, interval: Interval) -> float:
    at = basis.turning_points(coefficients, interval)
    return float(np.abs(basis.error_at(coefficients, interval, at)).max())


def _blocks(
    y: Floats, interval: Interval, degree: int, relative: bool
) -> Iterator[tuple[Floats, Floats]]:
    """Rows of an overdetermined system, a bounded number at a time."""
    for start in range(0, y.size, _ROWS):
        part = y[start : start + _ROWS]
        left = chebyshev.chebvander(basis.scaled(part, interval), degree)
        root = np.sqrt(part)
        if relative:
            yield np.asarray(left * root[:, None], dtype=np.float64), np.ones(part.size)
        else:
            yield np.asarray(left, dtype=np.float64), 1 / root


def _solve(blocks: Iterator[tuple[Floats, Floats]]) -> Floats:
    """Least-squares solution, by a QR decomposition that is updated block by block."""
    triangle: Floats | None = None
    for left, right in blocks:
        rows = np.column_stack([left, right])
        stacked = rows if triangle is None else np.vstack([triangle, rows])
        triangle = np.asarray(np.linalg.qr(stacked, mode="r"), dtype=np.float64)
    assert triangle is not None
    return np.asarray(linalg.lstsq(triangle[:, :-1], triangle[:, -1])[0])
