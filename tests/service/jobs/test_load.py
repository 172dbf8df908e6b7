"""A service under load for half a minute; ten minutes by hand (`load.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.jobs.load import run


@pytest.mark.slow
def test_half_a_minute_of_load(tmp_path: Path, url: str | None) -> None:
    report = run(tmp_path, 30.0, url)
    assert report["errors"] == []
    assert report["lanes died"] == 0
    assert report["done"] > 10
    assert report.get("failed", 0) == 0
    assert report["search"]["count"] > 100
    assert report["search"]["p95"] < 1.0
    for name in ("worker", "lane 1", "lane 2"):
        before, after = report[name]
        assert after < 1.2 * before + (50 << 20), name
