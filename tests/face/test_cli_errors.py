"""Whatever a person gives the commands: one clear line, a status, and nothing left behind."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fhe_core.container import DType, JsonValue, Kind, Section, dumps
from fhe_face.engine import choose_engine, key_bytes
from fhe_face.network import load_network
from fhe_face.system import size
from tests.face.kit import Kit, Run


@pytest.fixture
def face(tmp_path: Path) -> Path:
    file = tmp_path / "face.png"
    Image.fromarray(np.full((64, 64, 3), 120, dtype=np.uint8)).save(file)
    return file


def damaged(source: Path, target: Path, how: str) -> Path:
    """A copy of a file with something wrong."""
    data = bytearray(source.read_bytes())
    if how == "truncated":
        del data[-1000:]
    elif how == "header cut":
        del data[100:]
    elif how == "empty":
        data.clear()
    elif how == "payload flip":
        data[-500] ^= 4
    elif how == "header flip":
        data[60] ^= 1
    elif how == "longer":
        data += b"x"
    elif how == "text":
        data[:] = b"not a container at all\n" * 10
    target.write_bytes(data)
    if how == "oversized":
        os.truncate(target, 17 << 30)  # sparse
    return target


DAMAGE = {
    "truncated": "has .* bytes",
    "header cut": "header",
    "empty": "bytes",
    "payload flip": "checksum",
    "header flip": "checksum",
    "longer": "bytes",
    "text": "not a file of this software",
    "oversized": "at most",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_ciphertexts(fhe_face: Run, kit: Kit, tmp_path: Path, how: str) -> None:
    file = damaged(kit.score_ct, tmp_path / "x.ct", how)
    target = tmp_path / "x.npy"
    for command in (("decrypt", "--key", kit.client_key, file, "-o", target), ("info", file)):
        result = fhe_face(*command, "--json")
        line = result.refused()
        assert str(file) in line
        assert re.search(DAMAGE[how], line), line
        answer = result.json()
        assert answer["error"] == line
        assert answer["error_type"]
    assert not target.exists()


@pytest.mark.parametrize("how", ["truncated", "payload flip", "header flip", "text"])
def test_damaged_keys(fhe_face: Run, kit: Kit, face: Path, tmp_path: Path, how: str) -> None:
    key = damaged(kit.client_key, tmp_path / "client.key", how)
    target = tmp_path / "out.ct"
    assert str(key) in fhe_face("encrypt", "--key", key, face, "-o", target).refused()
    assert str(key) in fhe_face("decrypt", "--key", key, kit.score_ct).refused()
    keys = damaged(kit.evaluation_key, tmp_path / "evaluation.key", how)
    pair = (kit.embedding_ct, kit.embedding_ct)
    line = fhe_face("match", "--keys", keys, *pair, "-o", target).refused()
    # A server reads only the keys that it needs: these files lack most of them.
    assert str(keys) in line
    assert not target.exists()


def test_wrong_key(fhe_face: Run, kit: Kit, other_kit: Kit, tmp_path: Path) -> None:
    target = tmp_path / "out"
    line = fhe_face("decrypt", "--key", other_kit.client_key, kit.score_ct, "-o", target).refused()
    assert "belongs to key" in line
    pair = (kit.embedding_ct, other_kit.embedding_ct)
    line = fhe_face("match", "--keys", kit.evaluation_key, *pair, "-o", target).refused()
    assert str(other_kit.embedding_ct) in line
    line = fhe_face(
        "embed", "--keys", kit.evaluation_key, "--weights", "x", other_kit.image_ct, "-o", target
    ).refused()
    assert "belongs to key" in line
    assert not target.exists()


def test_wrong_kinds(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    target = tmp_path / "out"
    key, keys = kit.client_key, kit.evaluation_key

    def refused(*arguments: object) -> str:
        return fhe_face(*arguments).refused()

    assert "what goes to the server" in refused("decrypt", "--key", key, kit.image_ct)
    assert "expected ciphertext" in refused("decrypt", "--key", key, keys)
    assert "expected secret-key" in refused("decrypt", "--key", keys, kit.score_ct)
    assert "expected evaluation-keys" in refused(
        "embed", "--keys", key, "--weights", "x", kit.image_ct, "-o", target
    )
    assert "holds an encrypted embedding" in refused(
        "embed", "--keys", keys, "--weights", "x", kit.embedding_ct, "-o", target
    )
    pair = (kit.image_ct, kit.embedding_ct)
    assert "expected an embedding" in refused("match", "--keys", keys, *pair, "-o", target)
    assert not target.exists()


def test_keys_that_the_plan_does_not_find(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    pair = (kit.embedding_ct, kit.embedding_ct)
    target = tmp_path / "score.ct"
    line = fhe_face("match", "--keys", kit.evaluation_key, *pair, "-o", target).refused()
    assert "lacks the key" in line
    assert not target.exists()


def test_wrong_parameters(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    section = Section("x", DType.U8, (1,), (b"\0",))
    file = tmp_path / "x.ct"
    for name, text in (("other", "which this version does not have"), ("safe", "parameters")):
        header: dict[str, JsonValue] = {"parameters": name, "what": "score", "items": []}
        file.write_bytes(dumps(Kind.CIPHERTEXT, "ab" * 32, kit.key.key_id, header, [section]))
        assert text in fhe_face("decrypt", "--key", kit.client_key, file).refused()
        assert text in fhe_face("info", file).refused()


def test_images(fhe_face: Run, kit: Kit, tmp_path: Path, face: Path) -> None:
    target = tmp_path / "out.ct"
    large = tmp_path / "large.png"
    Image.new("L", (30_001, 4)).save(large)
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    broken = damaged(face, tmp_path / "broken.png", "header cut")
    text = damaged(face, tmp_path / "text.png", "text")
    infinite = tmp_path / "infinite.npy"
    np.save(infinite, np.full((3, 64, 64), np.inf))
    bright = tmp_path / "bright.npy"
    np.save(bright, np.full((3, 64, 64), 1.5))
    expected = {
        large: "30001x4",
        broken: "damaged",
        text: "not an image",
        infinite: "NaN or infinite",
        bright: r"values in [1.5, 1.5]",
        tmp_path / "missing.png": "no such file",
        nothing: "a folder without pictures",
    }
    for image, problem in expected.items():
        line = fhe_face("encrypt", "--key", kit.client_key, image, "-o", target).refused()
        assert problem in line
        assert str(image) in line
    assert "30001x4" in fhe_face("demo", large, face).refused()
    assert not target.exists()


@pytest.mark.parametrize("where", ["missing/out.npy", "folder", "face.png/out.npy"])
def test_unwritable_output(fhe_face: Run, kit: Kit, tmp_path: Path, face: Path, where: str) -> None:
    (tmp_path / "folder").mkdir()
    target = tmp_path / where
    before = sorted(tmp_path.rglob("*"))
    for command in (
        ("decrypt", "--key", kit.client_key, kit.score_ct, "-o", target),
        ("encrypt", "--key", kit.client_key, face, "-o", target),
    ):
        assert "cannot write" in fhe_face(*command).refused()
    assert sorted(tmp_path.rglob("*")) == before


def test_weights(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    target = tmp_path / "out.ct"
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"\0" * 100)
    for weights, problem in ((tmp_path / "missing.ckpt", "no such file"), (wrong, "safetensors")):
        line = fhe_face(
            "embed", "--keys", kit.evaluation_key, "--weights", weights, kit.image_ct, "-o", target
        ).refused()
        assert problem in line
        assert str(weights) in line
        assert problem in fhe_face("demo", "--weights", weights).refused()
    assert not target.exists()


def test_a_ckpt_without_torch(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match="torch is not installed"):
        load_network(checkpoint)


def test_usage(fhe_face: Run, tmp_path: Path) -> None:
    assert "--out" in fhe_face("keygen").refused(2)
    assert "No such command 'frobnicate'" in fhe_face("frobnicate").refused(2)
    assert "two images or none" in fhe_face("demo", tmp_path).refused(2)
    result = fhe_face("keygen", "--json", "--threads", "0", "--out", tmp_path)
    assert result.json()["error"] == result.refused(2)
    assert fhe_face("--help").status == 0


def test_keygen_does_not_replace_a_key(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    before = kit.client_key.read_bytes()
    assert "exists already" in fhe_face("keygen", "--out", kit.folder).refused()
    assert kit.client_key.read_bytes() == before
    file = tmp_path / "file"
    file.touch()
    assert "not a folder" in fhe_face("keygen", "--out", file / "keys").refused()


def test_a_full_disk(fhe_face: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 29)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    folder = tmp_path / "keys"
    line = fhe_face("keygen", "--out", folder).refused()
    assert "not enough disk space" in line
    engine = choose_engine()
    assert size(key_bytes(engine.keys(), engine.parameters)) in line
    assert not folder.exists()
    assert "not enough disk space" in fhe_face("demo", "--keep", tmp_path / "demo").refused()


def test_errors_stay_on_one_line(fhe_face: Run, tmp_path: Path) -> None:
    line = fhe_face("info", tmp_path / "a\nb\x1b[31m").refused()
    assert "\\n" in line
    assert "\x1b" not in line


def test_a_fault_of_ours_says_so(fhe_face: Run, monkeypatch: pytest.MonkeyPatch, kit: Kit) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr("fhe_face.commands.info.run", fail)
    assert "internal error" in fhe_face("info", kit.score_ct).refused()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fhe_face.commands.info.run", interrupt)
    result = fhe_face("info", kit.score_ct, "--json")
    assert result.refused(130) == "interrupted"
    assert result.json()["error"] == "interrupted"
