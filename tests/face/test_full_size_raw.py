"""A client that normalises, at full size, with the official checkpoint and real faces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core.formats.ciphertexts import load_bundle, save_bundle
from fhe_face.client.client import FaceClient
from fhe_face.client.health import UnhealthyResultError
from fhe_face.engine import choose_engine
from fhe_face.models import reference
from fhe_face.network import load_network
from fhe_face.photos.images import to_unit
from fhe_face.server.job import Job
from fhe_face.system import default_threads
from tests.face.witness import (
    report_and_witness,
    require_nothing_to_decrypt_with,
    short_lived,
)

pytestmark = pytest.mark.full

FACES = 2
MB = 1e6


@dataclass(frozen=True)
class Evening:
    """Everything one server process made of real faces, a diverging one, and noise.

    embeddings: in the clear, before normalisation.
    """

    client: FaceClient
    folder: Path
    names: Sequence[str]
    embeddings: NDArray[np.float64]
    report: Mapping[str, Any]
    witness: Mapping[str, Any]


@pytest.fixture(scope="module")
def evening(
    repository: Path,
    checkpoint: Path,
    vectors: Mapping[str, NDArray[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Evening]:
    with short_lived(tmp_path_factory, "raw") as folder:
        yield spend(folder, repository, checkpoint, vectors)


def spend(
    folder: Path, repository: Path, checkpoint: Path, vectors: Mapping[str, NDArray[Any]]
) -> Evening:
    client = FaceClient.create(folder, engine=choose_engine(client_normalises=True))
    chosen = [*np.flatnonzero(vectors["healthy"])[:FACES], np.flatnonzero(~vectors["healthy"])[0]]
    units = [to_unit(vectors["crops"][i]) for i in chosen]
    units.append(np.random.default_rng(0).uniform(-1, 1, (3, 64, 64)))
    for i, unit in enumerate(units):
        save_bundle(folder / f"face{i}.ct", client.encrypt(unit))
    files = range(len(units))
    embed = tuple((str(folder / f"face{i}.ct"), str(folder / f"embedding{i}.ct")) for i in files)
    key = str(folder / "evaluation.key")
    job = Job(key, str(checkpoint), default_threads(), embed, ())
    report, witness = report_and_witness(repository, job)
    names = [*(str(vectors["names"][i]) for i in chosen), "uniform noise"]
    clear = reference.embed(load_network(checkpoint), np.stack(units))
    return Evening(client, folder, names, clear, report, witness)


def test_embeddings(evening: Evening, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    for i, raw in enumerate(evening.embeddings[:FACES]):
        expected = raw / np.linalg.norm(raw)
        bundle = load_bundle(evening.folder / f"embedding{i}.ct", "embedding")
        found = evening.client.embedding(bundle)
        (norm,) = found.health.squared_norms
        cosine, error = found.values @ expected, np.linalg.norm(found.values - expected)
        lines.append(
            f"{evening.names[i]:<40} cosine {cosine:.8f}, relative error {error:.2e}, "
            f"squared norm {norm:.1f} ({raw @ raw:.1f} in the clear)"
        )
        assert np.linalg.norm(found.values) == pytest.approx(1, abs=1e-12)
        assert cosine >= 0.9999
        assert error <= 0.01
        assert norm == pytest.approx(raw @ raw, rel=0.02)
    with capsys.disabled():
        print("\n" + "\n".join(lines))


@pytest.mark.parametrize("number", [FACES, FACES + 1], ids=["diverging face", "uniform noise"])
def test_faces_on_which_the_network_diverges(evening: Evening, number: int) -> None:
    """Their embeddings wrap around: what is left of them is no embedding."""
    largest = np.max(np.abs(evening.embeddings[number]))
    assert not largest < 2.0**37  # in the clear as well, if not NaN
    bundle = load_bundle(evening.folder / f"embedding{number}.ct", "embedding")
    with pytest.raises(UnhealthyResultError) as caught:
        evening.client.embedding(bundle)
    assert caught.value.report.squared_norms[0] > 2.0**60


def test_sizes(evening: Evening, capsys: pytest.CaptureFixture[str]) -> None:
    keys, face, embedding = (
        (evening.folder / name).stat().st_size
        for name in ("evaluation.key", "face0.ct", "embedding0.ct")
    )
    seconds = evening.report["embed_seconds"]
    with capsys.disabled():
        print(
            f"\nevaluation keys {keys / MB:.0f} MB, encrypted face {face / MB:.1f} MB, encrypted "
            f"embedding {embedding / MB:.2f} MB, embedding {min(seconds):.1f} to "
            f"{max(seconds):.1f} s, {evening.report['threads']} threads"
        )
    assert keys <= 670 * MB
    assert face <= 14 * MB


def test_the_server_had_nothing_to_decrypt_with(evening: Evening) -> None:
    require_nothing_to_decrypt_with(evening.witness)
