"""Pictures of measurements show what was measured, in the order of the text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhe_core.analysis.cost import StepCost, Work
from fhe_face.bench import plots
from fhe_face.bench.batches import Throughput
from fhe_face.bench.step_profile import MeasuredStep, Profile

pytest.importorskip("matplotlib")


@pytest.fixture
def axes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of the figure that would be saved."""
    found: list[Any] = []
    monkeypatch.setattr(plots, "save", lambda figure, _: found.extend(figure.axes))
    return found


def test_batches_are_points_at_their_sizes(axes: list[Any]) -> None:
    sizes = (2, 32, 64)
    plots.draw_batches([Throughput(size, 80.0, 11 << 30, {}) for size in sizes], Path("a.png"))
    assert len(axes) == 2
    for one in axes:
        (line,) = one.lines
        assert line.get_linestyle() == "None"
        assert one.get_xscale() == "log"
        assert [text.get_text() for text in one.get_xticklabels()] == ["2", "32", "64"]
        bottom, top = one.get_ylim()
        assert bottom == 0
        assert top > max(line.get_ydata())


def test_bars_stand_in_the_order_of_the_legend(axes: list[Any]) -> None:
    steps = tuple(
        MeasuredStep(StepCost(name, "linear", 3, 2, 39.5, Work(), 1.0), 2.0, 4.0) for name in "abc"
    )
    plots.draw_profile(Profile(steps, 6.0, 12.0, 1, {"plan": "p"}), Path("a.png"))
    (one,) = axes
    measured, estimated = one.containers
    assert [text.get_text() for text in one.get_legend().get_texts()] == ["measured", "estimated"]
    bottom, top = one.get_ylim()
    assert bottom > top  # downwards
    for first, second in zip(measured, estimated, strict=True):
        assert first.get_y() < second.get_y()
    empty = min(measured[0].get_y() - top, bottom - estimated[-1].get_y() - 0.4)
    assert 0 <= empty < 0.5
