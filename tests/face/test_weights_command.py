"""``fhe-face weights``: list, verify, convert and download, in both forms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fhe_face.coeffs.fit import fit
from fhe_face.models import hub
from fhe_face.models.checkpoint import load, save_safetensors
from fhe_face.models.hub import CACHE_VARIABLE, HubError
from fhe_face.models.synthetic import untrained
from tests.face.kit import Run


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "four.safetensors"
    save_safetensors(untrained(0), path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def tampered(weights: Path, target: Path) -> Path:
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    target.write_bytes(content)
    return target


def test_verify(fhe_face: Run, weights: Path, tmp_path: Path) -> None:
    result = fhe_face("weights", "verify", weights, "--json")
    assert result.status == 0
    (entry,) = result.json()["files"]
    assert entry["ok"] is True
    assert entry["verified"] == "manifest"
    assert entry["architecture"] == "CryptoFaceNet4"
    assert entry["tensors_sha256"] == load(weights).tensors_sha256
    assert entry["interval"] == [100.0, 3000.0]
    text = fhe_face("weights", "verify", weights)
    assert entry["tensors_sha256"] in text.out
    assert text.err == ""


def test_verify_finds_what_is_off(fhe_face: Run, weights: Path, tmp_path: Path) -> None:
    bad = tampered(weights, tmp_path / "bad.safetensors")
    missing = tmp_path / "none.ckpt"
    result = fhe_face("weights", "verify", weights, bad, missing, "--json")
    assert "bad.safetensors: its manifest: the tensors were changed" in result.refused()
    answer = result.json()
    assert answer["bad"] == 2
    assert [entry["ok"] for entry in answer["files"]] == [True, False, False]
    assert "none.ckpt: no such file" in result.err
    dead = untrained(0)
    dead["nets.1.layers.0.herpn1.weight"] = np.zeros((16, 1, 1), np.float32)
    save_safetensors(dead, tmp_path / "dead.safetensors")
    assert "nets.1" in fhe_face("weights", "verify", tmp_path / "dead.safetensors").refused()


def test_verify_without_manifest(fhe_face: Run, weights: Path, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "plain.safetensors"
    save_file(dict(load(weights).state), path)
    result = fhe_face("weights", "verify", path, "--json")
    assert result.status == 0
    assert result.json()["files"][0]["verified"] == "structure"
    assert "has no manifest" in result.err


def test_official_checkpoint(fhe_face: Run, checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (entry,) = fhe_face("weights", "verify", checkpoint, "--json").json()["files"]
    assert entry["verified"] == "published"
    target = tmp_path / "four.safetensors"
    converted = fhe_face("weights", "convert", checkpoint, target, "--json").json()
    assert converted["verified"] == "manifest"
    assert converted["tensors_sha256"] == entry["tensors_sha256"]
    assert converted["training"] == {
        "source_file": "backbone-64x64.ckpt",
        "source_sha256": entry["sha256"],
    }


def test_convert(fhe_face: Run, weights: Path, tmp_path: Path) -> None:
    polynomial = tmp_path / "p.json"
    polynomial.write_text(json.dumps(fit("minimax", (150, 700), 3).to_json()))
    target = tmp_path / "out.safetensors"
    arguments = ("weights", "convert", weights, target)
    result = fhe_face(
        *arguments, "--coefficients", polynomial, "--note", "licence=MIT", "--note", "x=a=b"
    )
    assert result.status == 0, result.err
    assert "licence" in result.out
    manifest = load(target).manifest
    assert manifest is not None
    assert manifest.coefficients.interval == (150.0, 700.0)
    assert manifest.training["licence"] == "MIT"
    assert manifest.training["x"] == "a=b"
    assert manifest.training["source_file"] == "four.safetensors"
    before = target.read_bytes()
    assert "exists already (--force" in fhe_face(*arguments).refused()
    assert target.read_bytes() == before
    assert fhe_face(*arguments, "--force").status == 0
    assert load(target).tensors_sha256 == load(weights).tensors_sha256
    # A converted file keeps its polynomial and its record.
    again = tmp_path / "again.safetensors"
    target.write_bytes(before)
    assert fhe_face("weights", "convert", target, again, "--note", "x=c").status == 0
    kept = load(again).manifest
    assert kept is not None
    assert kept.coefficients == manifest.coefficients
    assert kept.training == {**manifest.training, "x": "c"}


def test_convert_another_size(fhe_face: Run, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(np.array(t)) for name, t in untrained(1, 96).items()}
    torch.save({"backbone": tensors}, tmp_path / "in.ckpt")
    target = tmp_path / "out.safetensors"
    answer = fhe_face("weights", "convert", tmp_path / "in.ckpt", target, "--json").json()
    assert answer["architecture"] == "CryptoFaceNet9"


def test_convert_refusals(fhe_face: Run, weights: Path, tmp_path: Path) -> None:
    def refused(*arguments: object, status: int = 1) -> str:
        return fhe_face("weights", "convert", *arguments).refused(status)

    out = tmp_path / "out.safetensors"
    assert "must end in .safetensors" in refused(weights, tmp_path / "x.ckpt", status=2)
    assert "must be NAME=VALUE" in refused(weights, out, "--note", "MIT", status=2)
    assert "no such file" in refused(tmp_path / "none", out)
    assert "the tensors were changed" in refused(tampered(weights, tmp_path / "bad"), out)
    assert "no such file" in refused(weights, out, "--coefficients", tmp_path / "none.json")
    assert "there is no folder" in refused(weights, tmp_path / "no" / "out.safetensors")
    assert not out.exists()


def test_list(
    fhe_face: Run, weights: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    cache.mkdir()
    (folder / "good.safetensors").write_bytes(weights.read_bytes())
    tampered(weights, folder / "bad.safetensors")
    (folder / "other.txt").touch()
    (cache / "backbone-96x96.ckpt").write_bytes(b"no weights")
    bundled = tmp_path / "bundled"
    bundled.mkdir()
    (bundled / "four.safetensors").write_bytes(weights.read_bytes())
    file = bundled / "cryptofacenet4.safetensors"
    monkeypatch.setattr("fhe_face.network.bundled_weights", lambda: file)
    result = fhe_face("weights", "list", folder, "--json")
    assert result.status == 0
    found = [(e["place"], Path(e["file"]).name, e["ok"]) for e in result.json()["files"]]
    assert found == [
        ("bundled", "four.safetensors", True),
        ("downloads", "backbone-96x96.ckpt", False),
        ("folder", "bad.safetensors", False),
        ("folder", "good.safetensors", True),
    ]
    text = fhe_face("weights", "list", folder)
    assert text.out.count("CryptoFaceNet4") == 2
    assert text.out.count("bad: ") == 2
    assert "no such folder" in fhe_face("weights", "list", tmp_path / "none").refused()


def test_list_of_nothing(fhe_face: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "none" / "cryptofacenet4.safetensors"
    monkeypatch.setattr("fhe_face.network.bundled_weights", lambda: file)
    assert "no weights files" in fhe_face("weights", "list", tmp_path).out


def test_download(
    fhe_face: Run, weights: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def stand_in(size: int) -> Path:
        asked.append(size)
        if size == 128:
            raise HubError("tried to download x: no network; by hand: put it at y")
        return weights

    monkeypatch.setattr(hub, "download", stand_in)
    answer = fhe_face("weights", "download", "--json").json()
    assert answer["architecture"] == "CryptoFaceNet4"
    unpinned = fhe_face("weights", "download", "--size", 96)
    assert "no digest of it is known here" in unpinned.err
    assert "by hand: put it at y" in fhe_face("weights", "download", "--size", 128).refused()
    fhe_face("weights", "download", "--size", 65).refused(2)
    assert asked == [64, 96, 128]
