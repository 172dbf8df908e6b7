"""The fused network in the clear, as fast as numpy computes it: float32, on one core.

`fhe_face.models.reference` is the answer to compare with; this is for whoever embeds thousands of
faces. Each patch goes through the whole network with a few faces, so that everything that one
layer hands to the next stays in the cache of one core. Channels come last: a window's columns are
long runs. Of the nine numbers that a 3 x 3 window has in a channel only the three of a row are
copied; the rows above and below are the same matrix, begun a row earlier or later.

Every matrix product is of one face: its digits do not depend on which faces are computed with it.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from fhe_face.models.layers import POOL, Array, FusedBlock, FusedConv, FusedNetwork
from fhe_face.models.reference import embed, split_patches, squared_norm, unit_images

Single = NDArray[np.float32]

#: Beyond this squared norm float32 may have lost too much: such a face is computed in float64.
#: Faces have some hundreds; a network that diverges goes far beyond.
_TRUSTED: Final = 1e5
#: Faces that go through a patch's network together. More leave the cache, fewer are mostly calls.
_TOGETHER: Final = 4


class SingleNetwork:
    """A network that was made ready for float32; safe to share between threads."""

    def __init__(self, network: FusedNetwork) -> None:
        """`network`: fused, balanced or not."""
        self.network = network
        self._patches = [_Patch(network, index) for index in range(network.stem.patches)]
        self._head_bias = network.head_bias.astype(np.float32)

    @property
    def input_size(self) -> int:
        """Side of the faces, in pixels."""
        return self.network.input_size

    def embed(self, images: NDArray[Any]) -> Array:
        """Embeddings before normalisation, (B, E), float64 that hold float32 digits.

        images: uint8 (B, S, S, 3) RGB, or float64 (B, 3, S, S) in [-1, 1]. A face on which float32
        does not do is computed by `reference.embed`: so a diverging one has the numbers that it
        has there. ValueError: wrong shape, type or range.
        """
        units = unit_images(images, self.input_size)
        found = np.zeros((len(units), self.network.embedding))
        buffers = _Buffers()
        with np.errstate(all="ignore"):
            for start in range(0, len(units), _TOGETHER):
                group = slice(start, start + _TOGETHER)
                found[group] = self._forward(units[group], buffers)
        doubtful = ~(squared_norm(found) <= _TRUSTED)
        if doubtful.any():
            found[doubtful] = embed(self.network, units[doubtful])
        return found

    def _forward(self, images: Array, buffers: "_Buffers") -> Single:
        tiles = split_patches(images, self.network.patch_size).transpose(1, 0, 3, 4, 2)
        total = np.tile(self._head_bias, (len(images), 1))
        for patch, own in zip(self._patches, tiles, strict=True):
            total += patch(own, buffers)
        return total


@dataclass(frozen=True)
class _Reads:
    """How a convolution reads a tensor of `size` x `size` pixels."""

    size: int
    channels: int
    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True, eq=False)
class _Plane:
    """A tensor with a border of zeros, and views of it that a layer needs.

    padded: (B, H + 2 pad, W + 2 pad, C); inner: without the border; rows: that as (B, H, W * C);
    windows: of steps of one, the rows of windows (B, H + 2 pad, W', k * C), else whole windows
    (B, H', W', k, k * C).
    """

    padded: Single
    inner: Single
    rows: Single
    windows: Single

    @classmethod
    def zeros(cls, count: int, reads: _Reads) -> "_Plane":
        """For `count` faces."""
        size, pad, step = reads.size, reads.padding, reads.stride
        wide = size + 2 * pad
        padded = np.zeros((count, wide, wide, reads.channels), dtype=np.float32)
        inner = padded[:, pad : pad + size, pad : pad + size]
        image, row, column, number = padded.strides
        rows = as_strided(inner, (count, size, size * reads.channels), (image, row, number))
        columns, run = (wide - reads.kernel) // step + 1, reads.kernel * reads.channels
        if step == 1:
            windows = as_strided(padded, (count, wide, columns, run), padded.strides)
        else:
            shape = count, columns, columns, reads.kernel, run
            strides = image, step * row, step * column, row, number
            windows = as_strided(padded, shape, strides)
        return cls(padded, inner, rows, windows)


class _Buffers:
    """Memory of one computation, used again by every patch and every few faces."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[object, ...], Single] = {}
        self._planes: dict[tuple[object, ...], _Plane] = {}

    def room(self, purpose: str, *shape: int) -> Single:
        """An array that holds what was left in it; zeros at first."""
        key = (purpose, *shape)
        if key not in self._arrays:
            self._arrays[key] = np.zeros(shape, dtype=np.float32)
        return self._arrays[key]

    def plane(self, purpose: str, count: int, reads: _Reads) -> _Plane:
        """What a convolution reads of `count` faces; its border stays zero."""
        key = purpose, count, reads
        if key not in self._planes:
            self._planes[key] = _Plane.zeros(count, reads)
        return self._planes[key]


class _Patch:
    """One patch's network up to its share of the head: (B, patch, patch, 3) to (B, E)."""

    def __init__(self, network: FusedNetwork, index: int) -> None:
        self._stem = _Convolution(network.stem, index, network.patch_size)
        side = self._stem.side
        self._blocks = []
        for block in network.blocks:
            self._blocks.append(_Block(block, index, side))
            side = self._blocks[-1].side
        self._final = _along(network.final_offset[index], side)
        flat = network.head_weight[:, index].transpose(0, 2, 3, 1).reshape(network.embedding, -1)
        self._head = np.ascontiguousarray(flat.T, dtype=np.float32)
        self._side = side

    def __call__(self, tiles: Array, buffers: _Buffers) -> Single:
        count = len(tiles)
        plane = buffers.plane("input", count, self._stem.reads)
        plane.inner[:] = tiles
        z = self._stem(plane, buffers, "stem")
        for block in self._blocks:
            z = block(z, buffers)
        z *= z
        z += self._final
        tile = self._side // POOL
        tiled = z.reshape(count, POOL, tile, POOL, tile, -1)
        pooled = tiled.mean(axis=(2, 4)).reshape(count, 1, -1)
        return np.asarray((pooled @ self._head)[:, 0])  # a product for each face, see above


class _Convolution:
    """One patch's, of a plane of B faces to rows (B, H', W' * Cout)."""

    def __init__(self, conv: FusedConv, index: int, size: int) -> None:
        """`size`: of the tensor that comes, without its border."""
        self.side, self.outputs = conv.output_size(size), conv.outputs
        self.reads = _Reads(size, conv.weight.shape[2], conv.kernel, conv.stride, conv.padding)
        kernel = conv.weight[index].transpose(2, 3, 1, 0)  # (k, k, Cin, Cout)
        flat = kernel.reshape(conv.kernel, -1, conv.outputs)
        self._weight = np.ascontiguousarray(flat, dtype=np.float32)
        self._bias = _along(conv.bias[index], self.side)

    def __call__(self, plane: _Plane, buffers: _Buffers, purpose: str) -> Single:
        """The result is the buffers', until the same `purpose` is asked for again."""
        count, side = len(plane.padded), self.side
        out = buffers.room(purpose, count, side, side * self.outputs)
        flat = out.reshape(count, side * side, self.outputs)
        taken = buffers.room("columns", *plane.windows.shape)
        np.copyto(taken, plane.windows)
        columns = taken.reshape(count, -1, plane.windows.shape[-1])
        if self.reads.stride == 1:
            self._by_rows(columns, flat, buffers)
        else:
            whole = columns.reshape(count, side * side, -1)
            np.matmul(whole, self._weight.reshape(-1, self.outputs), out=flat)
        out += self._bias
        return out

    def _by_rows(self, columns: Single, out: Single, buffers: _Buffers) -> None:
        """Steps of one: a window's next row is the same columns, one row of them further on."""
        size = out.shape[1]
        more = buffers.room("more", *out.shape)
        np.matmul(columns[:, :size], self._weight[0], out=out)
        for row, weight in enumerate(self._weight[1:], 1):
            start = row * self.side
            np.matmul(columns[:, start : start + size], weight, out=more)
            out += more


class _Block:
    """One patch's `FusedBlock`, of rows (B, H, W * Cin) to rows (B, H', W' * Cout)."""

    def __init__(self, block: FusedBlock, index: int, size: int) -> None:
        self._conv1 = _Convolution(block.conv1, index, size)
        self._conv2 = _Convolution(block.conv2, index, self._conv1.side)
        self.side = self._conv2.side
        self._offset1 = _along(block.offset1[index], size)
        self._offset2 = _along(block.offset2[index], self._conv1.side)
        self._projects = block.projects
        shortcut = block.shortcut[index]
        self._shortcut = (
            np.ascontiguousarray(shortcut.T, dtype=np.float32)
            if block.projects
            else _along(shortcut, size)
        )

    def __call__(self, z: Single, buffers: _Buffers) -> Single:
        first = buffers.plane("first", len(z), self._conv1.reads)
        _square(z, self._offset1, first)
        z = self._conv1(first, buffers, "conv1")
        second = buffers.plane("second", len(z), self._conv2.reads)
        _square(z, self._offset2, second)
        z = self._conv2(second, buffers, "conv2")
        if self._projects:
            step = self._conv1.reads.stride
            taken = first.inner[:, ::step, ::step].reshape(len(z), -1, len(self._shortcut))
            z += (taken @ self._shortcut).reshape(z.shape)
        else:
            z += np.multiply(first.rows, self._shortcut, out=first.rows)
        return z


def _square(z: Single, offset: Single, plane: _Plane) -> None:
    """z² + offset, rows (B, H, W * C), into a plane."""
    np.multiply(z, z, out=plane.rows)
    np.add(plane.rows, offset, out=plane.rows)


def _along(per_channel: Array, side: int) -> Single:
    """(C,) for each pixel of a row: numpy's inner loop is then a whole row."""
    return np.tile(per_channel.astype(np.float32), side)
