"""What client and server must agree on without talking: the architecture and the network."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from fhe_core.analysis.precision import predict
from fhe_core.compiler.architecture import architecture_of
from fhe_core.normalisation import Normalisation
from fhe_core.plan import PlanError
from fhe_face.circuit import INPUT_SIZE, Circuit, CircuitError, normalisation_of
from fhe_face.engine import architecture, choose_engine, compile_engine
from fhe_face.models import reference
from fhe_face.models.checkpoint import Checkpoint, load, save_safetensors
from fhe_face.models.fused import fuse
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.synthetic import untrained
from fhe_face.network import (
    WeightsError,
    bundled_weights,
    load_network,
    network_of,
    recommended_normalisation,
    require_size,
)
from fhe_face.photos.images import to_unit
from tests.core import tiny


@pytest.fixture(scope="module")
def network() -> FusedNetwork:
    return network_of(Checkpoint(untrained(0), Path("untrained"), "safetensors", "", {}, 4))


def test_the_architecture_is_that_of_the_network(network: FusedNetwork) -> None:
    assert architecture_of(network) == architecture()
    assert network.input_size == INPUT_SIZE


def test_loading_is_deterministic(network: FusedNetwork) -> None:
    def digest(loaded: FusedNetwork) -> str:
        arrays = [loaded.stem.weight, loaded.head_weight, loaded.blocks[2].conv1.weight]
        return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()

    state = Checkpoint(untrained(0), Path("untrained"), "safetensors", "", {}, 4)
    assert digest(network_of(state)) == digest(network)


def test_the_bundled_network_is_the_default() -> None:
    checkpoint = load(bundled_weights())
    network = load_network(None)
    assert network.input_size == checkpoint.input_size == INPUT_SIZE
    assert checkpoint.manifest is not None
    assert checkpoint.manifest.training
    normalisation = recommended_normalisation(checkpoint)
    assert normalisation is not None
    assert choose_engine(normalisation).parameters.log2_qp <= 1747


def test_weights_without_a_manifest_recommend_nothing() -> None:
    assert (
        recommended_normalisation(Checkpoint(untrained(0), Path("x"), "torch", "", {}, 4)) is None
    )


def test_balancing_changes_nothing_but_the_stored_numbers(network: FusedNetwork) -> None:
    state = untrained(0)
    images = np.random.default_rng(5).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    units = np.stack([to_unit(image) for image in images])
    plain = reference.embed(fuse(state), units)
    assert np.allclose(reference.embed(network, units), plain, rtol=1e-9, atol=1e-9)


def test_weights_of_another_size_than_the_keys(network: FusedNetwork) -> None:
    circuit = Circuit("safe", normalisation_of(None), input_size=96)
    with pytest.raises(
        WeightsError, match=r"x\.safetensors: a network for faces of 64 pixels.* 96"
    ):
        require_size(network, circuit, "x.safetensors")


def chebyshev_of(degree: int) -> tuple[float, ...]:
    low, high = 100.0, 3000.0
    t = np.polynomial.chebyshev.chebpts1(4 * degree)
    y = (low + high + (high - low) * t) / 2
    series = np.polynomial.chebyshev.chebfit(t, 1 / np.sqrt(y), degree)
    return tuple(float(c) for c in series)


@pytest.mark.parametrize(
    ("degree", "preset", "noise"),
    [
        (1, "lean", 2e-5),
        (2, "lean", 2e-5),
        (3, "lean", 2e-5),
        (4, "deep", 2e-7),
        (15, "deep", 2e-7),
    ],
)
def test_the_cheapest_preset_that_is_long_enough(degree: int, preset: str, noise: float) -> None:
    normalisation = Normalisation(chebyshev_of(degree), (100.0, 3000.0))
    engine = choose_engine(normalisation)
    assert engine.parameters.name == preset
    unit = np.tile(tiny.unit_vectors(1, 256)[0], engine.parameters.slots // 256)
    *_, score = predict(engine.match_plan, {}, engine.parameters, [unit, unit])
    assert score.predicted_std < noise
    described = engine.circuit.describe()
    assert Circuit.from_description(described) == engine.circuit


def test_circuits_that_do_not_exist() -> None:
    with pytest.raises(CircuitError, match="64, 96 or 128"):
        choose_engine(input_size=65)
    with pytest.raises(CircuitError, match="1 or 2"):
        choose_engine(views=3)
    with pytest.raises(CircuitError, match="no preset 'fast'"):
        compile_engine(Circuit("fast", normalisation_of(None)))
    with pytest.raises(PlanError, match="degree 31"):
        choose_engine(Normalisation(chebyshev_of(10), (100.0, 3000.0), newton_steps=1))
    for content in (
        None,
        {},
        {"preset": 1},
        {**Circuit("safe", normalisation_of(None)).describe(), "views": 0},
    ):
        with pytest.raises(CircuitError):
            Circuit.from_description(content)


@pytest.mark.parametrize("size", [96, 128])
def test_larger_faces_compile_with_the_same_keys(size: int) -> None:
    small, large = choose_engine(), choose_engine(input_size=size)
    assert large.keys() == small.keys()
    assert large.parameters == small.parameters


def test_weights_that_cannot_be_used(tmp_path: Path) -> None:
    state = untrained(0)
    state["nets.1.layers.0.herpn1.weight"] = np.zeros_like(state["nets.1.layers.0.herpn1.weight"])
    file = tmp_path / "dead.safetensors"
    save_safetensors(state, file)
    with pytest.raises(WeightsError, match=r"dead\.safetensors: nets\.1"):
        load_network(file)
