"""The curves of a training log as a picture; needs matplotlib."""

import os
from collections.abc import Sequence
from typing import Final

from fhe_face.coeffs.figures import figure_class, save
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.loop import Record

_NOT_LOSSES: Final = ("step", "rate", "probes")
#: Shown on an axis of their own, from 0 to 1.
_SHARES: Final = (
    "rank1",
    "rank1_chance",
    "rank1_changed",
    "teacher_correlation",
    "teacher_cosine",
)
#: Penalties are often zero, which a logarithm cannot show.
_LEAST_LOSS: Final = 1e-3
_BOUNDS: Final = ("largest", "largest_hostile")


def draw(records: Sequence[Record], path: str | os.PathLike[str]) -> None:
    """Losses, validation and largest activations over the steps, as PNG, SVG or PDF.

    TrainingError: nothing to draw, no matplotlib, or the file cannot be written.
    """
    if not records:
        raise TrainingError("the log is empty: nothing to draw")
    figure = figure_class(path, TrainingError)(figsize=(8, 9), layout="constrained")
    losses, shares, bounds = figure.subplots(3, 1, sharex=True)
    names = list(dict.fromkeys(name for record in records for name in record))
    others = [n for n in names if n not in (*_NOT_LOSSES, *_SHARES, *_BOUNDS)]
    groups = (
        (losses, others, "loss"),
        (shares, _SHARES, "held out"),
        (bounds, _BOUNDS, "deviations"),
    )
    for axes, group, label in groups:
        for name in group:
            points = [(r["step"], r[name]) for r in records if name in r]
            if points:
                axes.plot(*zip(*points, strict=True), label=name, linewidth=1)
        axes.set_ylabel(label)
        if axes.lines:
            axes.legend(fontsize="small")
    losses.set_yscale("log")
    losses.set_ylim(bottom=_LEAST_LOSS)
    bounds.set_yscale("log")
    shares.set_ylim(0, 1)
    bounds.set_xlabel("step")
    try:
        save(figure, path)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be written ({error})") from None
