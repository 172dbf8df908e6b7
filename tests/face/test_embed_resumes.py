"""``fhe-face embed`` of many files: goes on where it was, and replaces nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fhe_core.formats.ciphertexts import Bundle
from fhe_face.commands import embed as command
from fhe_face.models.checkpoint import save_safetensors
from fhe_face.models.synthetic import untrained
from fhe_face.places import IMAGE
from tests.face.kit import Kit, Run

DIGEST = "0123456789abcdef" * 2


class StandIn:
    """A server that gives every image the kit's embedding, with the image's tokens."""

    threads, packed_weight_bytes = 1, 0

    def __init__(self, embedding: Bundle) -> None:
        self.embedding = embedding
        self.asked: list[Path] = []
        self.engine: Any = type("Engine", (), {"capacity": 64})()

    def read(self, path: Path, what: str) -> Bundle:
        assert what == IMAGE
        self.asked.append(path)
        return Bundle.load(path)

    def embed(self, images: Bundle, *_: object) -> Bundle:
        facts = {**self.embedding.facts, "requests": images.facts["requests"], "weights": DIGEST}
        return replace(self.embedding, facts=facts)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    save_safetensors(untrained(0), path)
    return path


@pytest.fixture
def server(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn(Bundle.load(kit.embedding_ct))
    monkeypatch.setattr("fhe_face.server.server.FaceServer.load", lambda *_, **__: found)
    monkeypatch.setattr(command, "network_of", lambda _: None)
    monkeypatch.setattr(command, "digest_of", lambda *_: DIGEST)
    monkeypatch.setattr(command, "engine_of", lambda _: None)
    return found


def test_embed_goes_on(
    fhe_face: Run, kit: Kit, weights: Path, server: StandIn, tmp_path: Path
) -> None:
    files = [tmp_path / "a.ct", tmp_path / "b.ct"]
    for file in files:
        shutil.copy(kit.image_ct, file)
    out = tmp_path / "out"
    arguments = ("embed", "--keys", kit.evaluation_key, "--weights", weights, "-o", out)
    out.mkdir()
    answer = fhe_face(*arguments, files[0], "--json").json()
    assert answer["embeddings"] == [str(out / "a.embedding.ct")]
    first = (out / "a.embedding.ct").stat()
    result = fhe_face(*arguments, *files, "--json")
    answer = result.json()
    assert answer["embeddings"] == [str(out / "b.embedding.ct")]
    assert answer["kept"] == [str(out / "a.embedding.ct")]
    assert "1 of 2 files were embedded before" in result.err
    assert server.asked == files
    assert (out / "a.embedding.ct").stat().st_ino == first.st_ino
    assert "all 2 files were embedded before" in fhe_face(*arguments, *files).out
    assert server.asked == files


@pytest.mark.parametrize("what", ["requests", "weights", "damaged"])
def test_nothing_else_is_taken_or_replaced(
    what: str, fhe_face: Run, kit: Kit, weights: Path, server: StandIn, tmp_path: Path
) -> None:
    files = [tmp_path / "a.ct", tmp_path / "b.ct"]
    for file in files:
        shutil.copy(kit.image_ct, file)
    out = tmp_path / "out"
    out.mkdir()
    target = out / "b.embedding.ct"
    found = server.embed(Bundle.load(files[1]))
    if what == "damaged":
        content = bytearray(found.to_bytes())
        content[-1000] ^= 1
        target.write_bytes(content)
    else:
        other = Bundle.load(kit.embedding_ct).facts["requests"] if what == "requests" else "0" * 32
        replace(found, facts={**found.facts, what: other}).save(target)
    before = target.read_bytes()
    arguments = ("embed", "--keys", kit.evaluation_key, "--weights", weights, "-o", out)
    message = fhe_face(*arguments, *files).refused()
    assert "b.embedding.ct: exists, and is not the embedding of" in message
    assert target.read_bytes() == before
    assert not (out / "a.embedding.ct").exists()
    assert server.asked == []
