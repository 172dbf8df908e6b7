"""A picture of a fit: 1/√y and the polynomial, and the relative error below."""

import os
from collections.abc import Sequence
from typing import Final

import numpy as np

from fhe_face.coeffs import basis
from fhe_face.coeffs.figures import figure_class, save
from fhe_face.coeffs.normalisation import CoefficientError, FittedNormalisation
from fhe_face.coeffs.samples import Sample

_POINTS: Final = 2000


def draw(
    normalisation: FittedNormalisation,
    path: str | os.PathLike[str],
    samples: Sequence[tuple[str, Sample]] = (),
) -> None:
    """Draw a fit into a .png, .svg or .pdf file; samples, with labels, as marks on the axis.

    CoefficientError without matplotlib; OSError where the file cannot be written.
    """
    figure = figure_class(path, CoefficientError)(figsize=(8, 7), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    low, high = normalisation.interval
    y = np.unique(np.concatenate([np.linspace(low, high, _POINTS), np.geomspace(low, high, 500)]))
    y = y.clip(low, high)
    steps = normalisation.newton_steps
    name = f"degree {normalisation.degree}" + (f", Newton steps: {steps}" if steps else "")
    upper.plot(y, 1 / np.sqrt(y), color="black", linewidth=2.5, alpha=0.35, label="1/√y")
    upper.plot(y, normalisation.evaluate(y), label=name)
    if steps:
        before = basis.evaluate(normalisation.chebyshev, normalisation.interval, y)
        upper.plot(y, before, linestyle=":", label="before the Newton steps")
    upper.set_ylabel("inverse norm")
    upper.set_title(f"{normalisation.method} on [{low:g}, {high:g}]")
    error = basis.error_at(normalisation.chebyshev, normalisation.interval, y, steps)
    lower.plot(y, 100 * error)
    lower.axhline(0, color="black", linewidth=0.5)
    worst = 100 * normalisation.worst_relative_error
    for level in (worst, -worst):
        lower.axhline(level, color="grey", linestyle="--", linewidth=0.8)
    for position, (label, sample) in enumerate(samples):
        inside = sample.inside(normalisation.interval)
        marks = inside[:: max(1, inside.size // 1000)]
        upper.plot(
            marks,
            np.full(marks.size, 0.03 + 0.04 * position),
            "|",
            transform=upper.get_xaxis_transform(),
            label=f"{label}: {inside.size} of {sample.values.size} values",
        )
    upper.legend()
    lower.set_xlabel("squared norm y")
    lower.set_ylabel("relative error, %")
    save(figure, path)
