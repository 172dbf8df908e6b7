"""Pictures of measurements, into .png, .svg or .pdf files; they need matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coeffs.figures import figure_class, save
from fhe_face.benchmarks.batches import Throughput
from fhe_face.benchmarks.step_profile import Profile
from fhe_face.failures import CommandError
from fhe_face.system import require_writable


def check(path: Path | None) -> None:
    """Refuse a plot that could not be drawn before time is spent on what it would show.

    Raises:
        CommandError: matplotlib is missing, or the file is of another kind.
        FileError: the file cannot be written.
    """
    if path is not None:
        figure_class(path, CommandError)
        require_writable(path)


def draw_profile(profile: Profile, path: Path) -> None:
    """A pair of bars for every row: measured, and the cost model's estimate."""
    rows = profile.merged()
    figure = figure_class(path, CommandError)(
        figsize=(9, 1.2 + 0.32 * len(rows)), layout="constrained"
    )
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
    save(figure, path)


def draw_batches(batches: Sequence[Throughput], path: Path) -> None:
    """Seconds per face and peak memory over the size of the batch."""
    figure = figure_class(path, CommandError)(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = [batch.size for batch in batches]
    left.plot(sizes, [batch.seconds_per_face for batch in batches], "o-")
    left.set_ylabel("seconds per face")
    right.plot(sizes, [batch.peak_rss_bytes / 2**30 for batch in batches], "o-")
    right.set_ylabel("peak memory, GiB")
    for axes in (left, right):
        axes.set_xlabel("faces in the batch")
        axes.set_ylim(bottom=0)
    save(figure, path)
