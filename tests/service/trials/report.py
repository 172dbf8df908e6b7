"""What a load has shown, for people: a table and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fhe_face.coeffs.figures import figure_class, save
from fhe_face.failures import UsageError


def percentiles(took: list[float]) -> dict[str, float]:
    p50, p95, most = np.percentile(took, (50, 95, 100))
    return {
        "count": len(took),
        **{k: round(float(v), 4) for k, v in (("p50", p50), ("p95", p95), ("max", most))},
    }


def settled(values: list[int]) -> tuple[int, int]:
    """The most memory in the second and in the last third of the time."""
    third = max(1, len(values) // 3)
    return max(values[third : 2 * third]), max(values[-third:])


def table(report: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{'':18}{'count':>8}{'p50 s':>9}{'p95 s':>9}{'max s':>9}"]
    for what, one in report["latency"].items():
        lines.append(
            f"{what:18}{one['count']:8}{one['p50']:9.3f}{one['p95']:9.3f}{one['max']:9.3f}"
        )
    lines.append(f"\n{'memory':18}{'2nd third':>14}{'last third':>14}")
    for name, values in report["memory"].items():
        before, after = settled(values)
        lines.append(f"{name:18}{before / 1e6:11.0f} MB{after / 1e6:11.0f} MB")
    ended = {k: v for k, v in report["counts"].items() if k.startswith(("jobs", "later"))}
    return "\n".join([*lines, "", f"{ended}, {len(report['errors'])} errors", *report["errors"]])


def draw(report: dict[str, Any], path: Path) -> None:
    """Memory over time."""
    figure = figure_class(path, UsageError)(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in report["memory"].items():
        axes.plot(report["times"][: len(values)], np.array(values) / 1e6, label=name)
    axes.set(xlabel="seconds", ylabel="memory, MB", ylim=(0, None))
    axes.set_title(report["title"])
    axes.legend()
    save(figure, path)
