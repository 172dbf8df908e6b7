"""The fused network against the known answers of the official checkpoint, and its errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.models.architecture import check_state, state_shapes
from fhe_face.models.checkpoint import load_state
from fhe_face.models.fused import FusedConv, FusedNetwork, fuse
from fhe_face.models.reference import Trace, embed, normalise, squared_norm, unit_images
from fhe_face.models.synthetic import random_fused, untrained

State = dict[str, NDArray[Any]]
Vectors = Mapping[str, NDArray[Any]]


@pytest.fixture(scope="module")
def state() -> State:
    return untrained(3)


def test_known_answers_of_the_official_checkpoint(checkpoint: Path, vectors: Vectors) -> None:
    pytest.importorskip("torch")
    network = fuse(load_state(checkpoint))
    trace: Trace = []
    ours = embed(network, vectors["crops"], trace)
    error = np.linalg.norm(ours - vectors["embedding"], axis=1)
    assert (error <= 1e-9 * np.linalg.norm(vectors["embedding"], axis=1)).all()
    np.testing.assert_allclose(squared_norm(ours), vectors["squared_norm"], rtol=1e-9)
    scaled = normalise(ours, FittedNormalisation.load().coefficients)
    healthy = vectors["healthy"]
    error = np.linalg.norm(scaled[healthy] - vectors["normalised"][healthy], axis=1)
    assert (error <= 1e-9 * np.linalg.norm(vectors["normalised"][healthy], axis=1)).all()
    norms = squared_norm(ours)
    assert [FittedNormalisation.load().contains(float(y)) for y in norms] == healthy.tolist()

    tensors = dict(trace)
    plain = tensors["stem"][0, 0] - network.stem.bias[0][:, None, None]
    np.testing.assert_allclose(plain, vectors["patch0_conv"], atol=1e-11)
    for j in range(5):
        # z is the known tensor plus a constant per channel, the completed square's shift.
        want = vectors[f"patch0_block{j}"]
        difference = tensors[f"block{j}.out"][0, 0] - want
        spread = difference.max(axis=(1, 2)) - difference.min(axis=(1, 2))
        assert spread.max() <= 1e-9 * np.abs(want).max()


def test_diverging_images_give_no_warnings(checkpoint: Path) -> None:
    pytest.importorskip("torch")
    network = fuse(load_state(checkpoint))
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    norms = squared_norm(embed(network, noise))
    assert not any(FittedNormalisation.load().contains(float(y)) for y in norms)


@pytest.mark.parametrize(("size", "patches"), [(64, 4), (96, 9), (128, 16)])
def test_sizes(size: int, patches: int) -> None:
    network = fuse(untrained(0, size))
    assert (network.patches, network.input_size, network.embedding) == (patches, size, 256)
    assert network.sizes() == (32, 32, 16, 16, 8, 8)
    assert network.head_weight.shape == (256, patches, 64, 2, 2)


def test_missing_tensor_is_named(state: State) -> None:
    for name in ("linear.bias", "nets.2.layers.3.shortcut.1.running_var", "nets.0.conv.weight"):
        broken = {k: v for k, v in state.items() if k != name}
        with pytest.raises(ValueError, match=f"^{name}: tensor missing"):
            fuse(broken)


def test_a_missing_patch_is_named(state: State) -> None:
    broken = {k: v for k, v in state.items() if not k.startswith("nets.3.")}
    with pytest.raises(ValueError, match="3 patch networks"):
        fuse(broken)
    with pytest.raises(ValueError, match="0 patch networks"):
        fuse({})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_tensor_is_named(state: State, value: float) -> None:
    name = "nets.1.layers.0.conv1.weight"
    with pytest.raises(ValueError, match=f"^{name}: holds NaN or infinite"):
        fuse({**state, name: np.full_like(state[name], value)})


def test_wrong_shape_type_and_variance_are_named(state: State) -> None:
    name = "nets.1.bn.running_var"
    with pytest.raises(ValueError, match=rf"^{name}: shape is \(255,\)"):
        fuse({**state, name: state[name][1:]})
    with pytest.raises(ValueError, match=f"^{name}: type is int64"):
        fuse({**state, name: state[name].astype(np.int64)})
    with pytest.raises(ValueError, match=f"^{name}: holds a negative variance"):
        fuse({**state, name: -state[name]})


@pytest.mark.parametrize("value", [0.0, "variance"])
def test_leading_coefficient_too_small(state: State, value: object) -> None:
    at = "nets.1.layers.4.herpn2"
    broken = dict(state)
    if value == "variance":
        broken[f"{at}.bn2.running_var"] = np.full(64, 1e30)
    else:
        broken[f"{at}.weight"] = np.zeros((64, 1, 1))
    with pytest.raises(ValueError, match=rf"^{at}\.weight: channel 0 has the leading coefficient"):
        fuse(broken)


def test_state_shapes_are_complete(state: State) -> None:
    assert check_state(state) == 4
    assert set(state_shapes(4)) < set(state)


def test_fused_arrays_are_read_only(state: State) -> None:
    with pytest.raises(ValueError, match="read-only"):
        fuse(state).head_bias[0] = 1


def test_layers_that_do_not_fit_are_refused() -> None:
    good = FusedConv(np.zeros((4, 2, 3, 3, 3)), np.zeros((4, 2)), 1, 1)
    assert (good.patches, good.outputs, good.inputs, good.kernel) == (4, 2, 3, 3)
    with pytest.raises(ValueError, match=r"FusedConv\.bias: shape"):
        FusedConv(good.weight, np.zeros((4, 3)), 1, 1)
    with pytest.raises(ValueError, match="NaN"):
        FusedConv(good.weight, np.full((4, 2), np.nan), 1, 1)
    with pytest.raises(ValueError, match="do not tile"):
        FusedNetwork(16, 4, good, (), np.zeros((4, 2)), np.zeros((5, 4, 2, 2, 2)), np.zeros(5))


def test_images_of_another_shape_type_or_range() -> None:
    network = random_fused(0)
    good = np.zeros((1, 3, 16, 16))
    assert embed(network, good).shape == (1, 16)
    assert embed(network, np.zeros((0, 16, 16, 3), np.uint8)).shape == (0, 16)
    for bad in (
        np.zeros((1, 16, 16, 3)),
        np.zeros((1, 3, 16, 16), np.float32),
        np.zeros((1, 3, 16, 16), np.uint8),
        np.full((1, 3, 16, 16), 200.0),
    ):
        with pytest.raises(ValueError, match="images: "):
            embed(network, bad)
    assert np.isnan(embed(network, np.full_like(good, np.nan))).all()


def test_bytes_and_floats_agree() -> None:
    network = random_fused(1)
    pixels = np.random.default_rng(1).integers(0, 256, (11, 16, 16, 3), dtype=np.uint8)
    floats = unit_images(pixels, 16)
    assert floats.min() >= -1
    assert floats.max() <= 1
    trace: Trace = []
    assert np.array_equal(embed(network, pixels), embed(network, floats, trace))
    assert [name for name, _ in trace][:3] == ["input", "stem", "block0.square1"]
    assert all(len(tensor) == 11 for _, tensor in trace)


def test_normalise() -> None:
    embedding = np.array([[3.0, 4.0], [0.0, 1.0]])
    np.testing.assert_allclose(
        normalise(embedding, (2.0, 1.0, 0.5)), embedding * [[2 * 625 + 25.5], [3.5]]
    )
    assert normalise(embedding[0], (1.0, 0.0)).shape == (2,)
