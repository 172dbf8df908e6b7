"""The network in float32 against the reference in float64."""

import numpy as np
import pytest

from fhe_face.models.calibration import images
from fhe_face.models.fused import fuse
from fhe_face.models.reference import embed, unit_images
from fhe_face.models.single import SingleNetwork
from fhe_face.models.synthetic import untrained


@pytest.mark.parametrize("size", [64, 96])
def test_digits_of_float32(size: int) -> None:
    network = fuse(untrained(2, size))
    crops = images(np.random.default_rng(1), 2, size)
    wanted = embed(network, crops)
    single = SingleNetwork(network)
    for given in (crops, unit_images(crops, size)):
        found = single.embed(given)
        errors = np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
        assert found.dtype == np.float64
        assert errors.max() < 1e-5
    assert single.embed(crops[:0]).shape == (0, 256)
    with pytest.raises(ValueError, match="uint8 images"):
        single.embed(crops[:, 1:])


def test_a_diverging_face_is_computed_in_float64() -> None:
    """Where float32 overflows, the numbers are those of the reference, bit for bit."""
    state = untrained(0)
    for name in list(state):
        if name.endswith("layers.4.conv2.weight"):
            state[name] = state[name] * np.float32(1e5)
    network = fuse(state)
    crops = images(np.random.default_rng(3), 2, 64)
    wanted = embed(network, crops)
    assert (np.square(wanted).sum(axis=1) > 1e5).all()
    assert np.array_equal(SingleNetwork(network).embed(crops), wanted)
    broken = unit_images(crops, 64).copy()
    broken[0, 0, 0, 0] = np.nan
    assert np.isnan(SingleNetwork(network).embed(broken)[0]).all()
