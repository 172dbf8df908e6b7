"""The drawn faces of the demo are healthy with real and with untrained weights."""

from pathlib import Path

import numpy as np
import pytest

from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.demo_faces import demo_faces
from fhe_face.models.architecture import State
from fhe_face.models.checkpoint import load_state
from fhe_face.models.fused import fuse
from fhe_face.models.reference import embed, squared_norm
from fhe_face.models.synthetic import untrained


def _score(state: State) -> float:
    embeddings = embed(fuse(state), np.stack(demo_faces()))
    norms = squared_norm(embeddings)
    assert all(FittedNormalisation.load().contains(float(y)) for y in norms), norms
    return float(embeddings[0] @ embeddings[1] / np.sqrt(norms.prod()))


def test_shape_and_determinism() -> None:
    first, second = demo_faces()
    assert first.shape == second.shape == (64, 64, 3)
    assert first.dtype == second.dtype == np.uint8
    assert np.array_equal(first, demo_faces()[0])
    assert np.abs(first.astype(int) - second).mean() > 3


def test_healthy_with_untrained_weights() -> None:
    _score(untrained(0))


def test_healthy_and_alike_with_the_official_checkpoint(checkpoint: Path) -> None:
    pytest.importorskip("torch")
    assert _score(load_state(checkpoint)) > 0.7
