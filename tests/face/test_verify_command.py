"""``fhe-face verify``: what it prints and how it ends; really encrypted where marked ``full``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fhe_face import prepare
from fhe_face.client.decryption import Embedding
from fhe_face.client.embedding import Embedded, Round
from fhe_face.client.health import HealthReport
from fhe_face.client.verification import Verification, compare
from fhe_face.commands import verify
from fhe_face.demo_faces import demo_faces
from fhe_face.engine import choose_engine
from fhe_face.local.sides import LocalServer, fresh_client
from fhe_face.models.checkpoint import load
from fhe_face.models.thresholds import Verdict
from fhe_face.network import require_thresholds
from fhe_face.places import Packing, numbered
from fhe_face.system import temporary_folder
from tests.extent import only_long
from tests.face.kit import Kit, Run

PROMISED = {
    "verdict",
    "cosine",
    "threshold",
    "different_below",
    "meaning",
    "healthy",
    "squared_norms",
    "weights",
    "bundled_weights",
    "photos",
    "keys",
    "seconds",
    "server_load_seconds",
    "embed_seconds",
    "rounds",
    "contrasts",
    "requests",
    "ciphertext_bytes",
    "server_saw",
    "threads",
}
BAD = HealthReport((9000.0,), (100.0, 3000.0), ("squared norm is 9000: the network diverged",))


class Side:
    """A client and a server that agreed on results already."""

    def __init__(self, results: list[Embedding | HealthReport]) -> None:
        self.results = results
        self.circuit = choose_engine().circuit
        self.reports = [{"load_seconds": 8.0, "embed_seconds": [9.5]}]
        self.ciphertext_bytes = 92_000_000
        self.threads = 2

    def embed(self, *_: Any, **__: Any) -> Embedded:
        return Embedded(self.results, [Round(numbered([(Packing.ALONE, 1)] * 2), 10.0)])


def pretend(monkeypatch: pytest.MonkeyPatch, *results: float | HealthReport) -> None:
    """Embeddings at these angles to the first axis, as cosines, or refusals."""

    def embedding(cosine: float) -> Embedding:
        values = np.zeros(256)
        values[:2] = cosine, np.sqrt(1 - cosine**2)
        return Embedding(values, HealthReport((400.0,), (100.0, 3000.0), ()))

    side = Side([r if isinstance(r, HealthReport) else embedding(r) for r in results])

    @contextmanager
    def both(*_: Any) -> Iterator[tuple[Side, Side]]:
        yield side, side

    monkeypatch.setattr(verify, "both_sides", both)


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "a.png", tmp_path / "b.png"
    for path, face in zip(paths, demo_faces(), strict=True):
        Image.fromarray(face).save(path)
    return paths


@pytest.mark.parametrize(
    ("cosine", "status", "said"),
    [(0.9, 0, "same person: "), (0.5, 5, "not sure: "), (0.1, 4, "different people: ")],
)
def test_the_answer_comes_first(
    fhe_face: Run,
    photos: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    cosine: float,
    status: int,
    said: str,
) -> None:
    pretend(monkeypatch, 1.0, cosine)
    result = fhe_face("verify", *photos)
    assert result.status == status, result.err
    first = result.out.splitlines()[0]
    assert first.startswith(f"{said}cosine {cosine:.3f}")
    assert "threshold" in first
    assert "the server saw" in result.out
    assert "is a demonstration" in result.err
    assert "fhe-face weights download" in result.err
    answer = fhe_face("verify", *photos, "--json")
    assert answer.status == status
    data = answer.json()
    assert data.keys() == PROMISED
    assert data["verdict"] == said.split(":")[0].removesuffix(" person").removesuffix(" people")
    assert data["cosine"] == pytest.approx(cosine)
    assert [photo["photo"] for photo in data["photos"]] == [str(path) for path in photos]


def test_a_refusal_names_the_photo(
    fhe_face: Run, photos: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, 1.0, BAD)
    assert fhe_face("verify", *photos).refused(3) == (
        f"no answer: {photos[1]}: squared norm is 9000: the network diverged"
    )
    data = fhe_face("verify", *photos, "--json").json()
    assert data["healthy"] is False
    assert data["verdict"] is None
    assert "cosine" not in data


def test_what_is_refused_before_a_key_is_made(
    fhe_face: Run, kit: Kit, photos: tuple[Path, Path], tmp_path: Path
) -> None:
    empty = tmp_path / "empty.png"
    Image.new("RGB", (200, 200)).save(empty)
    assert str(empty) in fhe_face("verify", photos[0], empty).refused()
    assert "none.png" in fhe_face("verify", photos[0], tmp_path / "none.png").refused()
    keys = ("--keys", tmp_path)
    assert "client.key" in fhe_face("verify", *photos, *keys).refused()
    assert "--flip and --coefficients" in fhe_face("verify", *photos, *keys, "--flip").refused(2)


def test_keys_of_another_client(
    fhe_face: Run, kit: Kit, other_kit: Kit, photos: tuple[Path, Path], tmp_path: Path
) -> None:
    for name, owner in (("client.key", kit), ("client.ledger", kit), ("evaluation.key", other_kit)):
        (tmp_path / name).symlink_to(owner.folder / name)
    text = fhe_face("verify", *photos, "--keys", tmp_path).refused()
    assert "evaluation.key" in text
    assert "key" in text


def people(shared: Path) -> list[tuple[str, Path]]:
    """Two photos of each of three people."""
    folders = sorted((shared / "faces" / "johns").iterdir())[:3]
    return [(one.name, photo) for one in folders for photo in sorted(one.iterdir())[:2]]


@only_long
@pytest.mark.full
@pytest.mark.slow
def test_pairs_of_real_faces(
    shared: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Really encrypted, by one set of keys and in one request: 3 same pairs, 12 different ones.

    Otherwise test_full_size.py compares scores of real pairs with those in the clear, where
    tests/models/faces/test_known_faces.py judges all pairs; test_transcript.py verifies two photos.
    """
    weights = load(checkpoint)
    thresholds = require_thresholds(weights)
    chosen = people(shared)
    faces = [prepare(photo, weights.input_size) for _, photo in chosen]
    with temporary_folder("fhe-face-test-") as folder:
        client = fresh_client(choose_engine(), folder, 2, "")
        server = LocalServer(client, folder / "evaluation.key", checkpoint, folder, 2)
        found = client.embed(faces, server)
    assert len(server.reports) == 1
    verdicts: dict[tuple[int, int], Verification] = {}
    for i, j in combinations(range(len(chosen)), 2):
        verdicts[i, j] = compare(found.results[i], found.results[j], thresholds)
        with capsys.disabled():
            print(f"\n{chosen[i][0]} and {chosen[j][0]}: {verdicts[i, j]}", end="")
    for (i, j), answer in verdicts.items():
        if chosen[i][0] == chosen[j][0]:
            assert answer.verdict in (Verdict.SAME, Verdict.NOT_SURE)
        else:
            assert answer.verdict is not Verdict.SAME
    assert sum(answer.verdict is Verdict.SAME for answer in verdicts.values()) >= 2
