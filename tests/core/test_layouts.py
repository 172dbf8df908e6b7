"""Layouts: invertible maps between tensors and slots."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fhe_core.compiler.layouts import Digit, Layout, LayoutError, raster, widen

SLOTS = 1024


@st.composite
def rasters(draw: st.DrawFn) -> Layout:
    lanes, channels = draw(st.integers(1, 4)), draw(st.integers(1, 16))
    size = draw(st.sampled_from([1, 2, 4, 8, 16]))
    gap = draw(st.sampled_from([None, 1, 2, 4]))
    try:
        layout = raster(SLOTS, lanes, channels, size)
        if gap is None:
            return layout
        return raster(SLOTS, lanes, channels, size, pitch_x=layout.group * gap)
    except LayoutError:
        assume(False)
        raise


def tensor_of(layout: Layout, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(seed).normal(size=layout.shape)


@given(rasters())
def test_packing_inverts(layout: Layout) -> None:
    tensor = tensor_of(layout)
    slots = layout.pack(tensor)
    assert slots.shape == (layout.ciphertexts, layout.slots)
    assert np.array_equal(layout.unpack(slots), tensor)
    assert np.count_nonzero(slots) == tensor.size
    assert np.array_equal(layout.unpack(slots + 5j), tensor)


@given(rasters())
def test_positions_are_sums_over_axes(layout: Layout) -> None:
    flat = layout.pack(tensor_of(layout)).reshape(-1)
    place = layout.positions()
    parts = [layout.axis_positions(axis) for axis in ("lane", "channel", "y", "x")]
    index = tuple(n - 1 for n in layout.shape)
    ciphertext = sum(int(ct[i]) for (ct, _), i in zip(parts, index, strict=True))
    slot = sum(int(s[i]) for (_, s), i in zip(parts, index, strict=True))
    assert place[index] == ciphertext * layout.slots + slot
    assert flat[place[index]] == tensor_of(layout)[index]


@given(rasters())
def test_lanes_and_channels_stay_inside_the_group(layout: Layout) -> None:
    inner = [d for d in layout.digits if d.axis in ("lane", "channel") and not d.across]
    assert sum((d.extent - 1) * d.stride for d in inner) < layout.group
    pixels = layout.positions()[0, 0] % layout.slots
    assert not np.any(pixels % layout.group)


@given(rasters(), st.integers(1, 40))
def test_widening_keeps_the_first_channels_in_place(layout: Layout, channels: int) -> None:
    if any(d.axis == "channel" and d.across for d in layout.digits):
        with pytest.raises(LayoutError, match="already"):
            widen(layout, channels)
        return
    wide = widen(layout, channels)
    own = layout.shape[1]
    assert wide.shape[1] == -(-channels // own) * own
    assert wide.ciphertexts == layout.ciphertexts * (wide.shape[1] // own)
    assert np.array_equal(wide.positions()[:, :own], layout.positions())
    tensor = tensor_of(wide)
    assert np.array_equal(wide.unpack(wide.pack(tensor)), tensor)
    assert json.loads(json.dumps(wide.describe()))["shape"] == list(wide.shape)


def test_full_size_layouts() -> None:
    """The first and the last feature map of CryptoFaceNet4."""
    first, last = raster(32768, 4, 16, 32), raster(32768, 4, 64, 8, pitch_x=512)
    assert (first.ciphertexts, first.group) == (2, 64)
    assert (last.ciphertexts, last.group) == (1, 256)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 4, 8, 8, 1), (2, 4, 8, 8)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    layout = raster(SLOTS, 1, 4, 8)
    with pytest.raises(LayoutError, match="expected"):
        layout.pack(np.zeros(shape))
    with pytest.raises(LayoutError, match="expected"):
        layout.unpack(np.zeros((layout.ciphertexts, SLOTS + 1)))


def test_impossible_layouts_are_refused() -> None:
    with pytest.raises(LayoutError, match="do not fit"):
        raster(64, 4, 64, 8, pitch_x=256)
    with pytest.raises(LayoutError, match="power of two"):
        raster(64, 1, 12, 8)
    with pytest.raises(LayoutError, match="power of two"):
        Layout(64, 1, 3, (Digit("x", 2, 1),))
    with pytest.raises(LayoutError, match="power of two"):
        Layout(64, 1, 128, (Digit("x", 2, 1),))
    with pytest.raises(LayoutError, match="share a slot"):
        Layout(64, 1, 4, (Digit("x", 2, 1), Digit("y", 2, 1)))
    with pytest.raises(LayoutError, match="outside"):
        Layout(64, 1, 4, (Digit("x", 65, 1),))
    with pytest.raises(LayoutError, match="outside"):
        Layout(64, 1, 4, (Digit("x", 2, 1, across=True),))
    with pytest.raises(LayoutError, match="outside"):
        Layout(64, 1, 4, (Digit("x", 2, -1),))
