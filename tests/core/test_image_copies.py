"""Where an image's channels lie for the outputs of the stem."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhe_core.compiler.image_copies import ImageCopies
from fhe_core.compiler.layouts import LayoutError, raster

SLOTS = 1024


@st.composite
def copies(draw: st.DrawFn) -> tuple[ImageCopies, int, int]:
    """Copies, the image's channels and the width of a turn."""
    outputs, width = draw(st.integers(1, 16)), 1 << draw(st.integers(0, 2))
    channels = draw(st.integers(1, 5))
    target = raster(SLOTS, draw(st.integers(1, 4)), outputs, 4)
    return ImageCopies.make(target, channels, width), channels, width


@given(copies())
def test_every_output_finds_every_channel(case: tuple[ImageCopies, int, int]) -> None:
    found, channels, _ = case
    outputs = len(found.places)
    assert found.places.shape == (outputs, channels)
    assert np.array_equal(found.held[found.places], np.tile(np.arange(channels), (outputs, 1)))


@given(copies())
def test_one_distance_at_most_besides_none(case: tuple[ImageCopies, int, int]) -> None:
    found, channels, width = case
    outputs = len(found.places)
    further = (found.places - np.arange(outputs)[:, None]) % outputs
    assert set(further.ravel()) <= {0, width % outputs}
    shared = outputs % (2 * width) == 0
    assert len(found.held) == outputs * -(-channels // (2 if shared else 1))
    if channels % 2 or not shared:  # it has a ciphertext to itself
        assert not further[:, -1].any()


@given(copies(), st.integers(0, 2**32 - 1))
def test_packed_images(case: tuple[ImageCopies, int, int], seed: int) -> None:
    found, channels, _ = case
    lanes, _, *size = found.layout.shape
    patches = np.random.default_rng(seed).normal(size=(max(1, lanes - 1), channels, *size))
    tensor = found.layout.unpack(found.pack(patches))
    for output, places in enumerate(found.places):
        assert np.array_equal(tensor[: len(patches), places], patches), output
    assert not tensor[len(patches) :].any()


def test_full_size() -> None:
    """Three colours for 16 outputs in two ciphertexts, as many as the gathered ones took."""
    found = ImageCopies.make(raster(65536, 4, 16, 32), 3, 2)
    assert found.layout.ciphertexts == 2
    assert found.held.tolist() == [0, 0, 1, 1] * 4 + [2] * 16


def test_outputs_across_ciphertexts_are_refused() -> None:
    with pytest.raises(LayoutError, match="across"):
        ImageCopies.make(raster(64, 1, 16, 8), 3, 2)
