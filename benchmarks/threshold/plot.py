"""A picture of a measurement: the remainder as a function of the score, and the band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.threshold.designs import DEGREES, plain
from benchmarks.threshold.leakage import FLOOD, remainder
from benchmarks.threshold.signs import evaluate
from fhe_face.coeffs.figures import figure_class, save
from fhe_face.failures import UsageError

#: Compositions that are drawn in the clear, and their colours.
_LINES = {8: "tab:olive", 9: "tab:green", 10: "tab:cyan"}
_SMALLEST = 1e-18


def draw(designs: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Left: how far results are from a sign, really decrypted, and before encryption for shorter
    compositions. Right: the band, where the polynomial is no sign, and what a flood leaves of it.

    Raises:
        UsageError: matplotlib is missing, or the file is of another kind.
        FileError: the file cannot be written.
    """
    figure = figure_class(path, UsageError)(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for levels in _LINES:
        _line(left, levels)
    for found in designs:
        scores, distances = np.array(found["points"]).T
        label = f"{found['design']['name']}, decrypted"
        left.plot(scores, np.abs(distances) + _SMALLEST, ".", markersize=2, label=label)
    left.axhline(FLOOD, color="grey", linestyle="--", label="deviation of the flood")
    left.set(yscale="log", ylim=(_SMALLEST, 1), xlabel="score", ylabel="distance from the sign")
    left.legend(loc=(0.02, 0.24), fontsize="small")
    _band(right)
    save(figure, path)


def _line(axes: Any, levels: int) -> None:
    """The remainder of a composition in the clear."""
    design = plain(levels)
    low, high = design.threshold - design.band, design.threshold + design.band
    for edge, end in ((low, -1.0), (high, 1.0)):
        scores = np.linspace(edge, end, 1500)
        label = f"{levels} levels {DEGREES[levels]}" if edge == high else None
        axes.plot(
            scores, np.abs(remainder(design, scores)), lw=0.6, color=_LINES[levels], label=label
        )


def _band(axes: Any) -> None:
    design = plain(max(DEGREES))
    scores = design.threshold + np.linspace(-2, 2, 801) * design.band
    values = evaluate(design.stages, (scores - design.threshold) / design.reach)
    axes.fill_between(scores, values - 2 * FLOOD, values + 2 * FLOOD, alpha=0.3, label="flooded")
    axes.plot(scores, values, label="what is decrypted")
    for edge in (-design.band, design.band):
        axes.axvline(design.threshold + edge, color="grey", lw=0.8)
    axes.set(xlabel="score", title="the band")
    axes.legend(loc="upper left", fontsize="small")
