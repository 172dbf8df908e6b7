"""``fhe-face weights bound`` on a handful of drawings: files, report, interruption."""

from __future__ import annotations

import inspect
import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fhe_face.commands import bounding as command
from fhe_face.commands import weights_bound
from fhe_face.models.calibration import images
from fhe_face.models.checkpoint import load, save_safetensors
from fhe_face.models.synthetic import untrained
from fhe_face.models.training.bounding import Options
from fhe_face.models.training.people import People
from fhe_face.output import Output
from tests.face.kit import Run

SMALL = ("--batch", "4", "--stress", "10", "--hunts", "2", "--hunt-steps", "1", "--threads", "1")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    drawn = images(np.random.default_rng(3), 30, 80)
    np.save(folder / "faces.npy", np.clip(drawn, 0, 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    for person, base in enumerate(images(np.random.default_rng(1), 2, 64)):
        (root / f"person{person}").mkdir()
        for number in range(2):
            shaded = np.clip(base * (1 - 0.1 * number), 0, 255).astype(np.uint8)
            Image.fromarray(shaded).save(root / f"person{person}" / f"{number}.png")
    return root


def test_a_run_in_two_parts_and_its_report(
    fhe_face: Run, faces: Path, photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    out, plot = tmp_path / "bounded.safetensors", tmp_path / "curves.png"
    given = (
        "weights", "bound", "bundled", "-o", out, "--faces", faces, "--photos", photos, "--aligned",
        "--steps", "5", *SMALL, "--json",
    )  # fmt: skip
    result = fhe_face(*given, "--minutes", "0")
    assert result.status == 0, result.err
    first = result.json()
    assert (first["finished"], first["steps_done"], first["steps"]) == (False, 1, 5)
    assert "stopped after step 1 of 5" in result.err
    assert not out.exists()
    assert Path(first["weights"]).exists()

    result = fhe_face(*given, "--plot", plot)
    assert result.status == 0, result.err
    answer = result.json()
    assert "measuring the given weights" not in result.err
    assert (answer["finished"], answer["steps_done"]) == (True, 5)
    assert answer["before"] == first["before"]
    assert [check["step"] for check in answer["checks"]] == [0, 1, 2, 4, 5]
    for part in ("before", "after"):
        found = answer[part]
        assert found["stress"]["images"] == 10
        assert found["hunted: activations"]["images"] == 2
        assert found["faces"]["squared_norms"]["median"] > 0
        assert found["quality"]["refused"] + found["quality"]["evaluated"] == 4
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "bounded.safetensors.run" / "report.json").read_text()) == answer

    bounded = load(out)
    assert bounded.sha256 == answer["weights_sha256"]
    assert bounded.manifest is not None
    assert bounded.manifest.thresholds is None
    assert bounded.manifest.training["bounded"]["steps"] == 5
    assert bounded.tensors_sha256 != answer["given_tensors_sha256"]
    assert "exists already (--force replaces it)" in fhe_face(*given).refused()

    # Nothing is left to train; this time for people.
    result = fhe_face(*given[:-1], "--force")
    assert result.status == 0, result.err
    assert "5 of 5" in result.out
    assert "stress images" in result.out
    assert "Thresholds are not taken over" in result.out
    assert load(out).sha256 == bounded.sha256


def test_other_photos_are_measured_before_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as before in the same folder, aligned or not: what they show counts."""
    measured: list[People] = []

    def standing(*given: Any, **_: Any) -> dict[str, Any]:
        measured.append(given[2])
        return {"number": len(measured)}

    monkeypatch.setattr(weights_bound, "_standing", standing)
    bounding: Any = SimpleNamespace(
        options=SimpleNamespace(stress=10), given=None, check=lambda network: {}
    )
    request: Any = SimpleNamespace(folder=tmp_path, photos=tmp_path, hunts=2, hunt_steps=1)
    crops = images(np.random.default_rng(1), 4, 64)
    one, two = (People(crops[[0, 1, 2, last]], np.array([0, 0, 1, 1])) for last in (3, 0))
    for people, number in ((one, 1), (one, 1), (two, 2), (two, 2)):
        before = weights_bound._before(request, bounding, people, Output(True))
        assert before["standing"] == {"number": number}
    assert measured == [one, two]
    (tmp_path / "before.json").write_text("[")
    again = weights_bound._before(request, bounding, two, Output(True))
    assert again["standing"] == {"number": 3}


def test_defaults_are_those_of_the_run() -> None:
    """The command line says them without torch."""
    given = inspect.signature(command.bound).parameters
    for name in ("steps", "batch", "seed", "device", "compiled", "half", "check_every", "stress"):
        assert given[name].default == getattr(Options(), name), name


def test_termination_saves_and_writes_no_weights(faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.safetensors"
    given = ["weights", "bound", "bundled", "-o", str(out), "--faces", str(faces), *SMALL]
    command = [sys.executable, "-m", "fhe_face.cli", *given, "--check-every", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("step "))
        process.send_signal(signal.SIGTERM)
        errors = process.stderr.read()
        status = process.wait()
    assert status == 143
    step = int(errors.split("stopped after step ")[1].split()[0])
    log = tmp_path / "b.safetensors.run" / "stage-1" / "log.jsonl"
    assert len(log.read_text().splitlines()) == step
    assert not out.exists()


def test_what_cannot_work_is_one_line(fhe_face: Run, faces: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.safetensors"

    def refused(*options: object, status: int = 1, target: Path = out) -> str:
        given = ("weights", "bound", "bundled", "-o", target, *SMALL, *options)
        return fhe_face(*given).refused(status)

    assert "must end in .safetensors" in refused(status=2, target=tmp_path / "b.ckpt")
    assert "no generated faces" in refused("--faces", tmp_path)
    assert "device 'abacus'" in refused("--faces", faces, "--device", "abacus")
    assert "one step takes 64" in refused("--faces", faces, "--batch", "64")
    assert not out.with_name("b.safetensors.run").exists()
    wide = tmp_path / "96.safetensors"
    save_safetensors(untrained(1, 96), wide)
    result = fhe_face("weights", "bound", wide, "-o", out, *SMALL)
    assert "96 pixels; those for 64 can" in result.refused()
    assert not out.exists()
