"""``fhe-face train`` and ``finetune`` on a handful of tiny drawings."""

from __future__ import annotations

import json
import pickle  # only to write a test file
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from fhe_face.models.calibration import images
from fhe_face.models.checkpoint import load
from tests.face.kit import Run

SMALL = ("--aligned", "--epochs", "1", "--held-out", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    draw = np.random.default_rng(1)
    for person, base in enumerate(images(draw, 5, 64)):
        (root / f"person{person}").mkdir()
        for number in range(3):
            noisy = np.clip(base + draw.normal(scale=8, size=base.shape), 0, 255)
            picture = Image.fromarray(noisy.astype(np.uint8))
            picture.save(root / f"person{person}" / f"{number}.png")
    return root


def test_train_then_finetune(fhe_face: Run, folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first, second, plot = tmp_path / "first", tmp_path / "second", tmp_path / "curves.png"
    given = ("train", folder, "--out", first, *SMALL, "--batch", "4", "--plot", plot, "--json")
    result = fhe_face(*given)
    assert result.status == 0, result.err
    answer = json.loads(result.out)
    assert (answer["people"], answer["images"], answer["steps"]) == (3, 9, 2)
    assert 0 <= answer["held_out_rank1"] <= 1
    assert (answer["held_out_probes"], answer["held_out_chance"]) == (4, 0.5)
    assert load(first / "weights.safetensors").sha256 == answer["weights_sha256"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert len((first / "log.jsonl").read_text().splitlines()) == 2

    # The same command again has nothing left to do, and says the same.
    again = json.loads(fhe_face(*given).out)
    assert again["last"] == answer["last"]

    weights = first / "weights.safetensors"
    more = ("--people", "2", "--images", "2", "--json")
    result = fhe_face("finetune", folder, "--weights", weights, "--out", second, *SMALL, *more)
    assert result.status == 0, result.err
    answer = json.loads(result.out)
    assert (answer["people"], answer["steps"], answer["plan"]["bounded_from"]) == (3, 1, 0.0)
    tuned, before = load(second / "weights.safetensors").state, load(weights).state
    assert np.array_equal(tuned["bn.running_mean"], before["bn.running_mean"])
    assert not np.array_equal(tuned["linear.weight"], before["linear.weight"])


def test_usual_options_suit_a_small_folder(fhe_face: Run, folder: Path, tmp_path: Path) -> None:
    result = fhe_face("finetune", folder, "--out", tmp_path, "--aligned", "--epochs", "1", "--json")
    assert result.status == 0, result.err
    answer = result.json()
    assert (answer["people"], answer["held_out_people"]) == (3, 2)
    assert 0 <= answer["held_out_rank1_before"] <= 1
    assert "before: held-out people rank-1" in result.err


def test_what_makes_it_worse_is_not_written(fhe_face: Run, folder: Path, tmp_path: Path) -> None:
    """A rate that destroys the network: an error with all numbers, a log and a plot, no weights."""
    pytest.importorskip("matplotlib")
    out, plot = tmp_path / "run", tmp_path / "curves.png"
    given = (
        "finetune", folder, "--out", out, *SMALL, "--people", "2", "--images", "2",
        "--losses", "arcface", "--temperature", "0.2", "--rate", "0.5", "--plot", plot, "--json",
    )  # fmt: skip
    result = fhe_face(*given)
    assert result.status == 1
    answer = json.loads(result.out)
    assert "made it worse for people who were not trained on" in answer["error"]
    assert answer["held_out_rank1_before"] == 1.0
    assert (answer["held_out_rank1"], -answer["held_out_eer"]) < (
        1.0,
        -answer["held_out_eer_before"],
    )
    assert (answer["weights"], answer["plan"]["temperature"]) == (None, 0.2)
    assert "rank1_head" in answer["last"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert not (out / "weights.safetensors").exists()
    assert len((out / "log.jsonl").read_text().splitlines()) == 1

    result = fhe_face(*given, "--allow-worse")
    assert result.status == 0, result.err
    assert load(out / "weights.safetensors").sha256 == json.loads(result.out)["weights_sha256"]


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_the_step_and_saves(
    folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Seen in a process of its own, between two saves (every 50 steps)."""
    given = ["train", str(folder), "--out", str(tmp_path), "--aligned", "--epochs", "400"]
    command = [sys.executable, "-m", "fhe_face.cli", *given, "--batch", "4", "--held-out", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        seen = next(line for line in process.stderr if line.startswith("step "))
        process.send_signal(number)
        errors = process.stderr.read()
        status = process.wait()
    assert status == (130 if number == signal.SIGINT else 143)
    assert "stopped after step" in errors
    step = int(errors.split("stopped after step ")[1].split()[0])
    assert step >= int(seen.split()[1].rstrip(":"))
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == step
    with safe_open(tmp_path / "state.safetensors", "np") as state:
        assert json.loads(state.metadata()["facts"])["step"] == step


def test_train_on_a_verification_file(fhe_face: Run, folder: Path, tmp_path: Path) -> None:
    pictures = [p.read_bytes() for p in sorted(folder.glob("*/*.png"))[:12]]
    pairs = [0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 0, 3]
    content = ([pictures[i] for i in pairs], [True] * 6 + [False])
    file = tmp_path / "pairs.bin"
    file.write_bytes(pickle.dumps(content, 4))
    out = tmp_path / "run"
    given = ("--epochs", "1", "--held-out", "0", "--batch", "4", "--json")
    result = fhe_face("train", file, "--out", out, *given)
    assert result.status == 0, result.err
    answer = json.loads(result.out)
    assert (answer["people"], answer["images"], answer["held_out_rank1"]) == (3, 9, None)


def test_other_options_need_another_folder(fhe_face: Run, folder: Path, tmp_path: Path) -> None:
    given = ("train", folder, "--out", tmp_path / "run", *SMALL, "--batch", "8")
    assert fhe_face(*given).status == 0
    result = fhe_face(*given, "--seed", "9")
    assert result.status == 1
    assert "was made with" in result.err
    assert len(result.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--batch", "64"), "--batch is 64"),
        (("--held-out", "4"), "too few"),
        (("--rate", "5"), "rate is 5"),
        (("--device", "abacus"), "device 'abacus' cannot be used"),
    ],
)
def test_what_cannot_work_is_one_line(
    fhe_face: Run, folder: Path, tmp_path: Path, options: tuple[str, ...], problem: str
) -> None:
    given = ("train", folder, "--out", tmp_path / "run", *SMALL, "--batch", "4", *options)
    result = fhe_face(*given)
    assert result.status == 1
    assert problem in result.err
    assert result.err.startswith("error: ")


def test_a_program_in_a_pickle_is_refused(fhe_face: Run, tmp_path: Path) -> None:
    file = tmp_path / "evil.bin"
    file.write_bytes(b"cos\nsystem\n(S'touch executed'\ntR.")
    result = fhe_face("train", file, "--out", tmp_path / "run", "--json")
    assert result.status == 1
    assert "opcode GLOBAL" in json.loads(result.out)["error"]
