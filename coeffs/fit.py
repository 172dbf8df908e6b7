"""Fit polynomials to 1/√y: `python -m fhe_face.coeffs.fit --interval 100 3000 --degree 2 --json`.

The interval is given, or taken from a sample of squared norms, or [100, 3000]. Errors are relative.
How they are on other faces, only a separate evaluation file can tell.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from fhe_core.files import shown, write_whole
from fhe_core.outputs import Outputs
from fhe_core.streams import early_end_is_quiet
from fhe_face.coeffs import basis, methods
from fhe_face.coeffs.basis import Interval, relative_errors
from fhe_face.coeffs.figures import PLOT, figure_class
from fhe_face.coeffs.fit_words import Fit, counted, doubts
from fhe_face.coeffs.normalisation import (
    COEFFICIENTS,
    MAX_NEWTON_STEPS,
    CoefficientError,
    FittedNormalisation,
)
from fhe_face.coeffs.plot import draw
from fhe_face.coeffs.samples import Sample, read_sample, require_separate

_DESCRIPTION: Final = "Fit a polynomial to 1/√y, on an interval or for a sample of squared norms."
MAX_DEGREE: Final = 15
MAX_POINTS: Final = 10_000_000
DEFAULT_INTERVAL: Final = (100.0, 3000.0)
DEFAULT_POINTS: Final = 1000
#: An interval from a sample reaches this factor further than its values, on both sides.
DEFAULT_MARGIN: Final = 1.2
METHODS: Final = (
    "least-squares",
    "relative-least-squares",
    "minimax",
    "distribution-weighted",
)
#: high / low of an interval from a sample: further apart, the sample holds what it should not.
MAX_SPREAD: Final = 1e4
#: high / low of any interval: on longer ones no polynomial of degree 15 is of use.
_LONGEST: Final = 1e6
_SHORTEST: Final = 1 + 1e-6
_LIMITS: Final = (1e-12, 1e12)


@dataclass(frozen=True)
class Request:
    """What to fit, from which data, and where to write it.

    interval: None takes it from the sample, or is [100, 3000] without one. points: evenly spaced,
    for the two least-squares methods. margin: factor by which an interval from a sample is
    widened on both sides. allow_outside: accept values outside the interval, with a warning.
    """

    interval: Interval | None = None
    degree: int = 2
    method: str = METHODS[0]
    points: int = DEFAULT_POINTS
    newton_steps: int = 0
    sample: Path | None = None
    evaluation: Path | None = None
    margin: float = DEFAULT_MARGIN
    allow_outside: bool = False
    output: Path | None = None
    plot: Path | None = None


def least_squares(
    interval: Interval, degree: int, points: int = DEFAULT_POINTS
) -> tuple[float, ...]:
    """Coefficients, highest degree first, of the plain least-squares fit of 1/√y.

    On `points` evenly spaced values of the interval.
    Raises CoefficientError for an interval, degree or number of points that cannot be fitted.
    """
    return fit("least-squares", interval, degree, points).coefficients


def fit(
    method: str,
    interval: Interval,
    degree: int,
    points: int = DEFAULT_POINTS,
    newton_steps: int = 0,
    sample: Sample | None = None,
) -> FittedNormalisation:
    """A fitted polynomial with its errors.

    sample: what `distribution-weighted` is weighted by (values outside the interval are left out);
    the other methods do not look at it. CoefficientError for a method, interval, degree or number
    that cannot be fitted.
    """
    _check(method, interval, degree, points, newton_steps)
    used, what = points, f"{points} evenly spaced points"
    if method == "distribution-weighted":
        if sample is None:
            raise CoefficientError("distribution-weighted needs a sample of squared norms")
        values = sample.inside(interval)
        if values.size == 0:
            raise CoefficientError(
                f"{shown(sample.path)}: no value lies in [{interval[0]:g}, {interval[1]:g}]"
            )
        chebyshev = methods.distribution_weighted(interval, degree, values)
        share = methods.BACKGROUND
        used = values.size
        what = f"{counted(used, 'value')} of the sample (weight {1 - share:g}) and the whole " + (
            f"interval (weight {share:g})"
        )
    elif method == "minimax":
        chebyshev = methods.minimax(interval, degree, newton_steps)
        used, what = 0, "the whole interval"
    elif method == "relative-least-squares":
        chebyshev = methods.relative_least_squares(interval, degree, points)
    else:
        chebyshev = methods.least_squares(interval, degree, points)
    coefficients = basis.to_monomial(chebyshev, interval)
    worst, mean = relative_errors(chebyshev, interval, newton_steps)
    source = f"fhe_face.coeffs.fit, {method} of 1/sqrt(y) on {what}"
    terms = tuple(float(c) for c in chebyshev)
    return FittedNormalisation(
        coefficients, interval, method, used, worst, mean, source, newton_steps, terms
    )


def perform(request: Request) -> Fit:
    """Fit, measure and write what a request asks for; a refusal writes nothing.

    CoefficientError where the request cannot be served, or data fall outside the interval and
    that was not allowed; OSError where a file cannot be written.
    """
    outputs = Outputs(request.sample, request.evaluation)
    outputs.add(request.output, COEFFICIENTS)
    outputs.add(request.plot, PLOT)
    if request.plot is not None:
        figure_class(request.plot, CoefficientError)
    sample = None if request.sample is None else read_sample(request.sample)
    evaluation = None if request.evaluation is None else read_sample(request.evaluation)
    warnings = [*outputs.replaced]
    if sample is not None and evaluation is not None:
        shared = require_separate(sample, evaluation)
        if shared:
            warnings.append(
                f"{shared} of the {evaluation.values.size} evaluation values stand in the sample "
                "too: the evaluation flatters the fit"
            )
    interval, origin = _interval(request, sample)
    _check(request.method, interval, request.degree, request.points, request.newton_steps)
    for data in (sample, evaluation):
        if data is not None:
            warnings += _outside(data, interval, request.allow_outside)
    fitted = fit(
        request.method, interval, request.degree, request.points, request.newton_steps, sample
    )
    fitted = replace(
        fitted,
        source=f"{fitted.source}; interval {origin}",
        sample=None if sample is None else sample.measure(fitted),
        evaluation=None if evaluation is None else evaluation.measure(fitted),
    )
    before = relative_errors(fitted.chebyshev, interval)
    warnings += doubts(fitted, before[0], request.interval is None and sample is not None)
    if request.plot is not None:
        named = (("sample", sample), ("evaluation", evaluation))
        draw(fitted, request.plot, [(name, data) for name, data in named if data is not None])
    if request.output is not None:
        save(fitted, request.output)
    return Fit(fitted, before, tuple(warnings))


def save(normalisation: FittedNormalisation, path: str | os.PathLike[str]) -> None:
    """Write a coefficient file atomically; FileError where it cannot be written."""
    content = json.dumps(normalisation.to_json(), indent=2, allow_nan=False) + "\n"
    write_whole(path, content.encode(), kind=COEFFICIENTS)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status (0, or 1 after one clear line on stderr)."""
    given = _parser().parse_args(arguments)
    try:
        done = perform(
            Request(
                interval=None if given.interval is None else (given.interval[0], given.interval[1]),
                degree=given.degree,
                method=given.method,
                points=given.points,
                newton_steps=given.newton_steps,
                sample=given.sample,
                evaluation=given.evaluation,
                margin=given.margin,
                allow_outside=given.allow_outside,
                output=given.output,
                plot=given.plot,
            )
        )
    except (CoefficientError, OSError, MemoryError) as error:
        print(f"error: {str(error) or 'not enough memory'}", file=sys.stderr)
        return 1
    for warning in done.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if given.json:
        print(json.dumps(done.to_json(), allow_nan=False))
    else:
        print(*(f"{name}: {text}" for name, text in done.rows()), sep="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fhe_face.coeffs.fit", description=_DESCRIPTION)
    add = parser.add_argument
    add("--interval", nargs=2, type=float, metavar=("LOW", "HIGH"), help="of squared norms")
    add("--degree", type=int, default=2, help=f"1 to {MAX_DEGREE}; default 2")
    add("--method", choices=METHODS, default=METHODS[0], help=f"default {METHODS[0]}")
    add(
        "--points",
        type=int,
        default=DEFAULT_POINTS,
        help=f"evenly spaced, for the least-squares methods; default {DEFAULT_POINTS}",
    )
    add(
        "--newton-steps",
        type=int,
        default=0,
        help=f"refinements after the polynomial, 0 to {MAX_NEWTON_STEPS}; default 0",
    )
    add("--sample", type=Path, help="squared norms to fit: .npy, a JSON list, or a number a line")
    add("--evaluation", type=Path, help="squared norms of other faces, to judge the fit on")
    add(
        "--margin",
        type=float,
        default=DEFAULT_MARGIN,
        help="without --interval: factor beyond the sample's ends; default %(default)s",
    )
    add("--allow-outside", action="store_true", help="only warn about data outside the interval")
    add("--output", "-o", type=Path, help="also write a coefficient file")
    add("--plot", type=Path, help="draw fit and error (.png, .svg, .pdf); needs matplotlib")
    add("--json", action="store_true", help="print one JSON object")
    return parser


def _check(method: str, interval: Interval, degree: int, points: int, newton_steps: int) -> None:
    if method not in METHODS:
        raise CoefficientError(f"method {method!r}; it must be one of {', '.join(METHODS)}")
    low, high = interval
    if not 0 < low < high < math.inf:
        raise CoefficientError(f"interval [{low}, {high}]; it must be 0 < low < high")
    if low < _LIMITS[0] or high > _LIMITS[1]:
        raise CoefficientError(f"interval [{low:g}, {high:g}]; it must lie in [1e-12, 1e12]")
    if not low * _SHORTEST <= high <= low * _LONGEST:
        raise CoefficientError(f"interval [{low}, {high}]; high must be 1.000001 to 10^6 times low")
    if not 1 <= degree <= MAX_DEGREE:
        raise CoefficientError(f"degree {degree}; it must be 1 to {MAX_DEGREE}")
    if not degree < points <= MAX_POINTS:
        raise CoefficientError(f"{points} points; it must be more than the degree, at most 10^7")
    if not 0 <= newton_steps <= MAX_NEWTON_STEPS:
        raise CoefficientError(f"{newton_steps} Newton steps; it must be 0 to {MAX_NEWTON_STEPS}")


def _interval(request: Request, sample: Sample | None) -> tuple[Interval, str]:
    """The interval, and where it comes from."""
    if not 1 <= request.margin < math.inf:
        raise CoefficientError(f"margin {request.margin}; it must be a factor of 1 or more")
    if request.interval is not None:
        return request.interval, "given"
    if sample is None:
        return DEFAULT_INTERVAL, "by default"
    usable = sample.usable
    name = shown(sample.path)
    if np.unique(usable).size < 2:
        raise CoefficientError(f"{name}: an interval needs two different squared norms or more")
    low, high = float(usable.min()), float(usable.max())
    if high > MAX_SPREAD * low:
        raise CoefficientError(
            f"{name}: from {low:g} to {high:g}, too far apart for one polynomial; are there "
            "diverged images among them? Remove those, or give --interval and --allow-outside"
        )
    widened = (low / request.margin, high * request.margin)
    origin = f"from the sample {shown(sample.path.name)}, widened by a factor {request.margin:g}"
    return widened, origin


def _outside(data: Sample, interval: Interval, allowed: bool) -> list[str]:
    """A warning about values outside the interval, or a refusal."""
    low, high = interval
    total = data.values.size
    outside = total - data.inside(interval).size
    if not outside:
        return []
    below = int(np.sum(data.values < low))
    above = int(np.sum(data.values > high))
    parts = [
        f"{below} below (least {data.values[data.values < low].min():g})" if below else "",
        f"{above} above (greatest {data.values[data.values > high].max():g})" if above else "",
        f"{outside - below - above} not a number" if outside > below + above else "",
    ]
    text = (
        f"{shown(data.path)}: {outside} of {counted(total, 'value')} "
        f"({100 * outside / total:.3g} %) outside [{low:g}, {high:g}]: "
        f"{', '.join(p for p in parts if p)}"
    )
    if not allowed:
        raise CoefficientError(
            f"{text}; the polynomial is worthless there: use a longer --interval, or accept it "
            "with --allow-outside"
        )
    return [f"{text}; the polynomial is worthless there and such faces will be refused"]


if __name__ == "__main__":
    with early_end_is_quiet():
        status = main()
    sys.exit(status)
