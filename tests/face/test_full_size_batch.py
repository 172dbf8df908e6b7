"""64 faces at once at full size, with the official checkpoint and real faces.

One set of keys and one server process serve all tests of this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core.formats.ciphertexts import load_bundle, save_bundle
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Embedding, Score
from fhe_face.engine import choose_engine
from fhe_face.server.job import Job
from fhe_face.system import default_threads
from tests.face.witness import (
    report_and_witness,
    require_nothing_to_decrypt_with,
    short_lived,
)

pytestmark = pytest.mark.full

FACES = 64
GB = 1e9


@dataclass(frozen=True)
class Evening:
    """What one server process made of a batch of real faces, some of them several times."""

    client: FaceClient
    folder: Path
    expected: NDArray[np.float64]
    report: Mapping[str, Any]
    witness: Mapping[str, Any]


@pytest.fixture(scope="module")
def evening(
    repository: Path,
    checkpoint: Path,
    vectors: Mapping[str, NDArray[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Evening]:
    with short_lived(tmp_path_factory, "full-batch") as folder:
        yield spend(folder, repository, checkpoint, vectors)


def spend(
    folder: Path, repository: Path, checkpoint: Path, vectors: Mapping[str, NDArray[Any]]
) -> Evening:
    client = FaceClient.create(folder, engine=choose_engine(batch=True))
    healthy = np.flatnonzero(vectors["healthy"])
    chosen = healthy[np.arange(FACES) % len(healthy)]
    bundle = client.encrypt_many([vectors["crops"][i] for i in chosen])
    save_bundle(folder / "faces.ct", bundle)
    embeddings = str(folder / "embeddings.ct")
    job = Job(
        evaluation_key=str(folder / "evaluation.key"),
        weights=str(checkpoint),
        threads=default_threads(),
        embed=((str(folder / "faces.ct"), embeddings),),
        match=((embeddings, embeddings, str(folder / "scores.ct")),),
    )
    report, witness = report_and_witness(repository, job)
    return Evening(client, folder, vectors["normalised"][chosen], report, witness)


def test_embeddings_and_scores(evening: Evening, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = load_bundle(evening.folder / "embeddings.ct", "embedding batch")
    found = evening.client.decrypt_embeddings(bundle)
    scores = evening.client.decrypt_scores(load_bundle(evening.folder / "scores.ct", "score batch"))
    assert len(found) == len(scores) == FACES
    cosines, errors, differences = [], [], []
    for result, score, expected in zip(found, scores, evening.expected, strict=True):
        assert isinstance(result, Embedding)
        assert isinstance(score, Score)
        size = np.linalg.norm(expected)
        cosines.append(float(result.values @ expected / (size * np.linalg.norm(result.values))))
        errors.append(float(np.linalg.norm(result.values - expected) / size))
        differences.append(abs(score.value - float(expected @ expected)))
    seconds = evening.report["embed_seconds"][0]
    with capsys.disabled():
        print(
            f"\n{FACES} faces in {seconds:.1f} s, {seconds / FACES:.2f} s each; cosine at least "
            f"{min(cosines):.8f}, relative error at most {max(errors):.2e}"
        )
    assert min(cosines) >= 0.9999
    assert max(errors) <= 0.01
    assert max(differences) <= 0.01


def test_sizes_and_memory(evening: Evening, capsys: pytest.CaptureFixture[str]) -> None:
    keys = (evening.folder / "evaluation.key").stat().st_size
    faces = (evening.folder / "faces.ct").stat().st_size
    peak, weights = evening.report["peak_rss_bytes"], evening.report["packed_weight_bytes"]
    with capsys.disabled():
        print(
            f"\nevaluation keys {keys / GB:.2f} GB, encrypted faces {faces / GB:.2f} GB, packed "
            f"weights {weights / 1e6:.0f} MB, server peak {peak / GB:.1f} GB, match "
            f"{evening.report['match_seconds'][0]:.2f} s, {evening.report['threads']} threads"
        )
    assert keys <= 3 * GB
    assert faces <= 0.2 * GB
    assert weights <= 60e6
    assert peak <= 16 << 30


def test_the_server_had_nothing_to_decrypt_with(evening: Evening) -> None:
    require_nothing_to_decrypt_with(evening.witness)
