"""A picture of an evaluation: how scores are distributed, and the curve of right and false
accepts."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from fhe_face.coeffs.figures import figure_class, save
from fhe_face.models.evaluation.lookup import METHODS
from fhe_face.models.evaluation.report import EvaluationError, Report
from fhe_face.models.thresholds import POINTS

_BINS: Final = 60
#: Above the bars, for the legend.
_ROOM: Final = 1.45
#: Of the thresholds in the histogram.
_LINES: Final = ("-", "--", ":", "-.")


def draw(
    reports: Mapping[str, Report],
    path: str | os.PathLike[str],
    sizes: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Draw reports, by mode, into a .png, .svg or .pdf file.

    sizes: what smaller probes gave, as `fhe-face evaluate --probe-size` has it in JSON.

    EvaluationError without matplotlib or for another kind of file; OSError where it cannot be
    written.
    """
    figure = figure_class(path, EvaluationError)(
        figsize=(11, 4 * (len(reports) + bool(sizes)) + 0.5), layout="constrained"
    )
    grid = figure.subplots(len(reports) + bool(sizes), 2, squeeze=False)
    for (left, right), (mode, report) in zip(grid, reports.items(), strict=False):
        _distributions(left, mode, report)
        _curve(right, mode, report)
    if sizes:
        left, right = grid[-1]
        _sizes(left, right, sizes)
    save(figure, path)


def _sizes(left: Any, right: Any, sizes: Sequence[Mapping[str, Any]]) -> None:
    """Equal error rate with its interval, and rank-1, over the side of the probes."""
    for method in (name for name in METHODS if name in sizes[0]):
        rows = [(row["size"], row[method]) for row in sizes if row[method] is not None]
        pixels = [size for size, _ in rows]
        rates = [100 * found["eer"] for _, found in rows]
        ends = [
            [100 * abs(found["eer"] - found["eer_interval"][end]) for _, found in rows]
            for end in ("low", "high")
        ]
        left.errorbar(pixels, rates, yerr=ends, marker="o", capsize=3, label=method)
        right.plot(pixels, [found["rank1"] for _, found in rows], marker="o", label=method)
    for axes, what in ((left, "equal error rate, % (95 % of draws)"), (right, "rank-1")):
        axes.set_xscale("log", base=2)
        axes.set_xticks([row["size"] for row in sizes], [str(row["size"]) for row in sizes])
        axes.set_xlabel("side of the probes, pixels")
        axes.set_ylabel(what)
        axes.legend()
    left.set_ylim(bottom=0)
    right.set_ylim(-0.02, 1.02)
    left.set_title("smaller probes against full-size enrolled faces")


def _distributions(axes: Any, mode: str, report: Report) -> None:
    """Cosines, which thresholds are for: scores of a polynomial go beyond 1."""
    same, different = report.same_cosines, report.different_cosines
    ends = min(same.min(), different.min()), max(same.max(), different.max())
    bins = np.linspace(*ends, _BINS + 1) if ends[0] < ends[1] else _BINS
    for cosines, name in ((different, "different people"), (same, "one person")):
        weights = np.full(len(cosines), 100 / len(cosines))
        axes.hist(cosines, bins, weights=weights, alpha=0.6, label=f"{name}: {len(cosines)} pairs")
    for (name, told), style in zip(POINTS.items(), _LINES, strict=True):
        point = getattr(report.thresholds, name)
        if point is not None:
            label = f"{told}: cosine {point.cosine:.3f}"
            axes.axvline(point.cosine, color="black", linewidth=1, linestyle=style, label=label)
    axes.set_xlabel("cosine")
    axes.set_ylabel("share of pairs, %")
    axes.set_ylim(top=_ROOM * axes.get_ylim()[1])
    axes.set_title(f"{mode}: {report.people} people, {report.images} images")
    axes.legend(fontsize="small")


def _curve(axes: Any, mode: str, report: Report) -> None:
    curve = report.curve
    smallest = 1 / curve.different
    axes.plot(np.maximum(curve.far, smallest), curve.tar, drawstyle="steps-post")
    # A rate of zero has no place on a logarithmic axis: it is drawn at its left end, as the curve.
    dot = max(curve.eer, smallest)
    axes.plot(
        dot, 1 - curve.eer, "o", clip_on=False, label=f"equal error rate {100 * curve.eer:.2f} %"
    )
    guessing = np.geomspace(smallest, 1, 200)
    axes.plot(guessing, guessing, color="grey", linestyle=":", label="guessing")
    axes.set_xscale("log")
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("false accepts (no smaller than one pair)")
    axes.set_ylabel("right accepts")
    axes.set_title(f"{mode}: gallery-probe rank-1 {report.identification.rank1:.3f}")
    axes.legend(loc="lower right")
