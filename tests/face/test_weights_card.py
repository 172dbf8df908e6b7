"""``fhe-face weights card``: the tables of a model card, of sets that are apart."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fhe_face.commands import weights_card
from fhe_face.models.calibration import images
from tests.face.kit import Run


def _people(root: Path, seed: int) -> Path:
    """Four people with four photos each: one picture with noise."""
    draw = np.random.default_rng(seed)
    for person, base in enumerate(images(draw, 4, 64)):
        (root / f"person{person}").mkdir(parents=True)
        for photo in range(4):
            noisy: NDArray[np.float64] = base + draw.normal(scale=8, size=base.shape)
            crop = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
            crop.save(root / f"person{person}" / f"{photo}.png")
    return root


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("sets")
    return _people(folder / "reported", 1), _people(folder / "chosen by", 2)


def test_a_card(fhe_face: Run, sets: tuple[Path, Path], weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("torch")
    reported, chosen_by = sets
    out, plot = tmp_path / "card.md", tmp_path / "card.png"
    given = (
        *("weights", "card", weights, reported, "--development", chosen_by, "--aligned"),
        *("--bounds", "--stress", 10, "--hunts", 2, "--hunt-steps", 1),
        *("-o", out, "--plot", plot),
    )
    answer = fhe_face(*given, "--json").json()
    (found,) = answer["sets"]
    assert (found["name"], answer["development"]["name"]) == ("reported", "chosen by")
    assert found["as_it_is"]["people"] == 4
    alone = fhe_face("evaluate", reported, "--weights", weights, "--aligned", "--json").json()
    for name in ("eer", "same_mean", "different_mean", "gallery_probe_rank1", "refused"):
        assert found["as_it_is"][name] == alone[name]
    assert list(found["as_it_is"]["lookup"]) == ["single", "template", "centred"]
    assert "hunted: largest norm" in answer["bounds"]
    text = out.read_text()
    assert text.startswith(f"# What these weights do\n\nTensors `{answer['tensors_sha256']}`")
    assert "**reported: 4 people, 16 photos, 8 probes**" in text
    assert text.index("it is no result") < text.index("**chosen by:")
    for row in ("these weights, `--flip`", "raw pixels", "centred", "hunted: activations"):
        assert f"| {row} |" in text
    assert all(line.count("|") > 5 for line in text.splitlines() if line.startswith("|"))
    with Image.open(plot) as picture:
        assert picture.height > 900, "a row of plots for each set"
    assert fhe_face(*given[:7], "-o", out).status == 0, "a card is replaced by one"


def test_sets_must_be_apart(
    fhe_face: Run, sets: tuple[Path, Path], weights: Path, tmp_path: Path
) -> None:
    reported, chosen_by = sets
    both = tmp_path / "both"
    for name, source in (("ann", reported / "person0"), ("bob", chosen_by / "person1")):
        (both / name).mkdir(parents=True)
        for photo in source.iterdir():
            (both / name / photo.name).write_bytes(photo.read_bytes())
    given = ("weights", "card", weights, reported, "--aligned")
    message = fhe_face(*given, "--development", both).refused()
    assert "are the same picture (4 like these): sets of a card must be apart" in message
    assert "is given twice" in fhe_face(*given, reported).refused(2)
    letter = tmp_path / "letter.md"
    letter.write_text("# Dear all\n")
    assert "is not a model card" in fhe_face(*given, "-o", letter).refused(2)
    assert letter.read_text() == "# Dear all\n"


@pytest.mark.parametrize("option", ["--bounds", "--teacher"])
def test_without_torch_no_photo_is_read(
    option: str,
    fhe_face: Run,
    sets: tuple[Path, Path],
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "torch" else found(name)
    )
    monkeypatch.setattr(weights_card, "read_faces", lambda *_, **__: pytest.fail("photos are read"))
    given = ("weights", "card", weights, sets[0], "--aligned", option)
    assert "torch, which is not installed" in fhe_face(*given).refused()
