"""The programs themselves: arguments, one line for what goes wrong, and what each may load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.official.stages.program import Progress
from fhe_face.models.checkpoint import load, save_safetensors
from fhe_face.models.synthetic import untrained
from tests.face.official.kit import png, write_pairs
from tests.test_layering import reached

PROGRAMS = (
    "client_key_generation",
    "server_preprocess_model",
    "client_preprocess_input",
    "client_encode_encrypt_input",
    "server_encrypted_compute",
    "client_decrypt_decode",
    "client_postprocess",
)
SECRET = "fhe_core.secret.key"


def run(
    repository: Path, folder: Path, name: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(repository / "benchmarks" / "official" / f"{name}.py"), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(repository), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def refused(done: subprocess.CompletedProcess[str], status: int = 1) -> str:
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("name", PROGRAMS)
def test_wrong_arguments(repository: Path, tmp_path: Path, name: str) -> None:
    wrong = "0" if name == "server_preprocess_model" else "4"
    line = refused(run(repository, tmp_path, name, wrong), 2)
    assert line.startswith(f"error: {name}: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("server_preprocess_model", "backbone-64x64.ckpt, or name a file in FHE_FACE_WEIGHTS"),
        ("client_preprocess_input", "test_pairs.h5: no such file"),
        ("client_encode_encrypt_input", "run client_preprocess_input first"),
        ("server_encrypted_compute", "run client_encode_encrypt_input first"),
        ("client_decrypt_decode", "run server_encrypted_compute first"),
        ("client_postprocess", "run client_decrypt_decode first"),
    ],
)
def test_a_stage_before_its_turn(repository: Path, tmp_path: Path, name: str, missing: str) -> None:
    arguments = () if name == "server_preprocess_model" else ("0",)
    line = refused(run(repository, tmp_path, name, *arguments, FHE_FACE_WEIGHTS=""))
    assert missing in line
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_the_model_stage(repository: Path, tmp_path: Path) -> None:
    """Weights are checked, and kept where the benchmark measures them."""
    source = tmp_path / "mine.safetensors"
    save_safetensors(untrained(0), source)
    name = "server_preprocess_model"
    done = run(repository, tmp_path, name, FHE_FACE_WEIGHTS="mine.safetensors")
    assert done.returncode == 0, done.stderr
    kept = tmp_path / "io" / "server_data"
    assert [p.name for p in kept.iterdir()] == ["weights.safetensors"]
    assert load(kept / "weights.safetensors").tensors_sha256 == load(source).tensors_sha256
    save_safetensors(untrained(0, 96), source)
    before = (kept / "weights.safetensors").read_bytes()
    line = refused(run(repository, tmp_path, name, FHE_FACE_WEIGHTS="mine.safetensors"))
    assert "for faces of 96 pixels; it must be 64" in line
    assert (kept / "weights.safetensors").read_bytes() == before


def test_pictures_are_prepared_in_a_process_without_keys(repository: Path, tmp_path: Path) -> None:
    """Faces of the right size go through; a flat picture has none and is only scaled."""
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    flat = np.full((80, 120, 3), 90, dtype=np.uint8)
    path = tmp_path / "datasets" / "single" / "intermediate" / "test_pairs.h5"
    write_pairs(path, [png(crop), png(flat)])
    done = run(repository, tmp_path, "client_preprocess_input", "0")
    assert done.returncode == 0, done.stderr
    assert "no face found in 1 pictures" in done.stderr
    folder = tmp_path / "io" / "single" / "intermediate" / "faces"
    record = json.loads((folder / "complete.json").read_text())
    assert record == {"pairs": 1, "without_face": 1}
    with np.load(folder / "pair-0000.npz") as archive:
        assert np.array_equal(archive["faces"][0], crop)
        assert archive["faces"][1].shape == (64, 64, 3)
    write_pairs(path, [png(crop)] * 4)
    assert "2 pairs; size 0 has fewer" in refused(
        run(repository, tmp_path, "client_preprocess_input", "0")
    )


@pytest.mark.parametrize("module", ["weights", "compute", "schedule", "faces", "scores"])
def test_stages_without_secrets_cannot_reach_them(repository: Path, module: str) -> None:
    seen = reached(f"benchmarks.official.stages.{module}", repository)
    assert f"benchmarks.official.stages.{module}" in seen
    for client_only in (SECRET, "fhe_core.secret.files", "fhe_face.client.decryption"):
        assert client_only not in seen


@pytest.mark.parametrize("module", ["weights", "compute", "schedule", "scores"])
def test_stages_without_faces_cannot_reach_them(repository: Path, module: str) -> None:
    seen = reached(f"benchmarks.official.stages.{module}", repository)
    for other in (
        "benchmarks.official.stages.faces",
        "benchmarks.official.stages.pairs",
        "fhe_face.photos.preparation",
    ):
        assert other not in seen


def test_the_walk_finds_secrets_where_they_are(repository: Path) -> None:
    for module in ("keygen", "encryption", "decryption"):
        assert SECRET in reached(f"benchmarks.official.stages.{module}", repository)


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    progress = Progress("stage", clock=lambda: now[0])
    for done, time in ((3, 5.0), (4, 60.0), (5, 61.0), (10, 65.0)):
        now[0] = time
        progress.pairs(done, 10, 2)
    now[0] = 70.0
    progress.stage("reading", 1, 2)
    now[0] = 99.0
    progress.stage("reading", 2, 2)
    assert capsys.readouterr().err.splitlines() == [
        "[stage] 4 of 10 pairs (2 from an earlier run), about 3 min left",
        "[stage] 10 of 10 pairs (2 from an earlier run)",
        "[stage] reading: 2 of 2",
    ]
