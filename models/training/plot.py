"""The curves of a training log as a picture; needs matplotlib."""

import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fhe_face.coeffs.figures import figure_class, save
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.loop import Record

_NOT_LOSSES: Final = ("step", "rate", "probes", "stage", "done", "stress_images")
#: Shown on an axis of their own, from 0 to 1.
_SHARES: Final = {
    "rank1": "held-out people, rank-1",
    "rank1_head": "the same by the ArcFace head",
    "rank1_chance": "chance",
    "paired": "paired similarity: a photo and itself, changed",
    "eer": "held-out people, equal error rate",
    "head_trained": "trained people named by the head",
    "rank1_changed": "changed pictures found again",
    "teacher_correlation": "correlation with the teacher",
    "teacher_cosine": "cosine to the teacher",
    "kept_cosine": "cosine to the given network",
    "kept_changed": "the same, changed pictures",
    "stress_refused": "stress images outside the interval",
    "stress_not_finite": "stress images without a finite result",
}
_LOSSES: Final = {
    "loss": "sum of all",
    "arcface": "ArcFace",
    "contrast": "contrast (InfoNCE)",
    "cosine": "1 - cosine to the teacher",
    "relation": "relations of the batch",
    "length": "squared norms",
    "views": "views of one face (InfoNCE)",
    "norm": "norms outside their range",
    "bound": "activations outside their bound",
}
_BOUNDS: Final = {"largest": "photos", "largest_hostile": "pictures made to harm"}
#: Penalties are often zero, which a logarithm cannot show.
_LEAST_LOSS: Final = 1e-3
#: A share of 0 or 1 must not lie on the frame.
_MARGIN: Final = 0.04


def draw(records: Sequence[Record], path: str | os.PathLike[str]) -> None:
    """Losses, validation and largest activations over the steps, as PNG, SVG or PDF.

    TrainingError: nothing to draw, no matplotlib, or the file cannot be written.
    """
    if not records:
        raise TrainingError("the log is empty: nothing to draw")
    figure = figure_class(path, TrainingError)(figsize=(10, 9), layout="constrained")
    losses, shares, bounds = figure.subplots(3, 1, sharex=True)
    names = list(dict.fromkeys(name for record in records for name in record))
    others = [n for n in names if n not in (*_NOT_LOSSES, *_SHARES, *_BOUNDS)]
    _curves(losses, records, {name: _LOSSES.get(name, name) for name in others}, "loss")
    _curves(shares, records, _SHARES, "share")
    _curves(bounds, records, _BOUNDS, "largest activation, deviations")
    for axes in (losses, bounds):
        axes.set_yscale("log")
        for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis(importlib.import_module("matplotlib.ticker").LogFormatter())
    losses.set_ylim(bottom=_LEAST_LOSS)
    shares.set_ylim(-_MARGIN, 1 + _MARGIN)
    bounds.set_xlabel("step")
    figure.suptitle(f"Training, {records[-1]['step']} steps")
    try:
        save(figure, path)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be written ({error})") from None


def _curves(axes: Any, records: Sequence[Record], names: Mapping[str, str], label: str) -> None:
    """A line for each name that the log has, and beside the axes, over no line, what it is."""
    for name, told in names.items():
        points = [(r["step"], r[name]) for r in records if name in r]
        if points:
            # A value that was measured once would be no line.
            marker = "o" if len(points) < len(records) else "None"
            axes.plot(
                *zip(*points, strict=True), marker=marker, markersize=3, label=told, linewidth=1
            )
    axes.set_ylabel(label)
    if axes.lines:
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.01, 0.5))
