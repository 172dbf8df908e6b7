"""No command replaces what it reads, a key, or a file of another kind; all before any long work."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fhe_face.demo_faces import demo_faces
from fhe_face.models.checkpoint import save_safetensors
from fhe_face.models.synthetic import untrained
from tests.face.kit import Kit, Run


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_safetensors(untrained(0), path)
    return path


@pytest.fixture
def files(kit: Kit, weights: Path, tmp_path: Path) -> Path:
    """A client's files and a photo, to be destroyed."""
    for file in kit.folder.iterdir():
        if file.name == "client.key":
            shutil.copy2(file, tmp_path)
        else:  # hundreds of megabytes
            os.link(file, tmp_path / file.name)
    Image.fromarray(demo_faces(64)[0]).save(tmp_path / "photo.png")
    Image.fromarray(demo_faces(64)[1]).save(tmp_path / "other.png")
    np.save(tmp_path / "face.npy", np.zeros((3, 64, 64)))
    (tmp_path / "letter.txt").write_text("dear")
    shutil.copy2(weights, tmp_path)
    (tmp_path / "people").mkdir()
    return tmp_path


COMMANDS = {
    "encrypt": "encrypt --key client.key photo.png -o {}",
    "batch": "encrypt --key many.key photo.png other.png -o {}",
    "names": "encrypt --key many.key photo.png other.png -o new.ct --names {}",
    "decrypt": "decrypt --key client.key score.ct -o {}",
    "decrypt batch": "decrypt --key many.key scores.ct -o {}",
    "embed": "embed --keys evaluation.key --weights w.safetensors image.ct -o {}",
    "match": "match --keys evaluation.key embedding.ct embedding.ct -o {}",
    "convert": "weights convert w.safetensors {} --force",
    "fit": "coeffs fit -o {}",
    "fit plot": "coeffs fit --plot {}",
    "evaluate": "evaluate people --weights w.safetensors --plot {}",
    "table": "precision --simulate --table {}",
    "precision": "precision --simulate --plot {}",
    "bench": "bench batch --weights w.safetensors --plot {}",
    "profile": "bench profile --weights w.safetensors --plot {}",
}
TARGETS = {
    "convert": ("client.safetensors", "w.safetensors"),
    "fit plot": ("photo.png", "client.png"),
    "evaluate": ("photo.png", "client.png"),
    "table": ("letter.md", "client.csv"),
    "precision": ("photo.png", "client.png"),
    "bench": ("photo.png", "client.png"),
    "profile": ("photo.png", "client.png"),
}
ANY = (
    *("client.key", "many.key", "evaluation.key", "photo.png", "face.npy", "letter.txt"),
    *("score.ct", "embedding.ct", "image.ct", "w.safetensors", "folder/client.key"),
)
#: What these may replace: their own kind.
OWN = {
    "encrypt": ("image.ct",),
    "batch": ("image.ct",),
    "match": ("score.ct",),
    "embed": ("embedding.ct",),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_everything_else_stays(
    command: str, files: Path, fhe_face: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    (files / "folder").symlink_to(".")
    shutil.copy("client.key", "client.safetensors")
    shutil.copy("client.key", "client.png")
    shutil.copy("client.key", "client.csv")
    shutil.copy("letter.txt", "letter.md")
    before = content(files)
    for target in TARGETS.get(command, ANY):
        if target in OWN.get(command, ()):
            continue
        result = fhe_face(*COMMANDS[command].format(target).split(), "--json")
        assert Path(target).name in result.refused(2), target
        assert result.json()["error_type"] == "ReplacementError"
        assert content(files) == before, (target, "was replaced, or something was left")


def content(folder: Path) -> dict[str, tuple[int, int, int]]:
    """What changes when a file is written or replaced, by name."""
    found = {path.name: path.stat() for path in sorted(folder.iterdir()) if path.is_file()}
    return {name: (s.st_ino, s.st_size, s.st_mtime_ns) for name, s in found.items()}


def test_the_own_kind_is_replaced_and_told(
    files: Path, fhe_face: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    commands = (
        ("encrypt --key client.key photo.png -o x.ct", "x.ct"),
        ("encrypt --key many.key photo.png -o y.ct --names n.json", "n.json"),
        ("decrypt --key client.key score.ct -o x.npy", "x.npy"),
        ("decrypt --key client.key embedding.ct -o e.npy", "e.npy"),
        ("coeffs fit -o c.json --plot c.png", "c.json"),
        ("coeffs fit --plot c.pdf", "c.pdf"),
        ("coeffs fit --plot c.svg", "c.svg"),
    )
    for command, name in commands:
        first = fhe_face(*command.split())
        assert first.status == 0, first.err
        assert "replaced" not in first.err
        again = fhe_face(*command.split())
        assert again.status == 0, again.err
        assert f"replaced {name}" in again.err


def test_decrypted_numbers_and_names_are_private(
    files: Path, fhe_face: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    before = os.umask(0o022)
    try:
        for command in (
            "decrypt --key client.key embedding.ct -o e.npy",
            "decrypt --key many.key scores.ct -o s.npy",
            "encrypt --key many.key photo.png -o x.ct --names n.json",
        ):
            assert fhe_face(*command.split()).status == 0
    finally:
        os.umask(before)
    for name in ("e.npy", "s.npy", "n.json"):
        assert stat.S_IMODE((files / name).stat().st_mode) == 0o600


def test_secret_files_that_others_can_read(
    files: Path, fhe_face: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    command = "decrypt --key client.key score.ct"
    assert "other users can read it" not in fhe_face(*command.split()).err
    (files / "client.key").chmod(0o644)
    assert (
        "warning: client.key: other users can read it (mode 0644)" in fhe_face(*command.split()).err
    )


def test_training_replaces_nobodys_weights(
    files: Path, fhe_face: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(files)
    out = files / "run"
    out.mkdir()
    shutil.copy("w.safetensors", out / "weights.safetensors")
    before = content(out)
    result = fhe_face("finetune", "people", "--weights", "w.safetensors", "--out", "run")
    assert "holds no run to go on with" in result.refused(1)
    shutil.copy("letter.txt", out / "crops.npz")
    assert "crops.npz" in fhe_face("train", "people", "--out", "run").refused(2)
    (out / "crops.npz").unlink()
    assert content(out) == before
