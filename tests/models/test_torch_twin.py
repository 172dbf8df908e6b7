"""The training form in torch against the fused form in numpy, and strict loading."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_face.models.calibration import images
from fhe_face.models.checkpoint import load
from fhe_face.models.fused import fuse
from fhe_face.models.reference import embed, unit_images
from fhe_face.models.synthetic import untrained

torch = pytest.importorskip("torch")
cryptoface = pytest.importorskip("fhe_face.models.cryptoface")


@pytest.mark.parametrize("size", [64, 96, 128])
def test_training_form_equals_fused_form(size: int) -> None:
    state = untrained(5, size)
    batch = images(np.random.default_rng(5), 3, size)
    network = cryptoface.CryptoFaceNet.from_state(state).double()
    theirs = network(torch.from_numpy(unit_images(batch, size))).detach().numpy()
    ours = embed(fuse(network.state()), batch)
    assert np.abs(ours - theirs).max() <= 1e-9 * np.abs(theirs).max()


def test_official_checkpoint(checkpoint: Path, vectors: Mapping[str, NDArray[Any]]) -> None:
    loaded = load(checkpoint)
    assert loaded.sha256.startswith("e5b54e31c392959f")
    assert (loaded.kind, loaded.input_size) == ("torch", 64)
    network = cryptoface.CryptoFaceNet.from_state(loaded.state).double()
    batch = torch.from_numpy(unit_images(vectors["crops"], 64))
    theirs = network(batch).detach().numpy()
    error = np.linalg.norm(theirs - vectors["embedding"], axis=1)
    assert (error <= 1e-9 * np.linalg.norm(vectors["embedding"], axis=1)).all()
    features = network.features(batch[:1]).detach().numpy()
    np.testing.assert_allclose(features[0, 0], vectors["patch0_features"], atol=1e-11)


def test_loading_is_strict() -> None:
    state = untrained(0)
    with pytest.raises(ValueError, match="extra"):
        cryptoface.CryptoFaceNet.from_state({**state, "extra": np.zeros(1)})
    del state["jigsaw.bias"]
    with pytest.raises(ValueError, match=r"jigsaw\.bias"):
        cryptoface.CryptoFaceNet.from_state(state)


def test_jigsaw_and_wrong_images() -> None:
    network = cryptoface.CryptoFaceNet(96)
    features = network.eval().features(torch.zeros(2, 3, 96, 96))
    assert features.shape == (2, 9, 256)
    assert network.jigsaw_logits(features).shape == (2, 9, 9)
    with pytest.raises(ValueError, match="images: "):
        network(torch.zeros(2, 3, 64, 64))
    with pytest.raises(ValueError, match="input size"):
        cryptoface.CryptoFaceNet(65)


def test_training_step_reaches_every_parameter() -> None:
    torch.manual_seed(0)
    network = cryptoface.CryptoFaceNet(64).train()
    features = network.features(torch.rand(4, 3, 64, 64) * 2 - 1)
    embedding = network.bn(network.linear(features.flatten(1)))
    loss = embedding.square().mean() + network.jigsaw_logits(features).square().mean()
    (loss + embedding[:, 0].sum()).backward()
    assert all(p.grad is not None for p in network.parameters())
