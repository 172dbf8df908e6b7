"""A service under load over HTTP for seconds; ten minutes by hand (`load.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.extent import LONG
from tests.service.trials.load import PROCESSES, run
from tests.service.trials.report import settled

SECONDS = 30.0 if LONG else 12.0


@pytest.mark.slow
@pytest.mark.alone
def test_seconds_of_load(tmp_path: Path, url: str | None) -> None:
    report = run(tmp_path / "place", SECONDS, url)
    assert report["errors"] == []
    assert report["lanes died"] == 0
    assert report["counts"]["jobs done"] > 5
    assert set(report["counts"]) & {"jobs failed", "jobs cancelled"} == set()
    assert report["latency"]["search"]["count"] > 30
    assert report["latency"]["search"]["p95"] < 1.0
    for name in PROCESSES:
        before, after = settled(report["memory"][name])
        assert after < 1.2 * before + (50 << 20), name
