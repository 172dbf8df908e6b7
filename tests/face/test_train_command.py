"""``fhe-face train`` and ``finetune`` on a handful of tiny drawings."""

from __future__ import annotations

import json
import pickle  # only to write a test file
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fhe_face.models.checkpoint import load
from fhe_face.models.synthetic import images
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
        (("--batch", "64"), "fewer than a batch of 64"),
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
