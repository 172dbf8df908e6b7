"""``fhe-face precision``: JSON, a table, warnings and refusals, on a small network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fhe_face.bench.subject import Subject
from fhe_face.commands import face_options
from fhe_face.precision import command as command
from fhe_face.precision.runs import Work, work_of
from tests.face.bench.bench_kit import tiny_subject
from tests.face.kit import Run


@pytest.fixture(scope="module")
def subject() -> Subject:
    return tiny_subject()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, subject: Subject) -> Subject:
    """The command, on the small network, whatever the weights are called."""
    monkeypatch.setattr(face_options, "Aligner", lambda _: None)
    monkeypatch.setattr(command, "load", lambda path: SimpleNamespace(path=path))
    monkeypatch.setattr(command, "network_of", lambda _: subject.network)
    monkeypatch.setattr(command, "recommended_normalisation", lambda _: None)
    monkeypatch.setattr(
        command, "choose_engine", lambda *given, **_: subject.engine.only(given[-1])
    )
    return subject


def test_encrypted(fhe_face: Run, small: Subject, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    answer = fhe_face("precision", "--weights", "w", "--threads", 1, "--table", table, "--json")
    data = answer.json()
    assert data["source"] == "encrypted"
    assert data["runs"] == ["drawn face 1", "drawn face 2"]
    assert data["smallest_headroom"]["bits"] > 0
    assert data["largest_ratio"]["ratio"] < data["model_factor"]
    assert {"predicted_bits", "measured_bits", "headroom_bits"} <= data["layers"][0].keys()
    assert len(table.read_text().splitlines()) == len(data["layers"]) + 1
    assert answer.err == ""


def test_simulated_for_given_images(
    fhe_face: Run, small: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = {f"face{number}.npy": image for number, image in enumerate(small.images)}

    def prepare(path: Path, *_: object, **_options: object) -> SimpleNamespace:
        return SimpleNamespace(unit=units[path.name], warnings=("is dark",))

    monkeypatch.setattr(face_options, "prepare", prepare)  # takes no faces as small as these
    files = list(units)
    shown = fhe_face("precision", *files, "--weights", "w", "--simulate")
    assert shown.status == 0
    assert "warning: face1.npy: is dark" in shown.err
    for text in ("simulated", "stem", "Smallest margin before an overflow", "face0.npy, face1.npy"):
        assert text in shown.out, text
    answer = fhe_face("precision", *files, "--weights", "w", "--simulate", "--batch", "--json")
    assert answer.json()["source"] == "simulated"
    assert answer.json()["runs"] == ["batch 1"]


def test_refusals(fhe_face: Run, small: Subject, tmp_path: Path) -> None:
    assert "choose one" in fhe_face("precision", "--flip", "--batch").refused(2)
    assert "must be one of .md" in fhe_face("precision", "--table", tmp_path / "t.txt").refused(2)
    assert "must be one of .png" in fhe_face("precision", "--plot", tmp_path / "t.txt").refused(2)
    assert "there is no folder" in fhe_face("precision", "--table", tmp_path / "a/t.md").refused()
    missing = fhe_face("precision", tmp_path / "missing.png", "--simulate").refused()
    assert "missing.png: no such file" in missing


def test_weights_that_are_missing(fhe_face: Run, tmp_path: Path) -> None:
    weights = tmp_path / "missing.safetensors"
    assert "missing.safetensors" in fhe_face("precision", "--weights", weights).refused()


def test_interruption_leaves_nothing(
    fhe_face: Run, small: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "report", interrupted)
    table = tmp_path / "t.md"
    assert fhe_face("precision", "--simulate", "--table", table).refused(130) == "interrupted"
    assert not list(tmp_path.iterdir())


def test_warnings(fhe_face: Run, small: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def huge(*given: Any) -> Work:
        work = work_of(*given)
        return replace(work, inputs=[[1e3 * row for row in rows] for rows in work.inputs])

    monkeypatch.setattr(command, "work_of", huge)
    shown = fhe_face("precision", "--weights", "w", "--threads", 1)
    assert "may wrap around" in shown.err
    assert "less precise than predicted" in shown.err
