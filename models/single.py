"""The fused network in the clear, as fast as numpy computes it: float32, one face at a time.

`fhe_face.models.reference` is the answer to compare with; this is for whoever embeds thousands of
faces. Channels come last, so that the columns of a convolution are copied in long runs and stay in
the cache of one core; a matrix product does the rest.
"""

from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from fhe_face.models.layers import POOL, Array, FusedBlock, FusedConv, FusedNetwork
from fhe_face.models.reference import embed, squared_norm, unit_images

Single = NDArray[np.float32]

#: Beyond this squared norm float32 may have lost too much: such a face is computed in float64.
#: Faces have some hundreds; a network that diverges goes far beyond.
_TRUSTED: Final = 1e5


class SingleNetwork:
    """A network that was made ready for float32; safe to share between threads."""

    def __init__(self, network: FusedNetwork) -> None:
        """`network`: fused, balanced or not."""
        self.network = network
        self._stem = _Convolution(network.stem)
        self._blocks = [_Block(block) for block in network.blocks]
        self._final = _spread(network.final_offset)
        flat = network.head_weight.transpose(0, 1, 3, 4, 2).reshape(network.embedding, -1)
        self._head = np.ascontiguousarray(flat.T, dtype=np.float32)
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
        with np.errstate(all="ignore"):
            for row, image in zip(found, units, strict=True):
                row[:] = self._forward(image)
        doubtful = ~(squared_norm(found) <= _TRUSTED)
        if doubtful.any():
            found[doubtful] = embed(self.network, units[doubtful])
        return found

    def _forward(self, image: Array) -> Single:
        tiles = self._patches(image)
        padded, inner = _room(tiles.shape, self.network.stem.padding)
        inner[:] = tiles
        z = self._stem(padded)
        for block in self._blocks:
            z = block(z)
        z *= z
        z += self._final
        patches, high, wide, channels = z.shape
        tiles = z.reshape(patches, POOL, high // POOL, POOL, wide // POOL, channels)
        pooled = tiles.mean(axis=(2, 4)).reshape(-1)
        return np.asarray(pooled @ self._head + self._head_bias)

    def _patches(self, image: Array) -> Single:
        """(3, S, S) to (P, patch, patch, 3)."""
        patch = self.network.patch_size
        side = self.input_size // patch
        tiles = image.reshape(3, side, patch, side, patch).transpose(1, 3, 2, 4, 0)
        return np.asarray(tiles.reshape(side * side, patch, patch, 3), dtype=np.float32)


class _Convolution:
    """Of (P, H + 2 pad, W + 2 pad, Cin), already padded, to (P, H', W', Cout), bias included."""

    def __init__(self, conv: FusedConv) -> None:
        kernel = conv.weight.transpose(0, 3, 4, 2, 1)  # (P, k, k, Cin, Cout)
        flat = kernel.reshape(conv.patches, -1, conv.outputs)
        self._weight = np.ascontiguousarray(flat, dtype=np.float32)
        self._bias = conv.bias.astype(np.float32)[:, None]
        self._kernel, self._stride = conv.kernel, conv.stride

    def __call__(self, padded: Single) -> Single:
        patches, high, wide, channels = padded.shape
        k, step = self._kernel, self._stride
        rows, columns = (high - k) // step + 1, (wide - k) // step + 1
        by_patch, by_row, by_column, by_channel = padded.strides
        windows = as_strided(
            padded,
            (patches, rows, columns, k, k * channels),
            (by_patch, step * by_row, step * by_column, by_row, by_channel),
            writeable=False,
        )
        out = windows.reshape(patches, rows * columns, -1) @ self._weight
        out += self._bias
        return np.asarray(out.reshape(patches, rows, columns, -1))


class _Block:
    """A `FusedBlock`: z (P, H, W, Cin) to z (P, H', W', Cout)."""

    def __init__(self, block: FusedBlock) -> None:
        self._conv1, self._conv2 = _Convolution(block.conv1), _Convolution(block.conv2)
        self._offset1, self._offset2 = _spread(block.offset1), _spread(block.offset2)
        self._padding = block.conv1.padding, block.conv2.padding
        self._stride = block.conv1.stride
        self._projects = block.projects
        shortcut = block.shortcut
        matrix = shortcut.transpose(0, 2, 1) if block.projects else shortcut[:, None, None]
        self._shortcut = np.ascontiguousarray(matrix, dtype=np.float32)

    def __call__(self, z: Single) -> Single:
        first, inner = _squared(z, self._offset1, self._padding[0])
        second, _ = _squared(self._conv1(first), self._offset2, self._padding[1])
        out = self._conv2(second)
        out += self._beside(inner)
        return out

    def _beside(self, first: Single) -> Single:
        if not self._projects:
            return np.asarray(first * self._shortcut)
        taken = first[:, :: self._stride, :: self._stride]
        patches, high, wide, channels = taken.shape
        flat = taken.reshape(patches, high * wide, channels) @ self._shortcut
        return np.asarray(flat.reshape(patches, high, wide, -1))


def _squared(z: Single, offset: Single, padding: int) -> tuple[Single, Single]:
    """z² + offset with zeros around it, and the view of it without them."""
    padded, inner = _room(z.shape, padding)
    np.multiply(z, z, out=inner)
    inner += offset
    return padded, inner


def _room(shape: tuple[int, ...], padding: int) -> tuple[Single, Single]:
    """Zeros for (P, H, W, C) with a border, and the view without it."""
    patches, high, wide, channels = shape
    padded = np.zeros((patches, high + 2 * padding, wide + 2 * padding, channels), dtype=np.float32)
    return padded, padded[:, padding : padding + high, padding : padding + wide]


def _spread(per_channel: Array) -> Single:
    return np.asarray(per_channel[:, None, None], dtype=np.float32)
