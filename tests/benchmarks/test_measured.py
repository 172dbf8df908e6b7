"""The numbers in the pages are those of one measurement, which names its machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import measured
from fhe_face.bench import machine


def numbers() -> dict[str, Any]:
    found = json.loads(measured.MEASURED.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", sorted(measured.PAGES))
def test_pages_have_the_measured_numbers(repository: Path, name: str) -> None:
    page = (repository / name).read_text(encoding="utf-8")
    assert measured.block(page) == measured.PAGES[name](numbers())


def test_they_name_the_cpu_and_no_path() -> None:
    found = numbers()
    assert found["machine"]["cpu"]
    assert found["machine"]["cpu"] in measured.few(found)
    assert "/" not in json.dumps(found["machine"]) + json.dumps(found["demo"])


def test_what_is_kept_of_an_answer() -> None:
    demo = {name: 1.0 for name in measured.DEMO} | {"weights": "/home/somebody/w.ckpt"}
    targets = {name: 2 for name in measured.TARGETS} | {"passed": True}
    found = measured.kept(demo, targets, machine.facts(2), "2026-01-02")
    assert "somebody" not in json.dumps(found)
    assert found["targets"].keys() == set(measured.TARGETS)
    assert measured.kept(demo, None, machine.facts(2), "2026-01-02")["targets"] is None


def test_what_is_kept_of_a_gallery() -> None:
    names = (*measured.GALLERY, *measured.MACHINE)
    answer: dict[str, Any] = {name: 1.0 for name in names} | {"secret": "x"}
    answer |= {
        "commit": "abc",
        "cpu": "a CPU",
        "threads": 2,
        "templates": 5,
        "search_seconds_1m": None,
    }
    found = measured.kept_gallery(answer, "2026-01-02")
    assert "secret" not in json.dumps(found)
    page = measured.gallery({"gallery": found})
    assert "a CPU, 2 threads; 5 templates, both sides encrypted; 2026-01-02" in page
    assert "| - | `search_seconds_1m` |" in page
    results = measured.search({"gallery": found})
    assert "| 1.2 s | - | not measured |" in results
    assert "| templates per second | 300,000 | 1,000,000 | 1 | FAIL |" in results
    assert "| 600 ms | 250 ms | 1.0 s | FAIL |" in results
    assert "| 16 B | 8 B | 1 B | PASS, aim reached |" in results


def test_only_the_gallery_can_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = numbers()
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(measured, "write", written.append)
    answer = tmp_path / "gallery.json"
    facts = {**before["gallery"], **before["gallery"]["machine"], "threads": 77}
    answer.write_text(json.dumps(facts), encoding="utf-8")
    arguments = ["measured", "--only-gallery", "--gallery", str(answer)]
    monkeypatch.setattr(sys, "argv", arguments)
    measured.main()
    (found,) = written
    assert found["gallery"]["threads"] == 77
    assert {**found, "gallery": None} == {**before, "gallery": None}


def test_what_another_command_measured_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = numbers()
    written: list[dict[str, Any]] = []
    monkeypatch.setattr(measured, "write", written.append)
    arguments = ["measured"]
    for name in ("demo", "targets", "gallery"):
        answer = tmp_path / f"{name}.json"
        facts = before[name] | before["gallery"]["machine"] | {"threads": 77}
        answer.write_text(json.dumps(facts), encoding="utf-8")
        arguments += [f"--{name}", str(answer)]
    monkeypatch.setattr(sys, "argv", arguments)
    measured.main()
    (found,) = written
    assert found["demo"]["threads"] == 77
    assert found["cluster"] == before["cluster"]


def test_only_between_the_marks() -> None:
    page = "a\n<!-- measured: begin (x) -->\nold\n<!-- measured: end -->\nb\n"
    assert measured.with_block(page, r"\1 new" + "\n") == page.replace("old", r"\1 new")
    with pytest.raises(ValueError, match="without the marks"):
        measured.with_block("a page", "new")


def test_an_error_is_not_written_down(tmp_path: Path, repository: Path) -> None:
    before = measured.MEASURED.read_bytes()
    answer = tmp_path / "demo.json"
    answer.write_text('{"error": "no result: face 1"}', encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.measured", "--demo", str(answer), "--no-targets"]
    process = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert "no result: face 1" in process.stderr
    assert measured.MEASURED.read_bytes() == before
