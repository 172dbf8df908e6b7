"""A service under load over HTTP for half a minute; ten minutes by hand (`load.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.trials.load import PROCESSES, run
from tests.service.trials.report import settled


@pytest.mark.slow
def test_half_a_minute_of_load(tmp_path: Path, url: str | None) -> None:
    report = run(tmp_path / "place", 30.0, url)
    assert report["errors"] == []
    assert report["lanes died"] == 0
    assert report["counts"]["jobs done"] > 5
    assert set(report["counts"]) & {"jobs failed", "jobs cancelled"} == set()
    assert report["latency"]["search"]["count"] > 30
    assert report["latency"]["search"]["p95"] < 1.0
    for name in PROCESSES:
        before, after = settled(report["memory"][name])
        assert after < 1.2 * before + (50 << 20), name
