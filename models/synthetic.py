"""Seeded networks that nobody trained, whole and small ones: for tests only.

`untrained` makes a full state dict whose BatchNorm statistics are measured on synthetic images,
so that activations and squared norms are in the range of a trained network. It recognises nobody.
The same seed gives the same network on one machine; across machines, to a few last digits.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.architecture import (
    BATCHNORM_EPS,
    BLOCKS,
    EMBEDDING,
    FEATURES,
    PATCH_SIZE,
    STEM_CHANNELS,
    patches_of,
)
from fhe_face.models.calibration import images
from fhe_face.models.layers import Array, FusedBlock, FusedConv, FusedNetwork
from fhe_face.models.reference import convolve, pool, split_patches, unit_images

_CALIBRATION_IMAGES: Final = 16
# The quadratic part is kept small beside the linear one: a composition of squares that is
# normalised to unit variance at every step would diverge on images unlike the calibration ones.
_QUADRATIC_SPREAD: Final = 6.0
# Embeddings vary about a fixed offset, so that squared norms concentrate: 256·(1.3² + 0.4²).
_OFFSET: Final = 1.3
_VARIATION: Final = 0.4


def rough_images(generator: np.random.Generator, count: int, size: int) -> NDArray[np.uint8]:
    """Images at the edge of what a network may meet: noise, checkerboards, saturated squares.

    uint8 (count, size, size, 3). Statistics measured with them keep activations bounded.
    """
    batch = images(generator, count, size)
    for k, image in enumerate(batch):
        kind = k % 4
        if kind == 0:
            image[:] = generator.integers(0, 256, image.shape)
        elif kind == 1:
            period = 1 + (k // 4) % 4
            rows, columns = np.indices((size, size)) // period
            image[:] = 255 * ((rows + columns) % 2)[..., None]
        elif kind == 2:
            top, left = generator.integers(0, size // 2, 2)
            image[top : top + size // 2, left : left + size // 2] = 255 * generator.integers(0, 2)
        else:
            image[:] = 255 * generator.integers(0, 2, 3)
    return batch


def _calibration(generator: np.random.Generator, count: int, size: int) -> Array:
    half = count // 2
    batch = [images(generator, count - half, size), rough_images(generator, half, size)]
    return unit_images(np.concatenate(batch), size)


def untrained(seed: int, input_size: int = 64) -> dict[str, NDArray[Any]]:
    """A complete state dict (official names, float32) for 64, 96 or 128 pixels.

    Natural images get squared norms of about 300..800. ValueError for another input size.
    """
    patches = patches_of(input_size)
    builder = _Builder(np.random.default_rng(seed), patches)
    batch = _calibration(builder.generator, _CALIBRATION_IMAGES, input_size)
    x = builder.conv("conv", split_patches(batch, PATCH_SIZE), STEM_CHANNELS, 3, 1)
    for j, block in enumerate(BLOCKS):
        at = f"layers.{j}"
        first = builder.herpn(f"{at}.herpn1", x)
        h = builder.conv(f"{at}.conv1", first, block.outputs, 3, block.stride)
        h = builder.conv(f"{at}.conv2", builder.herpn(f"{at}.herpn2", h), block.outputs, 3, 1)
        beside = first
        if block.projects:
            beside = builder.conv(f"{at}.shortcut.0", first, block.outputs, 1, block.stride)
            beside = builder.batchnorm(f"{at}.shortcut.1", beside, affine=True)
        x = h + beside
    pooled = pool(builder.herpn("herpnpool.herpn", x))
    features = pooled.reshape(len(batch), patches, FEATURES, 1, 1)
    builder.head(builder.batchnorm("bn", features, affine=True, spread=2.0))
    return builder.state


class _Builder:
    """Draws weights and measures statistics layer by layer; tensors are (B, P, C, H, W)."""

    def __init__(self, generator: np.random.Generator, patches: int) -> None:
        self.generator = generator
        self.patches = patches
        self.state: dict[str, NDArray[Any]] = {}

    def put(self, name: str, tensor: Array) -> Array:
        """Store a (P, ...) tensor as float32 per patch; returns it as float64 after rounding."""
        rounded = tensor.astype(np.float32)
        for i in range(self.patches):
            self.state[f"nets.{i}.{name}"] = np.ascontiguousarray(rounded[i])
        return rounded.astype(np.float64)

    def conv(self, at: str, x: Array, outputs: int, kernel: int, stride: int) -> Array:
        inputs = x.shape[2]
        shape = (self.patches, outputs, inputs, kernel, kernel)
        drawn = self.generator.normal(size=shape) * np.sqrt(2 / (inputs * kernel**2))
        weight = self.put(f"{at}.weight", drawn)
        return convolve(x, FusedConv(weight, np.zeros(shape[:2]), stride, kernel // 2))

    def batchnorm(self, at: str, x: Array, *, affine: bool, spread: float = 1.0) -> Array:
        mean = self.put(f"{at}.running_mean", x.mean(axis=(0, 3, 4)))
        variance = self.put(f"{at}.running_var", x.var(axis=(0, 3, 4)) * spread**2 + 1e-3)
        self.put(f"{at}.num_batches_tracked", np.zeros(self.patches))
        for i in range(self.patches):
            self.state[f"nets.{i}.{at}.num_batches_tracked"] = np.zeros((), dtype=np.int64)
        if affine:
            self.put(f"{at}.weight", np.ones(mean.shape))
            self.put(f"{at}.bias", np.zeros(mean.shape))
        scale = 1 / np.sqrt(variance + BATCHNORM_EPS)
        return np.asarray((x - mean[:, :, None, None]) * scale[:, :, None, None])

    def herpn(self, at: str, x: Array) -> Array:
        shape = (self.patches, x.shape[2], 1, 1)
        weight = self.put(f"{at}.weight", self.generator.uniform(0.8, 1.2, shape))
        bias = self.put(f"{at}.bias", self.generator.normal(scale=0.1, size=shape))
        zero = self.batchnorm(f"{at}.bn0", np.ones_like(x), affine=False)
        one = self.batchnorm(f"{at}.bn1", x, affine=False)
        hermite = (np.square(x) - 1) / np.sqrt(2)
        two = self.batchnorm(f"{at}.bn2", hermite, affine=False, spread=_QUADRATIC_SPREAD)
        parts = zero / np.sqrt(2 * np.pi) + one / 2 + two / np.sqrt(4 * np.pi)
        return np.asarray(weight * parts + bias)

    def head(self, features: Array) -> None:
        flat = features.reshape(len(features), -1)
        shape = (EMBEDDING, flat.shape[1])
        weight = self.generator.normal(size=shape) / np.sqrt(shape[1])
        spread = (flat @ weight.T).std(axis=0).mean() / _VARIATION
        signs = self.generator.choice([-1.0, 1.0], EMBEDDING)
        self._plain("linear.weight", weight)
        self._plain("linear.bias", np.zeros(EMBEDDING))
        self._plain("bn.running_mean", (flat @ weight.T).mean(axis=0) + signs * _OFFSET * spread)
        self._plain("bn.running_var", np.full(EMBEDDING, spread**2))
        self.state["bn.num_batches_tracked"] = np.zeros((), dtype=np.int64)
        self._plain("jigsaw.weight", self.generator.normal(size=(self.patches, FEATURES)) / 16)
        self._plain("jigsaw.bias", np.zeros(self.patches))

    def _plain(self, name: str, tensor: Array) -> None:
        self.state[name] = tensor.astype(np.float32)


def random_fused(
    seed: int,
    input_size: int = 16,
    patch_size: int = 8,
    channels: Sequence[int] = (4, 4, 8),
    strides: Sequence[int] = (1, 2),
    embedding: int = 16,
) -> FusedNetwork:
    """A small FusedNetwork for tests; z and s stay within about 1..100, embeddings near 1.

    channels: of the stem, then of each block; strides: of each block. A block whose channels and
    stride leave the shape alone gets a shortcut per channel, another a 1x1 convolution.
    ValueError: lengths or sizes that do not fit.
    """
    if len(channels) != len(strides) + 1:
        raise ValueError(f"{len(channels)} channels and {len(strides)} strides do not fit")
    draw = np.random.default_rng(seed)
    patches = (input_size // patch_size) ** 2
    batch = _calibration(draw, 16, input_size)
    stem, z = _random_conv(draw, split_patches(batch, patch_size), channels[0], 1)
    blocks = []
    for outputs, stride in zip(channels[1:], strides, strict=True):
        first, offset1 = _random_square(draw, z)
        conv1, middle = _random_conv(draw, first, outputs, stride)
        second, offset2 = _random_square(draw, middle)
        conv2, z = _random_conv(draw, second, outputs, 1)
        inputs = first.shape[2]
        if stride == 1 and inputs == outputs:
            shortcut = draw.uniform(-0.05, 0.05, (patches, outputs))
            z = z + first * shortcut[:, :, None, None]
        else:
            shortcut = draw.normal(size=(patches, outputs, inputs)) * 0.05 / np.sqrt(inputs)
            taken = first[..., ::stride, ::stride]
            z = z + np.einsum("poi,bpihw->bpohw", shortcut, taken)
        blocks.append(FusedBlock(offset1, conv1, offset2, conv2, shortcut))
    last, final_offset = _random_square(draw, z)
    pooled = pool(last)
    weight = draw.normal(size=(embedding, *pooled.shape[1:])) / (3 * np.sqrt(pooled[0].size))
    flat = pooled.reshape(len(batch), -1) @ weight.reshape(embedding, -1).T
    weight = weight / flat.std()
    bias = draw.normal(size=embedding) - flat.mean(axis=0) / flat.std()
    return FusedNetwork(input_size, patch_size, stem, tuple(blocks), final_offset, weight, bias)


def _random_conv(
    draw: np.random.Generator, x: Array, outputs: int, stride: int
) -> tuple[FusedConv, Array]:
    """A 3x3 convolution whose output has per channel a deviation of about 1 around +-4..7.

    Far from zero beside its deviation, a square is almost linear: compositions stay bounded.
    """
    patches, inputs = x.shape[1:3]
    weight = draw.normal(size=(patches, outputs, inputs, 3, 3))
    plain = convolve(x, FusedConv(weight, np.zeros((patches, outputs)), stride, 1))
    scale = 1 / (plain.std(axis=(0, 3, 4)) + 1e-3)
    centre = draw.choice([-1.0, 1.0], scale.shape) * draw.uniform(4, 7, scale.shape)
    bias = centre - scale * plain.mean(axis=(0, 3, 4))
    conv = FusedConv(weight * scale[:, :, None, None, None], bias, stride, 1)
    return conv, convolve(x, conv)


def _random_square(draw: np.random.Generator, z: Array) -> tuple[Array, Array]:
    square = z**2
    offset = draw.uniform(-2, 2, z.shape[1:3]) - square.mean(axis=(0, 3, 4))
    return square + offset[:, :, None, None], offset
