"""The whole thing at full size, with the official checkpoint and real faces.

One set of keys and one server process serve all tests of this file.
"""

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
from fhe_face.client.device_client import DeviceClient
from fhe_face.client.devices import Register
from fhe_face.client.health import UnhealthyResultError
from fhe_face.models import reference
from fhe_face.network import load_network
from fhe_face.photos.images import to_unit
from fhe_face.server.job import Job
from fhe_face.system import default_threads
from tests.extent import LONG
from tests.face.witness import (
    report_and_witness,
    require_nothing_to_decrypt_with,
    short_lived,
)

pytestmark = pytest.mark.full

FACES = 8 if LONG else 4
#: Pairs of healthy faces: the same person and different ones.
PAIRS = ((0, 1), (2, 3), (0, 2), (1, 3))
GB, MB = 1e9, 1e6


@dataclass(frozen=True)
class Evening:
    """Everything one server process made of real faces, a diverging one, and noise."""

    client: FaceClient
    folder: Path
    names: Sequence[str]
    units: NDArray[np.float64]
    expected: NDArray[np.float64]
    report: Mapping[str, Any]
    witness: Mapping[str, Any]

    def result(self, name: str, what: str) -> Any:
        return load_bundle(self.folder / name, what)


@pytest.fixture(scope="module")
def evening(
    repository: Path,
    checkpoint: Path,
    vectors: Mapping[str, NDArray[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Evening]:
    with short_lived(tmp_path_factory, "full") as folder:
        yield spend(folder, repository, checkpoint, vectors)


def spend(
    folder: Path, repository: Path, checkpoint: Path, vectors: Mapping[str, NDArray[Any]]
) -> Evening:
    client = FaceClient.create(folder)
    healthy = np.flatnonzero(vectors["healthy"])[:FACES]
    diverging = np.flatnonzero(~vectors["healthy"])[:1]
    units = [to_unit(vectors["crops"][i]) for i in (*healthy, *diverging)]
    units.append(np.random.default_rng(0).uniform(-1, 1, (3, 64, 64)))
    for i, unit in enumerate(units):
        save_bundle(folder / f"face{i}.ct", client.encrypt(unit))
    register = Register.beside(folder / "client.key", client.key_id)
    register.make(client.key, client.engine, folder / "door.key", "door")
    sent = DeviceClient.load(folder / "door.key").encrypt(units[0])
    save_bundle(folder / "sent.ct", sent)
    pairs = (*PAIRS, (0, FACES), (FACES + 1, 0))
    job = Job(
        evaluation_key=str(folder / "evaluation.key"),
        weights=str(checkpoint),
        threads=default_threads(),
        embed=(
            *(
                (str(folder / f"face{i}.ct"), str(folder / f"embedding{i}.ct"))
                for i in range(len(units))
            ),
            (str(folder / "sent.ct"), str(folder / "answer.ct")),
        ),
        match=tuple(
            (
                str(folder / f"embedding{a}.ct"),
                str(folder / f"embedding{b}.ct"),
                str(folder / f"score{a}-{b}.ct"),
            )
            for a, b in pairs
        ),
    )
    report, witness = report_and_witness(repository, job)
    names = [str(vectors["names"][i]) for i in (*healthy, *diverging)]
    return Evening(
        client=client,
        folder=folder,
        names=[*names, "uniform noise"],
        units=np.stack(units),
        expected=vectors["normalised"][healthy],
        report=report,
        witness=witness,
    )


def test_embeddings_and_scores(evening: Evening, capsys: pytest.CaptureFixture[str]) -> None:
    lines = []
    cosines, errors = [], []
    for i, expected in enumerate(evening.expected):
        result = evening.client.embedding(evening.result(f"embedding{i}.ct", "embedding"))
        size = np.linalg.norm(expected)
        cosines.append(float(result.values @ expected / (size * np.linalg.norm(result.values))))
        errors.append(float(np.linalg.norm(result.values - expected) / size))
        norm = result.health.squared_norms[0]
        lines.append(
            f"{evening.names[i]:<40} cosine {cosines[-1]:.8f}, relative error {errors[-1]:.2e}, "
            f"squared norm {norm:.1f}"
        )
    differences = []
    for a, b in PAIRS:
        score = evening.client.score(evening.result(f"score{a}-{b}.ct", "score"))
        clear = float(evening.expected[a] @ evening.expected[b])
        differences.append(abs(score.value - clear))
        lines.append(f"score of faces {a} and {b}: {score.value:.6f}, cleartext {clear:.6f}")
    with capsys.disabled():
        print("\n" + "\n".join(lines))
    assert len(cosines) == FACES
    assert min(cosines) >= 0.9999
    assert max(errors) <= 0.01
    assert max(differences) <= 0.005


def test_a_device_sends_a_face(evening: Evening, capsys: pytest.CaptureFixture[str]) -> None:
    """Switched to its owner's key it is as exact as what the owner sent."""
    answer, sent = evening.result("answer.ct", "embedding"), evening.folder / "sent.ct"
    assert answer.key_id == evening.client.key_id
    expected = evening.expected[0]
    found = evening.client.embedding(answer, [sent]).values
    own = evening.client.embedding(evening.result("embedding0.ct", "embedding")).values
    size = np.linalg.norm(expected)
    errors = [float(np.linalg.norm(one - expected) / size) for one in (own, found)]
    with capsys.disabled():
        print(f"\nrelative error: {errors[0]:.2e} of the owner's, {errors[1]:.2e} of a device's")
    assert float(found @ expected / (size * np.linalg.norm(found))) >= 0.9999
    assert errors[1] <= 0.01
    assert sent.stat().st_size <= 15 * MB
    (key,) = (evening.folder / "devices").glob("*.key")
    assert key.stat().st_size <= 22 * MB


def test_sizes_and_memory(evening: Evening, capsys: pytest.CaptureFixture[str]) -> None:
    keys = (evening.folder / "evaluation.key").stat().st_size
    face = (evening.folder / "face0.ct").stat().st_size
    peak = evening.report["peak_rss_bytes"]
    weights = evening.report["packed_weight_bytes"]
    seconds = evening.report["embed_seconds"]
    with capsys.disabled():
        print(
            f"\nevaluation keys {keys / GB:.2f} GB, encrypted face {face / MB:.0f} MB, packed "
            f"weights {weights / MB:.0f} MB, server peak {peak / GB:.1f} GB, "
            f"embedding {min(seconds):.1f} to {max(seconds):.1f} s, "
            f"match {min(evening.report['match_seconds']):.2f} s, "
            f"{evening.report['threads']} threads"
        )
    assert keys <= 6 * GB
    assert face <= 64 * MB
    assert weights <= 1 * GB
    assert peak <= 16 << 30


@pytest.mark.parametrize("number", [FACES, FACES + 1], ids=["diverging face", "uniform noise"])
def test_faces_on_which_the_network_diverges(
    evening: Evening, checkpoint: Path, number: int
) -> None:
    network = load_network(checkpoint)
    raw = reference.embed(network, evening.units[number : number + 1])
    assert not reference.squared_norm(raw)[0] < 1e6  # in the clear as well, if not NaN
    with pytest.raises(UnhealthyResultError) as caught:
        evening.client.embedding(evening.result(f"embedding{number}.ct", "embedding"))
    assert caught.value.report.failures
    name = f"score0-{FACES}.ct" if number == FACES else f"score{FACES + 1}-0.ct"
    with pytest.raises(UnhealthyResultError):
        evening.client.score(evening.result(name, "score"))


def test_the_server_had_nothing_to_decrypt_with(evening: Evening) -> None:
    require_nothing_to_decrypt_with(evening.witness)
