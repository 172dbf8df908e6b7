"""The network in float32 against the reference in float64."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_face.models.calibration import images
from fhe_face.models.fused import fuse
from fhe_face.models.layers import FusedBlock, FusedConv, FusedNetwork
from fhe_face.models.reference import embed, unit_images
from fhe_face.models.single import SingleNetwork
from fhe_face.models.synthetic import untrained


def _drawn(side: int) -> FusedNetwork:
    """side x side patches of 8 pixels, 4 and 6 channels, both kinds of shortcuts."""
    draw, count = np.random.default_rng(side), side * side

    def array(*shape: int) -> NDArray[np.float64]:
        return draw.normal(scale=0.1, size=(count, *shape))

    def conv(inputs: int, outputs: int, stride: int = 1) -> FusedConv:
        return FusedConv(array(outputs, inputs, 3, 3), array(outputs), stride, 1)

    blocks = (
        FusedBlock(array(4), conv(4, 4), array(4), conv(4, 4), array(4)),
        FusedBlock(array(4), conv(4, 6, 2), array(6), conv(6, 6), array(6, 4)),
    )
    head = draw.normal(scale=0.1, size=(10, count, 6, 2, 2))
    return FusedNetwork(8 * side, 8, conv(3, 4), blocks, array(6), head, np.ones(10))


@pytest.mark.parametrize("side", [1, 2, 3])
def test_digits_of_float32(side: int) -> None:
    network = _drawn(side)
    size = network.input_size
    crops = np.random.default_rng(1).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    wanted = embed(network, crops)
    single = SingleNetwork(network)
    for given in (crops, unit_images(crops, size)):
        found = single.embed(given)
        errors = np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
        assert found.dtype == np.float64
        assert 0 < errors.max() < 1e-5
    assert single.embed(crops[:0]).shape == (0, 10)
    with pytest.raises(ValueError, match="uint8 images"):
        single.embed(crops[:, 1:])


def test_digits_do_not_depend_on_the_company() -> None:
    """A run that was interrupted computes its faces in other groups, to the same bytes."""
    single = SingleNetwork(_drawn(2))
    crops = np.random.default_rng(2).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    together = single.embed(crops)
    apart = np.concatenate(
        [single.embed(crops[:1]), single.embed(crops[1:3]), single.embed(crops[3:])]
    )
    assert np.array_equal(together, apart)


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
