"""Pictures of measurements, into .png, .svg or .pdf files; they need matplotlib."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from coeffs.files import write_whole
from fhe_face.benchmarks.batches import Throughput
from fhe_face.benchmarks.step_profile import Profile
from fhe_face.failures import CommandError
from fhe_face.system import require_writable

SUFFIXES: Final = (".png", ".svg", ".pdf")


def check(path: Path | None) -> None:
    """Refuse a plot that could not be drawn before time is spent on what it would show.

    Raises:
        CommandError: matplotlib is missing, or the file is of another kind.
        FileError: the file cannot be written.
    """
    if path is not None:
        _figure(path)
        require_writable(path)


def draw_profile(profile: Profile, path: Path) -> None:
    """A pair of bars for every row: measured, and the cost model's estimate."""
    rows = profile.merged()
    figure = _figure(path)(figsize=(9, 1.2 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = range(len(rows))
    axes.barh([p + 0.2 for p in places], [r.seconds for r in rows], 0.4, label="measured")
    axes.barh(
        [p - 0.2 for p in places],
        [r.cost.estimated_seconds for r in rows],
        0.4,
        label="estimated",
    )
    axes.set_yticks(list(places), [r.cost.label for r in rows])
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.set_title(f"{profile.facts['plan']}: {profile.wall_seconds:.3g} s")
    axes.legend()
    _save(figure, path)


def draw_batches(batches: Sequence[Throughput], path: Path) -> None:
    """Seconds per face and peak memory over the size of the batch."""
    figure = _figure(path)(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = [batch.size for batch in batches]
    left.plot(sizes, [batch.seconds_per_face for batch in batches], "o-")
    left.set_ylabel("seconds per face")
    right.plot(sizes, [batch.peak_rss_bytes / 2**30 for batch in batches], "o-")
    right.set_ylabel("peak memory, GiB")
    for axes in (left, right):
        axes.set_xlabel("faces in the batch")
        axes.set_ylim(bottom=0)
    _save(figure, path)


def _figure(path: str | os.PathLike[str]) -> Any:
    if Path(path).suffix.lower() not in SUFFIXES:
        raise CommandError(f"{path}: a plot must be one of {', '.join(SUFFIXES)}")
    try:
        return importlib.import_module("matplotlib.figure").Figure
    except ImportError:
        raise CommandError(
            "a plot needs matplotlib, which is not installed: pip install 'fhe-face[plot]'"
        ) from None


def _save(figure: Any, path: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lower()[1:], dpi=120)
    write_whole(path, content.getvalue())
