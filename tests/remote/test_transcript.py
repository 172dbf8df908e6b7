"""What docs/remote.md and docs/service.md promise, at full size: a server's process and a client's
commands, from an empty folder to a face that is identified and two that are compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fhe_face.demo_faces import demo_faces
from fhe_face.models.reference import embed
from fhe_face.network import load_network
from fhe_face.photos.images import to_unit
from tests.service import running

Pixels = NDArray[np.uint8]
#: The whole transcript, one command a line; `{url}` is where the service listens.
COMMANDS = """
serve token create --folder data --tenant anna --json
remote login {url} --token-file token
remote gallery create friends --names --aligned
remote enroll people --gallery friends --json
remote identify a.png --gallery friends --json
keygen --out keys --json
remote push-keys keys
remote verify a.png b.png --keys keys --aligned --json
""".strip().splitlines()


@pytest.mark.full
@pytest.mark.slow
def test_from_nothing_to_an_answer_over_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    faces = [np.ascontiguousarray(face) for face in demo_faces()]
    for name, person, pixels in zip("ab", ("ann", "bob"), faces, strict=True):
        (tmp_path / "people" / person).mkdir(parents=True)
        for file in (tmp_path / f"{name}.png", tmp_path / "people" / person / "1.png"):
            Image.fromarray(pixels).save(file)
    answers = {}
    with running.process(tmp_path / "data") as serving:
        for line in COMMANDS:
            words = line.format(url=serving.url).split()
            answers[" ".join(words[:2])] = said(words)
            if words[:2] == ["serve", "token"]:
                token = os.open("token", os.O_WRONLY | os.O_CREAT, 0o600)
                os.write(token, json.loads(answers["serve token"])["token"].encode())
                os.close(token)
        said(["encrypt", "--key", "keys/client.key", "a.png", "--aligned", "-o", "a.ct"])
        said(["remote", "embed", "a.ct", "--key", "keys/client.key", "-o", "a.emb.ct"])
        assert said(["info", "a.emb.ct"])
        print(f"peak of the API process: {serving.peak_bytes() / 1e6:.0f} MB")
        assert serving.peak_bytes() <= 250e6
    assert len(COMMANDS) < 10
    found = loaded(answers["remote identify"])["photos"][0]["faces"][0]
    assert (found["answer"], found["candidates"][0]["name"]) == ("match", "ann")
    assert loaded(answers["remote verify"])["cosine"] == pytest.approx(clear(faces), abs=0.01)
    assert not any((tmp_path / "data").rglob("*client.key*"))
    assert not any((tmp_path / "data").rglob("gallery.key"))


def said(words: list[str]) -> str:
    """What a command prints; those that judge end with 4 or 5 as well."""
    ended = subprocess.run(
        [sys.executable, "-m", "fhe_face", *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode in (0, 4, 5), ended.stderr
    return ended.stdout


def clear(faces: Sequence[Pixels]) -> float:
    """The cosine of two faces in the clear."""
    left, right = embed(load_network(None), np.stack([to_unit(face) for face in faces]))
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def loaded(text: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(text)
    return content
