"""The bundled weights: what the card says they are, and no picture makes them diverge."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.fused import fuse
from fhe_face.models.training.bounds import (
    AIMS,
    INTERVAL,
    Typical,
    extremes,
    hunted,
    ordinary_pictures,
)
from fhe_face.models.training.stress import stress_images

#: Bits of room that the encrypted computation has above the typical size of a value.
HEADROOM = 2.0**6


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    return repository / "models" / "bundled"


@pytest.fixture(scope="module")
def bundled(folder: Path) -> Checkpoint:
    return load(folder / "cryptofacenet4.safetensors")


@pytest.fixture(scope="module")
def network(bundled: Checkpoint) -> CryptoFaceNet:
    return CryptoFaceNet.from_state(bundled.state)


def test_the_card_is_about_this_file(bundled: Checkpoint, folder: Path) -> None:
    card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert bundled.tensors_sha256 in card
    assert bundled.input_size == 64
    assert bundled.manifest is not None
    record = bundled.manifest.training
    assert "gan-face-generate" in json.dumps(record)
    assert "SFace" in json.dumps(record)


def norms(network: CryptoFaceNet, pictures: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        parts = [network(part).double().square().sum(1) for part in torch.split(pictures, 50)]
    return torch.cat(parts)


def test_stress_images_stay_inside_the_interval(network: CryptoFaceNet) -> None:
    """Another seed than training used; every kind 20 times."""
    found = norms(network, stress_images(20260101, 200))
    assert found.isfinite().all()
    assert INTERVAL[0] < found.min()
    assert found.max() < INTERVAL[1]


def test_constant_pictures_stay_inside_the_interval(network: CryptoFaceNet) -> None:
    """All corners of the colour cube, and grey."""
    levels = torch.tensor([-1.0, 0.0, 1.0])
    colours = torch.cartesian_prod(levels, levels, levels).view(-1, 3, 1, 1)
    found = norms(network, colours.expand(-1, 3, 64, 64).contiguous())
    assert INTERVAL[0] < found.min()
    assert found.max() < INTERVAL[1]


@pytest.mark.parametrize("aim", list(AIMS))
def test_hunted_pictures_do_not_overflow(network: CryptoFaceNet, aim: str) -> None:
    """Gradient ascent on pixels: values stay within the room that there is."""
    ordinary = torch.from_numpy(ordinary_pictures(None, 3)).float()
    start = torch.cat([ordinary, stress_images(5, 3)])
    pictures = hunted(network, start, 15, AIMS[aim]).double().numpy()
    fused = fuse(network.state())
    found = extremes(fused, pictures, Typical.of(fused, ordinary_pictures(None, 8)))
    assert found.diverged == 0
    assert found.largest_value < 8 * HEADROOM
    assert found.largest_norm < 3 * INTERVAL[1]


def test_faces_are_told_apart_at_all(network: CryptoFaceNet) -> None:
    """Not measured here (that takes people); but different pictures differ, and equal ones agree
    under a small change."""
    pictures = torch.from_numpy(ordinary_pictures(None, 8)).float()
    with torch.no_grad():
        both = network(torch.cat([pictures, (pictures + 0.02).clamp(-1, 1)])).double()
    unit = torch.nn.functional.normalize(both)
    scores = (unit[:8] @ unit[8:].T).numpy()
    others = scores[~np.eye(8, dtype=bool)]
    assert scores.diagonal().min() > 0.9
    assert others.mean() < 0.8
