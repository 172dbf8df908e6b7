"""Layouts: pure, invertible maps between tensors and ciphertext slots.

A tensor has axes (lane, channel, y, x): lanes are the independent networks (patches) that run side
by side. Each axis is split into digits, least significant first, and every digit moves either along
the slots or across ciphertexts. The pixel is outermost and (channel, lane) innermost, so that
plaintext weights repeat with a short period (see docs/architecture.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.errors import Failure

AXES = ("lane", "channel", "y", "x")


class LayoutError(Failure, ValueError):
    """A layout that does not fit its tensor or its ciphertexts."""

    code = "layout"


@dataclass(frozen=True)
class Digit:
    """``extent`` values of an axis; one step moves ``stride`` slots or ``stride`` ciphertexts."""

    axis: str
    extent: int
    stride: int
    across: bool = False  # True: stride counts ciphertexts


@dataclass(frozen=True)
class Layout:
    """Where each tensor element lives.

    Attributes:
        slots: slots per ciphertext.
        ciphertexts: number of ciphertexts.
        group: slots of one pixel, (channel, lane) innermost; a power of two.
        digits: least significant digit of an axis first.
    """

    slots: int
    ciphertexts: int
    group: int
    digits: tuple[Digit, ...]

    def __post_init__(self) -> None:
        if self.slots % self.group or self.group & (self.group - 1):
            raise LayoutError("group must be a power of two that divides the slots")
        place = self.positions()
        if np.unique(place).size != place.size:
            raise LayoutError("two tensor elements share a slot")
        if place.size and (place.min() < 0 or place.max() >= self.slots * self.ciphertexts):
            raise LayoutError("a tensor element lies outside the ciphertexts")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(lanes, channels, height, width)"""
        return tuple(
            math.prod(digit.extent for digit in self.digits if digit.axis == axis) for axis in AXES
        )  # type: ignore[return-value]

    def axis_positions(self, axis: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Contribution of each index along the axis: (ciphertext, slot), each [extent]."""
        ciphertext = np.zeros(1, dtype=np.int64)
        slot = np.zeros(1, dtype=np.int64)
        for digit in self.digits:
            if digit.axis != axis:
                continue
            steps = np.arange(digit.extent, dtype=np.int64)[:, None] * digit.stride
            zero = np.zeros_like(steps)
            ciphertext = ((steps if digit.across else zero) + ciphertext).ravel()
            slot = ((zero if digit.across else steps) + slot).ravel()
        return ciphertext, slot

    def positions(self) -> NDArray[np.int64]:
        """ciphertext * slots + slot of every element, shape (lanes, channels, height, width)."""
        total = np.zeros((1, 1, 1, 1), dtype=np.int64)
        for i, axis in enumerate(AXES):
            ciphertext, slot = self.axis_positions(axis)
            shape = [1, 1, 1, 1]
            shape[i] = -1
            total = total + (ciphertext * self.slots + slot).reshape(shape)
        return total

    @property
    def row_pixels(self) -> int:
        """Pixels of a row that lie side by side, in groups; 1: they do not."""
        digits = [digit for digit in self.digits if digit.axis == "x"]
        beside = len(digits) == 1 and not digits[0].across and digits[0].stride == self.group
        return digits[0].extent if beside else 1

    def used_groups(self) -> NDArray[np.bool_]:
        """Which groups of slots hold a pixel, of any ciphertext."""
        used = np.zeros(self.slots // self.group, dtype=bool)
        used[self.positions().ravel() % self.slots // self.group] = True
        return used

    def pack(self, tensor: NDArray[np.generic]) -> NDArray[np.float64]:
        """Slots [ciphertexts, slots] of a tensor of this layout's shape; free slots are zero.

        Raises:
            LayoutError: the shape is wrong.
        """
        if tensor.shape != self.shape:
            raise LayoutError(f"expected a tensor of shape {self.shape}, got {tensor.shape}")
        out = np.zeros(self.ciphertexts * self.slots)
        out[self.positions()] = tensor
        return out.reshape(self.ciphertexts, self.slots)

    def unpack(self, slots: NDArray[np.generic]) -> NDArray[np.float64]:
        """The inverse of :meth:`pack`; ``slots`` has shape [ciphertexts, slots]."""
        if slots.shape != (self.ciphertexts, self.slots):
            raise LayoutError(f"expected slots of shape {(self.ciphertexts, self.slots)}")
        result: NDArray[np.float64] = np.real(slots).reshape(-1)[self.positions()]
        return result

    def describe(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "slots": self.slots,
            "ciphertexts": self.ciphertexts,
            "group": self.group,
            "shape": list(self.shape),
            "digits": [[d.axis, d.extent, d.stride, d.across] for d in self.digits],
        }


def power_of_two(value: int) -> int:
    """The smallest one that is not below a positive ``value``."""
    return 1 << (value - 1).bit_length()


def powers_of_two(count: int) -> list[int]:
    """1, 2, 4, ... below ``count``: rotations that sum over so many slots, one after another."""
    return [1 << i for i in range((count - 1).bit_length())]


def raster(
    slots: int, lanes: int, channels: int, size: int, *, pitch_x: int | None = None
) -> Layout:
    """The layout of a ``size`` x ``size`` feature map with as few ciphertexts as possible.

    Rows go across two ciphertexts by their lowest bit when one is too small, then channels. Since a
    convolution with stride 2 doubles both pitches, it lands on the layout of the next stage by
    rotations that are the same for every pixel; ``pitch_x`` (slots between horizontal neighbours,
    default: no gap) keeps that true where a ciphertext is not full.

    Raises:
        LayoutError: the feature map does not fit.
    """
    lanes_padded, channels_padded = power_of_two(lanes), power_of_two(channels)
    ciphertexts = max(1, lanes_padded * channels_padded * size * size // slots)
    row_split = min(ciphertexts, 2, size)
    channel_split = ciphertexts // row_split
    in_group, remainder = divmod(channels_padded, channel_split)
    group = lanes_padded * in_group
    pitch_y = slots // (size // row_split)
    if pitch_x is None:
        pitch_x = group
    if remainder or not in_group or group > pitch_x or size * pitch_x > pitch_y:
        raise LayoutError(
            f"{lanes} lanes x {channels} channels x {size} x {size} do not fit {slots} slots"
        )
    digits = [Digit("lane", lanes, 1)]
    if channel_split > 1:
        if channels != channels_padded:
            raise LayoutError("channels across ciphertexts must be a power of two")
        digits.append(Digit("channel", in_group, lanes_padded))
        digits.append(Digit("channel", channel_split, row_split, across=True))
    else:
        digits.append(Digit("channel", channels, lanes_padded))
    if row_split > 1:
        digits.append(Digit("y", row_split, 1, across=True))
    digits.append(Digit("y", size // row_split, pitch_y))
    digits.append(Digit("x", size, pitch_x))
    return Layout(slots, ciphertexts, group, tuple(digits))


def rows_on_top(layout: Layout) -> Layout:
    """The same pixels with the lowest bit of their row on top of the slots: odd rows in the upper
    half. A convolution with stride 2 keeps even rows only, so that its result lies in the lower
    half, as ``raster`` has it there: it can go on in the ring of half the degree.

    Raises:
        LayoutError: rows go across ciphertexts, or there is only one.
    """
    rows = [d for d in layout.digits if d.axis == "y"]
    if len(rows) != 1 or rows[0].extent % 2:
        raise LayoutError("rows must lie in one ciphertext and be even in number")
    (row,) = rows
    digits: list[Digit] = []
    for digit in layout.digits:
        if digit is row:
            digits.append(Digit("y", 2, layout.slots // 2))
            digits.append(Digit("y", row.extent // 2, row.stride))
        else:
            digits.append(digit)
    return replace(layout, digits=tuple(digits))


def widen(layout: Layout, channels: int) -> Layout:
    """The same pixels with more channels, in as many more ciphertexts as they need.

    The first C channels lie exactly as in ``layout`` (which has C); the others follow across
    ciphertexts. The result has a multiple of C channels.

    Raises:
        LayoutError: the channels of ``layout`` are spread across ciphertexts already.
    """
    if any(d.axis == "channel" and d.across for d in layout.digits):
        raise LayoutError("the channels already go across ciphertexts")
    own = layout.shape[1]
    blocks = -(-channels // own)
    digits = (*layout.digits, Digit("channel", blocks, layout.ciphertexts, across=True))
    return Layout(layout.slots, layout.ciphertexts * blocks, layout.group, digits)
