"""A batch through the same call as one face, at full size, with the official checkpoint.

One set of keys and one server serve all tests of this file. A batch takes as long whatever it
holds, but one in which a face diverges is computed again, with less contrast: it does, and is full,
in the long run only. Otherwise test_full_size.py has faces that diverge, and
tests/core/test_batch_client_server.py what becomes of their partners on small rings.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core.formats.ciphertexts import Bundle
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Embedding, Score
from fhe_face.client.embedding import CONTRASTS, Embedded
from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.engine import choose_engine
from fhe_face.models.checkpoint import load_state
from fhe_face.models.fused import FusedNetwork, fuse
from fhe_face.models.reference import embed, normalise, unit_images
from fhe_face.places import Packing, Run, numbered
from fhe_face.server.server import FaceServer
from fhe_face.system import peak_memory_bytes
from tests.extent import LONG
from tests.face.witness import short_lived

pytestmark = pytest.mark.full

FACES = 64 if LONG else 13
#: Where the diverging face stands.
CULPRITS = [40] if LONG else []
GB = 1e9


@dataclass
class Recorder:
    """A server that keeps its answers."""

    server: FaceServer
    answers: list[Bundle] = field(default_factory=list)

    def embed(self, bundle: Bundle) -> Bundle:
        self.answers.append(self.server.embed(bundle))
        return self.answers[-1]


@dataclass(frozen=True)
class Evening:
    """What a client with one secret and a server made of real faces, in 64 some are repeated."""

    client: FaceClient
    server: Recorder
    keys: Path
    chosen: NDArray[np.intp]
    found: Embedded
    wall: float


class Batching(FaceClient):
    """Computes few faces in a batch, too."""

    def plan(self, faces: int, **_: object) -> tuple[Run, ...]:
        return numbered([(Packing.BATCH, faces)])


@pytest.fixture(scope="module")
def evening(
    checkpoint: Path,
    vectors: Mapping[str, NDArray[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Evening]:
    with short_lived(tmp_path_factory, "full-batch") as folder:
        client = Batching.create(folder, engine=choose_engine(packings=Packing))
        server = Recorder(FaceServer.load(folder / "evaluation.key", checkpoint))
        healthy = np.flatnonzero(vectors["healthy"])
        chosen = healthy[np.arange(FACES) % len(healthy)]
        chosen[CULPRITS] = np.flatnonzero(~vectors["healthy"])[0]
        started = time.perf_counter()
        found = client.embed([vectors["crops"][i] for i in chosen], server)
        wall = time.perf_counter() - started
        yield Evening(client, server, folder / "evaluation.key", chosen, found, wall)


def clear_results(
    network: FusedNetwork, crops: NDArray[np.uint8], contrasts: Sequence[float]
) -> NDArray[np.float64]:
    """What faces of that contrast come to in the clear."""
    factors = np.asarray(contrasts)[:, None, None, None]
    images = unit_images(crops, network.input_size) * factors
    return normalise(embed(network, images), FittedNormalisation.load().coefficients)


def test_all_faces_have_embeddings(
    evening: Evening,
    checkpoint: Path,
    vectors: Mapping[str, NDArray[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of the one that diverges, and of all that it spoiled, with less contrast."""
    found = evening.found
    with capsys.disabled():
        print(f"\n{found.summary()} ({evening.wall:.0f} s with client)")
        for one in found.rounds:
            packed = [f"{run.packing.value} {run.faces}" for run in one.runs]
            print(f"  {one.faces} faces in {one.seconds:.1f} s: {', '.join(packed)}")
        print(f"peak of client and server {peak_memory_bytes() / GB:.1f} GB")
    assert found.refused == []
    results = [one for one in found.results if isinstance(one, Embedding)]
    assert len(results) == FACES
    contrasts = [one.contrast for one in results]
    assert all(contrasts[culprit] in CONTRASTS[1:] for culprit in CULPRITS)
    assert [run.packing for run in found.rounds[0].runs] == [Packing.BATCH]
    # A batch that wrapped around is one more batch, not its faces one by one.
    assert len(found.rounds) == (2 if CULPRITS else 1)
    assert set(contrasts) == ({CONTRASTS[1]} if CULPRITS else {1.0})
    crops = vectors["crops"][evening.chosen]
    if CULPRITS:
        expected = clear_results(fuse(load_state(checkpoint)), crops, contrasts)
    else:
        expected = vectors["normalised"][evening.chosen]
    values = np.stack([one.values for one in results])
    sizes = np.linalg.norm(expected, axis=1)
    cosines = np.sum(values * expected, axis=1) / (sizes * np.linalg.norm(values, axis=1))
    errors = np.linalg.norm(values - expected, axis=1) / sizes
    with capsys.disabled():
        print(f"cosine at least {cosines.min():.8f}, relative error at most {errors.max():.2e}")
    assert cosines.min() >= 0.9999
    assert errors.max() <= 0.01
    assert evening.keys.stat().st_size <= 2.5 * GB


def test_a_face_alone_against_a_batch(
    evening: Evening, vectors: Mapping[str, NDArray[Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Both with keys of one secret; one match of two ciphertexts for all faces."""
    crops = [vectors["crops"][i] for i in np.flatnonzero(vectors["healthy"])]
    expected = vectors["normalised"][np.flatnonzero(vectors["healthy"])]
    batch = numbered([(Packing.BATCH, len(crops))])
    many = evening.server.answers[0]
    if CULPRITS:  # the first batch holds noise
        many = evening.server.embed(evening.client.encrypt(crops, runs=batch))
    alone = numbered([(Packing.ALONE, 1)])
    one = evening.server.embed(evening.client.encrypt([crops[0]], runs=alone))
    scores = evening.client.decrypt(evening.server.server.match(one, many))
    assert len(scores) == len(crops)
    for score, clear in zip(scores, expected @ expected[0], strict=True):
        assert isinstance(score, Score)
        assert abs(score.value - clear) <= 0.01
    for result in evening.client.decrypt(many):
        assert isinstance(result, Embedding)
    weights = evening.server.server.packed_weight_bytes
    with capsys.disabled():
        print(f"\nweights {weights / 1e6:.0f} MB")
    assert weights <= 2 * 400e6  # of two plans, each with the residues of its masks
