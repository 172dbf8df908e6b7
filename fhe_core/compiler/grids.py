"""Layouts of a batch: many images side by side, one channel (or a few) to a ciphertext.

An image owns a block of ``height`` x ``width`` positions with its lanes innermost; every ciphertext
holds the same block of every image. A feature map with more pixels than positions is split into
phases (every second pixel, say), each in a ciphertext of its own. One with fewer leaves gaps, and
channels may lie in them: a convolution with stride 2 moves nothing (see docs/architecture.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler.layouts import Digit, Layout, LayoutError


@dataclass(frozen=True)
class Grid:
    """Where the images of a batch lie in every ciphertext.

    Attributes:
        slots: of a ciphertext.
        lanes: patch networks of an image, padded to a power of two.
        height, width: positions of a block, powers of two.
    """

    slots: int
    lanes: int
    height: int
    width: int

    def __post_init__(self) -> None:
        """Raise LayoutError for blocks that do not tile the slots."""
        numbers = (self.slots, self.lanes, self.height, self.width)
        if any(n < 1 or n & (n - 1) for n in numbers) or self.block > self.slots:
            raise LayoutError(
                f"blocks of {self.height} x {self.width} positions with {self.lanes} lanes do not "
                f"tile {self.slots} slots"
            )

    @property
    def block(self) -> int:
        """Slots of an image."""
        return self.height * self.width * self.lanes

    @property
    def blocks(self) -> int:
        """Images in a ciphertext."""
        return self.slots // self.block

    def everywhere(self, block: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A pattern of the positions of one block, for all blocks."""
        return np.tile(block, self.blocks)

    def gaps(self, size: int) -> tuple[int, int]:
        """Positions per pixel, vertically and horizontally, of a map of ``size`` x ``size``."""
        return max(1, self.height // size), max(1, self.width // size)

    def layout(self, channels: int, size: int, fill: tuple[int, int] = (1, 1)) -> Layout:
        """The first image's block of a feature map; other images lie ``block`` slots further on.

        fill: channels that share the gaps of a pixel, vertically and horizontally, at most; fewer
        where the gaps or the channels do not allow it.

        Raises:
            LayoutError: the size is not a power of two.
        """
        if size & (size - 1):
            raise LayoutError(f"a feature map of {size} x {size} pixels: not a power of two")
        gap_y, gap_x = self.gaps(size)
        row = self.lanes * self.width
        fill_x = _common(channels, min(fill[1], gap_x))
        fill_y = _common(channels // fill_x, min(fill[0], gap_y))
        phases_y, phases_x = max(1, size // self.height), max(1, size // self.width)
        phases = phases_y * phases_x
        across = channels // (fill_x * fill_y)
        digits = [Digit("lane", self.lanes, 1)]
        if fill_x > 1:
            digits.append(Digit("channel", fill_x, self.lanes * gap_x // fill_x))
        if fill_y > 1:
            digits.append(Digit("channel", fill_y, row * gap_y // fill_y))
        digits += [
            Digit("channel", across, phases, across=True),
            Digit("y", phases_y, phases_x, across=True),
            Digit("y", size // phases_y, row * gap_y),
            Digit("x", phases_x, 1, across=True),
            Digit("x", size // phases_x, self.lanes * gap_x),
        ]
        return Layout(self.slots, across * phases, self.lanes, tuple(digits))

    def period(self, layout: Layout) -> int:
        """Slots after which values per channel and lane repeat in every ciphertext."""
        strides = [d.stride for d in layout.digits if d.axis == "channel" and not d.across]
        if not strides:
            return self.lanes
        row = self.lanes * self.width
        gap_y, gap_x = self.gaps(layout.shape[2])
        return row * gap_y if strides[-1] >= row else self.lanes * gap_x

    def unpack(self, layout: Layout, slots: NDArray[np.generic]) -> NDArray[np.float64]:
        """Feature maps (images, lanes, channels, size, size) of slots [ciphertexts, slots]."""
        shifts = range(0, self.slots, self.block)
        return np.stack([layout.unpack(np.roll(slots, -shift, axis=1)) for shift in shifts])

    def pack(self, layout: Layout, images: NDArray[np.float64]) -> NDArray[np.float64]:
        """The inverse of :meth:`unpack`, for as many images as there are blocks.

        Raises:
            LayoutError: the shape is wrong.
        """
        if images.shape != (self.blocks, *layout.shape):
            raise LayoutError(f"expected feature maps {(self.blocks, *layout.shape)}")
        out = np.zeros((layout.ciphertexts, self.slots))
        for number, image in enumerate(images):
            out += np.roll(layout.pack(image), number * self.block, axis=1)
        return out


def _common(channels: int, limit: int) -> int:
    """Largest power of two that divides ``channels`` and is not above ``limit``."""
    return min(channels & -channels, limit)
