"""Untrained networks stay in range; small random ones fit together."""

import numpy as np
import pytest

from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.models.architecture import state_shapes, training_shapes
from fhe_face.models.calibration import images
from fhe_face.models.fused import fuse
from fhe_face.models.reference import Trace, embed, squared_norm
from fhe_face.models.synthetic import random_fused, rough_images, untrained


@pytest.mark.parametrize("size", [64, 96])
def test_untrained_is_bounded_and_healthy(size: int) -> None:
    network = fuse(untrained(7, size))
    generator = np.random.default_rng(70)
    batch = np.concatenate([images(generator, 6, size), rough_images(generator, 8, size)])
    norms = squared_norm(embed(network, batch))
    assert all(FittedNormalisation.load().contains(float(y)) for y in norms)
    assert norms[:6].min() > 250
    assert norms[:6].max() < 900


def test_untrained_is_deterministic_and_complete() -> None:
    one, two, other = untrained(1), untrained(1), untrained(2)
    assert set(one) == {*state_shapes(4), *training_shapes(4)}
    assert all(np.array_equal(one[k], two[k]) for k in one)
    assert not np.array_equal(one["linear.weight"], other["linear.weight"])
    assert {t.dtype for t in one.values()} == {np.dtype(np.float32), np.dtype(np.int64)}
    with pytest.raises(ValueError, match="input size is 65"):
        untrained(0, 65)


@pytest.mark.parametrize(
    ("size", "patch", "channels", "strides"),
    [(16, 8, (4, 4, 8), (1, 2)), (8, 8, (2, 2), (1,)), (24, 8, (3, 6), (2,)), (32, 16, (4,), ())],
)
def test_random_fused(
    size: int, patch: int, channels: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    network = random_fused(0, size, patch, channels, strides, embedding=10)
    assert network.patches == (size // patch) ** 2
    trace: Trace = []
    out = embed(network, images(np.random.default_rng(1), 3, size), trace)
    assert out.shape == (3, 10)
    assert all(np.abs(tensor).max() < 300 for _, tensor in trace)
    assert 0.1 < np.abs(out).max() < 30
    for block in network.blocks:
        matrix = block.shortcut_matrix()
        assert matrix.shape == (network.patches, block.conv2.outputs, block.conv1.inputs)


def test_random_fused_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        random_fused(0, channels=(4, 4), strides=(1, 2))
