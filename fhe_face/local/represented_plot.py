"""A picture of represented faces: cosines of pairs, and lengths before normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_core.errors import Failure
from fhe_face.coeffs.figures import figure_class, save
from fhe_face.local.represented import Row
from fhe_face.local.represented_pairs import MAX_COMPARED, pairs_of
from fhe_face.models.thresholds import Thresholds

_BINS: Final = 60
#: Squared norms that are drawn; a face that diverges may have any.
_NORMS: Final = (1.0, 1e6)


class PlotError(Failure, ValueError):
    """No plot can be drawn into such a file; the text says why."""

    code = "plot"


def require_plot(path: Path) -> Any:
    """The class of figures; PlotError without matplotlib, or for another kind of file."""
    return figure_class(path, PlotError)


def draw(
    path: Path,
    rows: Sequence[Row],
    vectors: Sequence[NDArray[np.float32]],
    thresholds: Thresholds | None,
    interval: tuple[float, float],
) -> None:
    """Draw faces, refused ones too, with embeddings of those that were not.

    interval: of squared norms that are healthy.

    Raises:
        PlotError: see `require_plot`.
        FileError: it cannot be written.
    """
    figure = require_plot(path)(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    kept = [row for row in rows if not row.why]
    _cosines(left, kept, vectors, thresholds)
    _norms(right, rows, interval)
    save(figure, path)


def _cosines(
    axes: Any,
    rows: Sequence[Row],
    vectors: Sequence[NDArray[np.float32]],
    thresholds: Thresholds | None,
) -> None:
    axes.set_title(f"{len(rows)} faces on {len({row.sha256 for row in rows})} photos")
    axes.set_xlabel("cosine of faces on different photos")
    axes.set_ylabel("share of pairs, %")
    axes.set_xlim(-1, 1)
    if not 1 < len(rows) <= MAX_COMPARED:
        why = "one face" if len(rows) < MAX_COMPARED else f"more than {MAX_COMPARED} faces"
        axes.text(0.5, 0.5, f"{why}: no pairs", ha="center", transform=axes.transAxes)
        return
    found = list(pairs_of(rows, vectors))
    kinds = {
        "different people": [one.cosines[one.named & ~one.alike] for one in found],
        "one person": [one.cosines[one.alike] for one in found],
        "not known who": [one.cosines[~one.named] for one in found],
    }
    bins = np.linspace(-1, 1, 2 * _BINS + 1)
    for name, parts in kinds.items():
        cosines = np.concatenate(parts)
        if len(cosines):
            share = np.full(len(cosines), 100 / len(cosines))
            label = f"{name}: {len(cosines)} pairs"
            axes.hist(cosines, bins, weights=share, alpha=0.6, label=label)
    if thresholds is not None:
        low, high = thresholds.different_below, thresholds.same_from
        axes.axvline(
            low, color="black", linewidth=1, linestyle=":", label=f"different below {low:.3f}"
        )
        axes.axvline(high, color="black", linewidth=1, label=f"same from {high:.3f}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")


def _norms(axes: Any, rows: Sequence[Row], interval: tuple[float, float]) -> None:
    """Of refused faces, too: beyond the axis they are drawn at its end."""
    kinds: dict[str, list[float]] = {"as they are": [], "with less contrast": [], "refused": []}
    for row in rows:
        if not row.squared_norm:  # a photo without a face
            continue
        whole = "with less contrast" if row.softened else "as they are"
        norm = float(row.squared_norm)
        kinds["refused" if row.why else whole].append(norm if math.isfinite(norm) else math.inf)
    bins = np.geomspace(*_NORMS, _BINS + 1)
    given = [(name, np.clip(norms, *_NORMS)) for name, norms in kinds.items() if norms]
    if given:
        labels = [f"{name}: {len(norms)}" for name, norms in given]
        axes.hist([norms for _, norms in given], bins, stacked=True, label=labels)
    low, high = interval
    axes.axvspan(low, high, color="green", alpha=0.1, label=f"healthy: {low:g} to {high:g}")
    axes.set_xscale("log")
    axes.set_xlabel("squared norm before normalisation")
    axes.set_ylabel("faces")
    axes.legend(fontsize="small")
