"""What ``fhe-face evaluate`` shows to people."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rich.console import Console

from fhe_face.commands.evaluate_study_table import interval, show_study
from fhe_face.models.thresholds import POINTS
from fhe_face.output import grid


def _threshold(name: str) -> Callable[[dict[str, Any]], str]:
    def cell(facts: dict[str, Any]) -> str:
        point = facts["thresholds"][name]
        return "too few pairs" if point is None else f"cosine {point['cosine']:.3f}"

    return cell


_ROWS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("gallery-probe rank-1", lambda d: _share(d["gallery_probe_rank1"])),
    (
        "  mean of 10 random splits",
        lambda d: f"{_share(d['gallery_probe_rank1_mean'])} ± {d['gallery_probe_rank1_std']:.4f}",
    ),
    ("  chance", lambda d: _share(d["gallery_probe"]["chance"])),
    ("same person, mean score", lambda d: f"{d['same_mean']:.3f} ± {d['same']['std']:.3f}"),
    (
        "different people, mean score",
        lambda d: f"{d['different_mean']:.3f} ± {d['different']['std']:.3f}",
    ),
    ("equal error rate", lambda d: _share(d["eer"])),
    ("  95 % of draws of people", lambda d: interval(d["eer_interval"])),
    *((f"  threshold, {told}", _threshold(name)) for name, told in POINTS.items()),
    ("TAR at FAR 1 %", lambda d: _share(d["tar_at_far_1pct"])),
    ("TAR at FAR 0.1 %", lambda d: _share(d["tar_at_far_01pct"])),
    ("ten-fold accuracy", lambda d: _folds(d["ten_fold"])),
    ("TAR, FAR at --threshold", lambda d: _at(d.get("at_threshold"))),
    ("refused by the health check", lambda d: str(d["refused"])),
    ("images measured", lambda d: str(d["evaluated"])),
)


def _share(value: float | None) -> str:
    return "too few pairs" if value is None else f"{value:.4f}"


def _at(point: dict[str, Any] | None) -> str:
    return "" if point is None else f"{point['tar']:.4f}, {point['far']:.4f}"


def _folds(folds: dict[str, Any] | None) -> str:
    if folds is None:
        return "too few pairs"
    return f"{folds['accuracy']:.4f} ± {folds['standard_error']:.4f}"


def show(console: Console, data: dict[str, Any], people: bool = False) -> None:
    """A column for every mode; then what was left out, and the verdicts."""
    modes = data["modes"]
    told = [(name, *(cell(facts) for facts in modes.values())) for name, cell in _ROWS]
    rows = [row for row in told if any(row[1:])]
    title = f"{data['people']} people, {data['images']} images"
    console.print(grid(title, ("", *modes), rows, 1))
    show_study(console, data, people)
    low, high = data["interval"]
    norms = data["squared_norms"]
    lost = f"{data['no_face']} without a face, {data['unreadable']} unreadable"
    console.print(f"left out: {lost}")
    console.print(
        f"squared norms {norms['minimum']:.0f} to {norms['maximum']:.0f}, mean "
        f"{norms['mean']:.0f}; the polynomial holds on [{low:g}, {high:g}]"
    )
    pixels = data["pixels_alone"]
    console.print(
        "the same crops without a network, by their pixels: rank-1 "
        f"{pixels['gallery_probe_rank1']:.4f}, equal error rate {pixels['eer']:.4f}"
    )
    if data["paired_similarity"] is not None:
        console.print(
            f"a face and its mirror image: cosine {data['paired_similarity']:.3f} "
            "(says nothing about recognition)"
        )
    for entry in data["refused_images"]:
        norm = entry["squared_norm"]
        value = "not a number" if norm is None or not math.isfinite(norm) else f"{norm:.4g}"
        console.print(f"refused: {entry['image']}: squared norm {value}", markup=False)
    if set(modes) != {"cleartext"}:
        console.print(
            "scores are inner products and, with a polynomial, may exceed 1; thresholds are cosines"
        )
    for mode, facts in modes.items():
        console.print(f"{mode}: {facts['verdict']['reason']}")
    console.print(data["decision"], markup=False)
