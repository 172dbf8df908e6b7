"""``fhe-face bench gallery``: every promised number, from where it says; verdicts that can fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core.matching import MatchPlan, gallery_parameters
from fhe_face.bench import gallery
from fhe_face.bench.commands import gallery as command
from fhe_face.bench.gallery import GOALS, judge, needed_bytes
from fhe_face.bench.gallery_rig import GalleryRig
from fhe_face.progress import silent
from tests.core import tiny
from tests.face.kit import Run

PROMISED = {goal.field for goal in GOALS} | {"ratio_memcpy", "ratio_cost_model"}
FIGURES = {"search_seconds_100k": 70, "search_seconds_1m": 1000}


@pytest.fixture(autouse=True)
def small_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "_COPY_BYTES", 1 << 12)


def measure(folder: Path, **changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"templates": 150, "threads": 2, "rounds": 2, "sizes": FIGURES}
    return gallery.measure(tiny.gallery(), folder, stage=silent, **{**options, **changes})


def test_every_promised_number(tmp_path: Path) -> None:
    data = measure(tmp_path)
    assert data.keys() >= PROMISED
    assert data["blocks"] == 3  # of 64 places
    assert data["search_seconds_1m"] is None
    assert 0 < data["probe_seconds"] < data["search_seconds_100k"]
    assert data["templates_per_second"] == pytest.approx(150 / data["answer_seconds"])
    assert data["memory_bytes_per_template"] == 2 * 6 * 16
    assert data["disk_bytes_per_template"] == (tmp_path / "block").stat().st_size / 64
    assert data["gallery_key_bytes"] == (tmp_path / "gallery.evaluation.key").stat().st_size
    assert data["result_bytes_per_score"] == (tmp_path / "scores").stat().st_size / (3 * 64)
    assert data["scores_compared"] == 2 * 64
    assert data["score_error_deviation"] < data["largest_score_error"] < 5e-4
    assert data["ratio_memcpy"] > 0
    assert [row["passed"] for row in data["goals"]].count(None) == 1


def test_blocks_have_memory_of_their_own_and_end_where_the_templates_end(tmp_path: Path) -> None:
    rig = GalleryRig.prepare(tiny.gallery(), tmp_path, 1, silent)
    blocks = rig.load(130, silent)
    assert len({digest for digest, *_ in blocks}) == 3
    assert len({id(loaded.memory) for _, loaded, _ in blocks}) == 3
    assert [int(live.sum()) for *_, live in blocks] == [64, 64, 2]


def test_errors_are_those_of_the_scores(tmp_path: Path) -> None:
    """Against other templates than were sealed they are as large as scores."""
    rig = GalleryRig.prepare(tiny.gallery(), tmp_path, 1, silent)
    (block,) = rig.load(64, silent)
    assert np.max(np.abs(rig.errors(block, 2))) < 5e-4
    rig.templates = rig.templates[::-1]
    assert np.max(np.abs(rig.errors(block, 2))) > 0.1


def test_goals_are_those_that_were_promised_and_can_fail() -> None:
    met = {goal.field: goal.must for goal in GOALS}
    assert all(row["passed"] for row in judge(met))
    assert not any(row["aim_reached"] for row in judge(met))
    for goal in GOALS:
        worse = goal.must * (0.99 if goal.least else 1.01)
        rows = {row["field"]: row["passed"] for row in judge({**met, goal.field: worse})}
        assert [field for field, passed in rows.items() if not passed] == [goal.field]
    table = {goal.field: (goal.must, goal.aim) for goal in GOALS}
    assert table == {
        "templates_per_second": (300_000, 1_000_000),
        "search_seconds_100k": (0.6, 0.25),
        "search_seconds_1m": (4, 1.2),
        "probe_seconds": (0.15, 0.06),
        "memory_bytes_per_template": (4200, 3300),
        "disk_bytes_per_template": (3300, 1700),
        "result_bytes_per_score": (16, 8),
        "gallery_key_bytes": (10e6, 4e6),
        "largest_score_error": (1e-3, 2e-4),
    }


def test_memory_for_a_million() -> None:
    p = gallery_parameters()
    needed = needed_bytes(p, 1_000_000, 2)
    blocks = 123 * MatchPlan(p).block_memory_bytes
    assert blocks < needed < blocks + (1 << 30)


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "gallery_parameters", tiny.gallery)


def test_command(fhe_face: Run, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("bench", "gallery", "--templates", 100, "--rounds", 1, "--threads", 1)
    answer = fhe_face(*arguments, "--json").json()
    assert answer.keys() >= PROMISED | {"cpu", "threads", "load_average", "parameters", "goals"}
    assert answer["match_parameters_digest"] == tiny.gallery().digest
    shown = fhe_face(*arguments).out
    for text in ("100 templates", "2 blocks", "PASS", "not measured", "a copy of their bytes"):
        assert text in shown, text
    failing = [{**row, "passed": False} for row in answer["goals"]]
    monkeypatch.setattr(gallery, "judge", lambda _: failing)
    shown = fhe_face(*arguments).out
    assert "FAIL" in shown
    assert "PASS" not in shown


def test_too_little_memory(fhe_face: Run, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    p = tiny.gallery()
    enough = needed_bytes(p, 100, 1)
    monkeypatch.setattr(command, "available_memory_bytes", lambda: enough)
    arguments = ("bench", "gallery", "--rounds", 1, "--threads", 1)
    refused = fhe_face(*arguments, "--templates", 10_000).refused()
    assert "10,000 templates need" in refused
    assert "choose fewer with --templates" in refused
    assert fhe_face(*arguments, "--templates", 100).status == 0
    # The default takes what fits, and says so.
    monkeypatch.setattr(command, "_DEFAULTS", (10_000, 100))
    shown = fhe_face(*arguments)
    assert "too little memory for 10,000" in shown.err
    assert "100 templates" in shown.out
    assert "100 templates need" not in shown.err
    assert fhe_face(*arguments, "--templates", 0).refused(2)
