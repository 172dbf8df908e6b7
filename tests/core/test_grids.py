"""Layouts of batches: invertible, disjoint, and where they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhe_core.compiler.grids import Grid
from fhe_core.compiler.layouts import LayoutError

POWERS = st.sampled_from((1, 2, 4, 8))


@given(
    lanes=POWERS,
    height=POWERS,
    width=POWERS,
    channels=st.integers(1, 12),
    size=POWERS,
    fill=st.tuples(POWERS, POWERS),
    seed=st.integers(0, 99),
)
def test_unpacking_inverts_packing(
    lanes: int,
    height: int,
    width: int,
    channels: int,
    size: int,
    fill: tuple[int, int],
    seed: int,
) -> None:
    grid = Grid(2 * lanes * height * width, lanes, height, width)
    layout = grid.layout(channels, size, fill)
    images = np.random.default_rng(seed).normal(size=(2, lanes, channels, size, size))
    slots = grid.pack(layout, images)
    assert slots.shape == (layout.ciphertexts, grid.slots)
    assert np.array_equal(grid.unpack(layout, slots), images)
    assert np.count_nonzero(slots) == images.size
    # Rows of a period hold one value per lane and channel in every slot that a pixel takes.
    place = layout.positions()
    period = grid.period(layout)
    rows = np.full((layout.ciphertexts, period), -1)
    owner = np.arange(lanes * channels).reshape(lanes, channels, 1, 1) + 0 * place
    rows[place // grid.slots, place % grid.slots % period] = owner
    assert np.array_equal(rows[place // grid.slots, place % grid.slots % period], owner)


def test_phases_and_gaps() -> None:
    grid = Grid(32768, 4, 16, 16)
    assert (grid.block, grid.blocks) == (1024, 32)
    large = grid.layout(16, 32)
    assert large.ciphertexts == 64  # four phases for each channel
    (across, slot) = large.axis_positions("x")
    assert across[:4].tolist() == [0, 1, 0, 1]
    assert slot[:4].tolist() == [0, 0, 4, 4]
    small = grid.layout(64, 8, (1, 2))
    assert small.ciphertexts == 32  # two channels in the gaps of a row
    assert small.axis_positions("channel")[1][:3].tolist() == [0, 4, 0]
    assert grid.layout(64, 8, (2, 2)).ciphertexts == 16
    assert grid.layout(3, 8, (2, 2)).ciphertexts == 3  # three channels do not pair up


@pytest.mark.parametrize("numbers", [(32, 4, 4, 4), (64, 3, 4, 4), (64, 4, 4, 0)])
def test_refused_grids(numbers: tuple[int, int, int, int]) -> None:
    with pytest.raises(LayoutError, match="do not tile"):
        Grid(*numbers)


def test_refused_maps() -> None:
    grid = Grid(64, 1, 4, 4)
    with pytest.raises(LayoutError, match="power of two"):
        grid.layout(1, 6)
    with pytest.raises(LayoutError, match="expected"):
        grid.pack(grid.layout(1, 4), np.zeros((1, 1, 1, 4, 4)))
