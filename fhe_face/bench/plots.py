"""Pictures of measurements, into .png, .svg or .pdf files; they need matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fhe_core.outputs import Outputs
from fhe_face.bench.batches import Throughput
from fhe_face.bench.step_profile import Profile
from fhe_face.coeffs.figures import PLOT, figure_class, save
from fhe_face.failures import UsageError
from fhe_face.precision.report import Report


def check(path: Path | None, outputs: Outputs) -> None:
    """Refuse a plot that could not be drawn before time is spent on what it would show.

    Raises:
        UsageError: matplotlib is missing, or the file is of another kind.
        FileError: the file cannot be written, or must stay.
    """
    if path is not None:
        figure_class(path, UsageError)
        outputs.add(path, PLOT)


def draw_profile(profile: Profile, path: Path) -> None:
    """A pair of bars for every row: measured, and the cost model's estimate."""
    rows = profile.merged()
    figure = figure_class(path, UsageError)(
        figsize=(9, 1.2 + 0.32 * len(rows)), layout="constrained"
    )
    axes = figure.subplots()
    places = range(len(rows))
    axes.barh([p - 0.2 for p in places], [r.seconds for r in rows], 0.4, label="measured")
    axes.barh(
        [p + 0.2 for p in places],
        [r.cost.estimated_seconds for r in rows],
        0.4,
        label="estimated",
    )
    axes.set_yticks(list(places), [r.cost.label for r in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)  # downwards, without empty bands
    axes.set_xlabel("seconds")
    axes.set_title(f"{profile.facts['plan']}: {profile.wall_seconds:.3g} s")
    axes.legend()
    save(figure, path)


def draw_precision(report: Report, path: Path) -> None:
    """Two columns over the layers: bits predicted and measured; room before an overflow."""
    rows, run = report.layers(), "measured" if report.source == "encrypted" else report.source
    figure = figure_class(path, UsageError)(
        figsize=(11, 1.4 + 0.25 * len(rows)), layout="constrained"
    )
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    places = list(range(len(rows)))
    left.plot([r.predicted.least for r in rows], places, "s-", mfc="none", label="predicted")
    left.plot([r.measured.least for r in rows], places, "o-", ms=4, label=run)
    left.plot([r.predicted.worst_slot for r in rows], places, ":", label="predicted, worst slot")
    left.plot([r.measured.worst_slot for r in rows], places, "x", label=f"{run}, worst slot")
    left.set_yticks(places, [r.label for r in rows])
    left.invert_yaxis()
    left.set_xlabel("bits of precision, of the largest value")
    left.legend()
    right.barh(places, [r.headroom_bits for r in rows], 0.6, color="tab:grey")
    right.axvline(0, color="tab:red")
    right.set_xlabel("bits before an overflow")
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
    figure.suptitle(f"{report.plan}: {len(report.runs)} run(s), {report.source}")
    save(figure, path)


def draw_batches(batches: Sequence[Throughput], path: Path) -> None:
    """Seconds per face and peak memory over the size of the batch.

    Only what was measured is drawn: the time of a batch is flat and then jumps, so that a line
    between two sizes would show what nobody measured.
    """
    figure = figure_class(path, UsageError)(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    sizes = [batch.size for batch in batches]
    left.plot(sizes, [batch.seconds_per_face for batch in batches], "o")
    left.set_ylabel("seconds per face")
    right.plot(sizes, [batch.peak_rss_bytes / 2**30 for batch in batches], "o")
    right.set_ylabel("peak memory, GiB")
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("faces in the batch")
        axes.set_ylim(0, 1.1 * axes.dataLim.ymax)
        axes.grid(axis="y", alpha=0.3)
    save(figure, path)


def draw_cluster(data: Mapping[str, Any], path: Path) -> None:
    """How long enrolments take, how busy every station is then, and the parts of a search.

    data: as ``fhe-face bench cluster --json`` prints it.
    """
    rows = data["nodes"]
    counts = [row["nodes"] for row in rows]
    figure = figure_class(path, UsageError)(figsize=(12, 4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    hours = [row["enrolment_seconds"] / 3600 for row in rows]
    left.loglog(counts, hours, "o-", label="simulated")
    alone = [hours[0] * rows[0]["enrolment_used"]["nodes"] * counts[0] / count for count in counts]
    left.loglog(counts, alone, ":", color="tab:grey", label="if only nodes took time")
    left.set_ylabel("hours")
    left.set_title(f"{data['enrolments']:,} enrolments")
    left.legend()
    for name in rows[0]["enrolment_used"]:
        used = [100 * row["enrolment_used"][name] for row in rows]
        middle.semilogx(counts, used, "o-", label=name)
    middle.set_ylabel("% of the time at work")
    middle.set_title("what binds: who is near 100 %")
    middle.legend()
    places, below = range(len(rows)), [0.0] * len(rows)
    for name in rows[0]["search_parts"]:
        parts = [row["search_parts"][name] for row in rows]
        right.bar(places, parts, 0.6, below, label=name)
        below = [a + b for a, b in zip(below, parts, strict=True)]
    right.set_xticks(list(places), [f"{count:,}" for count in counts])
    right.set_ylabel("seconds")
    right.set_title(f"one search of {data['templates']:,} templates")
    right.legend()
    for axes in (left, middle):
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.minorticks_off()
    for axes in (left, middle, right):
        axes.set_xlabel("nodes")
        axes.grid(axis="y", alpha=0.3)
    save(figure, path)
