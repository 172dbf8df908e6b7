"""Fit polynomials to 1/√y: `python -m coeffs.fit --interval 100 3000 --degree 2 --json`."""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.polynomial import Polynomial

from coeffs.normalisation import CoefficientError, Normalisation, relative_errors

MAX_DEGREE: Final = 15
MAX_POINTS: Final = 10_000_000
Interval = tuple[float, float]
Method = Callable[[Interval, int, int], tuple[float, ...]]


def least_squares(interval: Interval, degree: int, points: int = 1000) -> tuple[float, ...]:
    """Coefficients, highest degree first, of the plain least-squares fit of 1/√y.

    On `points` evenly spaced values of the interval, in a basis scaled to it (well conditioned).
    Raises CoefficientError for an interval, degree or number of points that cannot be fitted.
    """
    low, high = interval
    if not 0 < low < high < np.inf:
        raise CoefficientError(f"interval [{low}, {high}]; it must be 0 < low < high")
    if not 1 <= degree <= MAX_DEGREE:
        raise CoefficientError(f"degree {degree}; it must be 1 to {MAX_DEGREE}")
    if not degree < points <= MAX_POINTS:
        raise CoefficientError(f"{points} points; it must be more than the degree, at most 10^7")
    y = np.linspace(low, high, points)
    fitted = Polynomial.fit(y, 1 / np.sqrt(y), degree).convert()
    ascending = np.zeros(degree + 1)
    ascending[: len(fitted.coef)] = fitted.coef
    return tuple(float(c) for c in ascending[::-1])


METHODS: Final[Mapping[str, Method]] = MappingProxyType({"least-squares": least_squares})


def fit(method: str, interval: Interval, degree: int, points: int) -> Normalisation:
    """A fitted polynomial with its errors; CoefficientError for an unknown method."""
    if method not in METHODS:
        raise CoefficientError(f"method {method!r}; it must be one of {', '.join(METHODS)}")
    coefficients = METHODS[method](interval, degree, points)
    worst, mean = relative_errors(coefficients, interval)
    source = f"coeffs.fit, {method} of 1/sqrt(y) on {points} evenly spaced points"
    return Normalisation(coefficients, interval, method, points, worst, mean, source)


def save(normalisation: Normalisation, path: str | os.PathLike[str]) -> None:
    """Write a coefficient file atomically; OSError where it cannot be written."""
    target = Path(path)
    handle, name = tempfile.mkstemp(".tmp", f".{target.name}.", target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(normalisation.to_json(), indent=2) + "\n")
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status (0, or 1 after one clear line on stderr)."""
    parser = argparse.ArgumentParser(prog="python -m coeffs.fit", description=__doc__)
    parser.add_argument("--interval", nargs=2, type=float, default=[100.0, 3000.0])
    parser.add_argument("--degree", type=int, default=2)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--method", choices=sorted(METHODS), default="least-squares")
    parser.add_argument("--output", "-o", type=Path, help="also write a coefficient file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args(arguments)
    try:
        low, high = given.interval
        fitted = fit(given.method, (low, high), given.degree, given.points)
        if given.output is not None:
            save(fitted, given.output)
    except (CoefficientError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if given.json:
        print(json.dumps(fitted.to_json()))
        return 0
    print(f"1/sqrt(y) on [{low:g}, {high:g}], degree {fitted.degree}, {fitted.method}")
    print("coefficients, highest degree first:", *(f"{c:.6e}" for c in fitted.coefficients))
    print(
        f"relative error: worst {fitted.worst_relative_error:.4f}, "
        f"mean {fitted.mean_relative_error:.4f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
