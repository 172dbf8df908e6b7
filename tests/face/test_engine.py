"""What client and server must agree on without talking: the architecture and the network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from fhe_core.compiler.architecture import architecture_of
from fhe_face.engine import INPUT_SIZE, WeightsError, architecture, load_network
from fhe_face.images import to_unit
from models import reference
from models.checkpoint import save_safetensors
from models.fused import fuse
from models.layers import FusedNetwork
from models.synthetic import untrained


@pytest.fixture(scope="module")
def network() -> FusedNetwork:
    return load_network(None)


def test_the_architecture_is_that_of_the_network(network: FusedNetwork) -> None:
    assert architecture_of(network) == architecture()
    assert network.input_size == INPUT_SIZE


def test_loading_is_deterministic(network: FusedNetwork) -> None:
    def digest(loaded: FusedNetwork) -> str:
        arrays = [loaded.stem.weight, loaded.head_weight, loaded.blocks[2].conv1.weight]
        return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()

    assert digest(load_network(None)) == digest(network)


def test_balancing_changes_nothing_but_the_stored_numbers(network: FusedNetwork) -> None:
    state = untrained(0)
    images = np.random.default_rng(5).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    units = np.stack([to_unit(image) for image in images])
    plain = reference.embed(fuse(state), units)
    assert np.allclose(reference.embed(network, units), plain, rtol=1e-9, atol=1e-9)


def test_weights_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "nine.safetensors"
    save_safetensors(untrained(0, 96), file)
    with pytest.raises(WeightsError, match=r"nine\.safetensors: a network for 96x96 faces"):
        load_network(file)
    state = untrained(0)
    state["nets.1.layers.0.herpn1.weight"] = np.zeros_like(state["nets.1.layers.0.herpn1.weight"])
    file = tmp_path / "dead.safetensors"
    save_safetensors(state, file)
    with pytest.raises(WeightsError, match=r"dead\.safetensors: nets\.1"):
        load_network(file)
