"""``fhe-face bench``: JSON that names the machine, tables for people, one-line errors."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fhe_core.parameters import presets
from fhe_face.bench import machine, openfhe_process, operations, roofline, targets
from fhe_face.bench.commands import batch as bench_batch
from fhe_face.bench.commands import targets as bench_targets
from fhe_face.bench.openfhe_process import OpenFhe
from fhe_face.bench.subject import Subject
from fhe_face.places import Packing
from tests.core import tiny
from tests.face.bench.bench_kit import HereServer
from tests.face.kit import Run

MACHINE = {"cpu", "instruction_set", "threads", "version", "commit", "load_average", "processors"}
WITH_PARAMETERS = MACHINE | {"parameters", "parameters_digest"}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, subject: Subject, server: HereServer) -> HereServer:
    """The commands, on the small subject."""
    monkeypatch.setattr(Subject, "load", lambda *_, **_options: subject)
    monkeypatch.setattr(targets, "_COPY_BYTES", targets.GIB >> 8)
    for command in (bench_batch, bench_targets):
        monkeypatch.setattr(command, "run_job", server)
    return server


def test_profile(fhe_face: Run, small: HereServer, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "steps.svg"
    answer = fhe_face(
        *("bench", "profile", "--weights", "w", "--threads", 1, "--plot", plot, "--json")
    ).json()
    assert answer.keys() >= WITH_PARAMETERS | {"steps", "totals", "wall_seconds", "cpu_seconds"}
    assert answer["parameters"]["log2_qp"] > 0
    assert answer["parameters_digest"] == small.subject.engine.parameters.digest
    assert b"<svg" in plot.read_bytes()
    shown = fhe_face("bench", "profile", "--weights", "w", "--threads", 1)
    assert shown.status == 0
    for text in ("final square", "total of", "estimate", "Face 1: cosine", "digest"):
        assert text in shown.out, text


def test_modes(fhe_face: Run, small: HereServer) -> None:
    answer = fhe_face("bench", "modes", "--weights", "w", "--threads", 2, "--json").json()
    assert answer.keys() >= WITH_PARAMETERS | {"modes", "agreement"}
    for row in answer["modes"]:
        assert row.keys() >= {"mode", "threads", "seconds", "speedup"}
    assert [row["mode"] for row in answer["modes"]] == [
        *("sequential", "parallel", "packed", "packed")
    ]
    shown = fhe_face("bench", "modes", "--weights", "w", "--threads", 1)
    assert "gave the same ciphertexts, bit for bit" in shown.out


def test_targets(fhe_face: Run, small: HereServer, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("bench", "targets", "--weights", "w", "--batch", 2, "--repeat", 1, "--rounds", 1)
    answer = fhe_face(*arguments, "--threads", 1, "--json").json()
    assert answer.keys() >= WITH_PARAMETERS | {"targets", "passed", "ratio_memcpy"}
    assert all(not Path(job.evaluation_key).exists() for job in small.jobs)  # nothing is left
    fine = OpenFhe("", {"levels": {"14": {"rotation": 9.0}}, "library": "OpenFHE 0"})
    monkeypatch.setattr(openfhe_process, "measure", lambda *_: fine)
    shown = fhe_face(*arguments, "--threads", 1).out
    for text in (
        "PASS",
        "must",
        "aim",
        "per face (2 faces)",
        "OpenFHE takes",
        "GiB in memory",
        "bound",
    ):
        assert text in shown, text
    failing = [{**row, "passed": False} for row in answer["targets"]]
    monkeypatch.setattr(targets, "judge", lambda *_: failing)
    shown = fhe_face(*arguments, "--threads", 1).out
    assert "FAIL" in shown
    assert "PASS" not in shown


def test_batch(fhe_face: Run, small: HereServer, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "curve.png"
    arguments = ("bench", "batch", "--weights", "w", "--sizes", "2,1", "--threads", 1)
    answer = fhe_face(*arguments, "--plot", plot, "--json").json()
    assert answer.keys() >= WITH_PARAMETERS
    assert [row["size"] for row in answer["batches"]] == [1, 2]
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "faces per hour" in fhe_face(*arguments).out


@pytest.mark.parametrize("sizes", ["", "a", "1,,2", "0,1", "-1", "1,100001"])
def test_sizes_that_are_none(fhe_face: Run, small: HereServer, sizes: str) -> None:
    refused = fhe_face("bench", "batch", "--weights", "w", f"--sizes={sizes}").refused(2)
    assert "must be numbers as in 1,2,4,8" in refused


def test_plots_are_checked_first(fhe_face: Run, small: HereServer, tmp_path: Path) -> None:
    for command in ("profile", "batch"):
        refused = fhe_face("bench", command, "--weights", "w", "--plot", tmp_path / "x.txt")
        assert "must be one of .png" in refused.refused(2)
        missing = tmp_path / "missing" / "x.png"
        refused = fhe_face("bench", command, "--weights", "w", "--plot", missing)
        assert "there is no folder" in refused.refused()
    assert not small.jobs


def test_kernels(fhe_face: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    measure: Callable[..., Any] = roofline.measure
    monkeypatch.setattr(roofline, "measure", lambda **given: measure(1024, 1, 1 << 22))
    answer = fhe_face("bench", "kernels", "--json").json()
    assert answer.keys() >= MACHINE | {"kernels", "peak_products_per_second"}
    shown = fhe_face("bench", "kernels").out
    for text in ("ntt_forward", "weighted_sum", "bound", "Copy bandwidth"):
        assert text in shown, text


def test_operations(fhe_face: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "load", lambda _: tiny.load(tiny.TINY.name))
    arguments = ("bench", "operations", "--rounds", 1)
    answer = fhe_face(*arguments, "--json").json()
    assert answer.keys() >= WITH_PARAMETERS | {"operations", "openfhe"}
    assert answer["openfhe"]["available"] is False
    assert answer["operations"][0]["operation"] == operations.COPY
    shown = fhe_face(*arguments).out
    assert "No comparison with OpenFHE: " in shown
    assert "OpenFHE / ours" not in shown
    fine = OpenFhe("", {"levels": {"17": {"rotation": 9.0}}, "library": "OpenFHE 0"})
    monkeypatch.setattr(openfhe_process, "measure", lambda *_: fine)
    shown = fhe_face(*arguments).out
    assert "OpenFHE / ours" in shown
    assert "9000.0 ms" in shown


@pytest.mark.parametrize("command", [("operations",), ("targets", "--weights", "w")])
@pytest.mark.parametrize("python", ["/missing", sys.executable])
def test_an_interpreter_without_openfhe_is_refused_at_once(
    fhe_face: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], python: str
) -> None:
    monkeypatch.setattr(operations, "measure", None)
    if python == sys.executable and importlib.util.find_spec("openfhe"):
        pytest.skip("this Python has openfhe")
    refused = fhe_face("bench", *command, "--openfhe-python", python).refused(2)
    assert f"--openfhe-python is '{python}'" in refused


@pytest.mark.parametrize(
    "asked",
    [
        "kernels --rounds",
        "operations --rounds",
        "gallery --rounds",
        "profile --repeat",
        "targets --batch",
    ],
)
def test_no_measurement_goes_on_for_ever(asked: str, fhe_face: Run) -> None:
    assert "less than or equal to 10000" in fhe_face("bench", *asked.split(), 10**20).refused(2)


def test_weights_that_are_missing(fhe_face: Run, tmp_path: Path) -> None:
    for command in ("profile", "modes", "targets", "batch"):
        weights = tmp_path / "missing.safetensors"
        assert "missing.safetensors" in fhe_face("bench", command, "--weights", weights).refused()


def test_the_subject_of_a_weights_file(checkpoint: Path) -> None:
    """The real loader, without the minutes of a real run."""
    pytest.importorskip("torch")
    loaded = Subject.load(checkpoint)
    assert loaded.weights == str(checkpoint)
    assert loaded.images.shape == (2, 3, 64, 64)
    assert loaded.engine.packings == tuple(Packing)
    assert loaded.expected.shape == (2, 256)
    assert loaded.healthy == [True, True]


def test_the_commit_is_that_of_this_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    found = machine.commit()
    assert found is None or len(found.removesuffix("+changes")) == 40
    monkeypatch.setenv("PATH", "/missing")
    assert machine.commit() is None
    assert machine.cpu_model()


def test_processors_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Virtual machines name two generations alike."""
    told = "processor\t: 0\ncpu family\t: 25\nmodel\t: 17\nmodel name\t: AMD EPYC\n\nx: 1\n"
    monkeypatch.setattr(Path, "read_text", lambda _path, **_how: told)
    assert machine.cpu_model() == "AMD EPYC (family 25, model 17)"
    monkeypatch.setattr(Path, "read_text", lambda _path, **_how: "model name\t: Somebody's\n")
    assert machine.cpu_model() == "Somebody's"
