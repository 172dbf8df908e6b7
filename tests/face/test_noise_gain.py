"""The noise gain that a client estimates before it encrypts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_face.client.noise_gain import (
    LEAN,
    MAX_GAIN,
    FixedNoise,
    LayerNoise,
    NoiseGainError,
    disturbance,
    noise_gain,
    require_calm,
)
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import embed
from fhe_face.models.synthetic import random_fused
from fhe_face.network import load_network
from fhe_face.photos.images import to_unit
from tests.core.tiny import Array, cancelling, images_for


@pytest.fixture(scope="module")
def network() -> FusedNetwork:
    return random_fused(0)


@pytest.fixture(scope="module")
def image(network: FusedNetwork) -> Array:
    return np.asarray(images_for(network, 1)[0])


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_an_image_whose_features_cancel_has_a_large_gain(
    network: FusedNetwork, image: Array
) -> None:
    crafted = cancelling(network, image, 3.0)
    assert np.allclose(embed(crafted, image[None]), embed(network, image[None]))
    assert require_calm(network, image, generator=seeded()) < MAX_GAIN / 3
    with pytest.raises(NoiseGainError, match=r"would turn this image's embedding by 0\.\d+"):
        require_calm(crafted, image, generator=seeded())


def test_the_gain_follows_the_noise(network: FusedNetwork, image: Array) -> None:
    assert noise_gain(network, image, noise=LayerNoise(0, 0, 0, 0)) < 1e-12
    twice = LayerNoise(*(2 * value for value in vars(LEAN).values()))
    gains = [
        noise_gain(network, image, noise=noise, draws=64, generator=seeded())
        for noise in (LEAN, twice)
    ]
    assert gains[1] == pytest.approx(2 * gains[0], rel=0.05)


def test_nobody_chooses_the_draws(network: FusedNetwork, image: Array) -> None:
    assert noise_gain(network, image) != noise_gain(network, image)
    again = [noise_gain(network, image, generator=seeded(3)) for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize("weight", [1e160, 1e300])
def test_a_network_that_overflows_has_no_gain(
    network: FusedNetwork, image: Array, weight: float
) -> None:
    """Squares of embeddings overflow before these do; a direction is then zero in both."""
    weights = network.head_weight.copy()
    weights[0, 0, 0, 0, 0] = weight
    diverging = replace(network, head_weight=weights)
    assert noise_gain(diverging, image) == math.inf
    with pytest.raises(NoiseGainError):
        require_calm(diverging, image)


def test_what_is_no_image_is_refused(network: FusedNetwork, image: Array) -> None:
    for draws in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            noise_gain(network, image, draws=draws)
    for bad in (image[:2], image * 3, image.astype(np.float32)):
        with pytest.raises(ValueError, match="image"):
            noise_gain(network, bad)


def test_rounded_weights_disturb_all_images_alike(network: FusedNetwork, image: Array) -> None:
    many = np.stack([image, image])
    only = replace(LEAN, conv1=0.0, embedding=0.0)
    fixed = FixedNoise(0)
    first, second = embed(network, many, disturb=disturbance(only, seeded(), fixed))
    assert np.array_equal(first, second)
    later = embed(network, many[:1], disturb=disturbance(only, seeded(1), fixed))[0]
    assert np.allclose(first, later, atol=1e-9)
    assert not np.allclose(first, embed(network, many)[0])
    free = embed(network, many, disturb=disturbance(only, seeded()))
    assert not np.array_equal(free[0], free[1])


def test_the_official_network(checkpoint: Path, vectors: Mapping[str, NDArray[Any]]) -> None:
    """Real faces are far below the limit."""
    official = load_network(checkpoint)
    faces = [to_unit(crop) for crop in vectors["crops"][vectors["healthy"]][:3]]
    for face in faces:
        assert 0.002 < noise_gain(official, face, draws=2) < MAX_GAIN / 2
