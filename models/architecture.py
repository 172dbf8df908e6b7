"""Names and shapes of the tensors of CryptoFaceNet4/9/16, as the official state dicts have them.

Source: CryptoFace (CVPR 2025, arXiv 2509.00332) and its published 64x64 checkpoint. The image is
cut into 32x32 patches, row-major; every patch has its own small network ``nets.{i}``; their
256-vectors are concatenated, multiplied by ``linear`` and normalised by the affine-free ``bn``.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

PATCH_SIZE: Final = 32
POOL_SIZE: Final = 2
EMBEDDING: Final = 256
INPUT_SIZES: Final = (64, 96, 128)
STEM_CHANNELS: Final = 16
BATCHNORM_EPS: Final = 1e-5

State = Mapping[str, NDArray[Any]]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class BlockSpec:
    """One HerPNConv block: channels in and out, and the stride of its first convolution."""

    inputs: int
    outputs: int
    stride: int

    @property
    def projects(self) -> bool:
        """Whether the shortcut is a 1x1 convolution with BatchNorm (otherwise the identity)."""
        return self.stride != 1 or self.inputs != self.outputs


BLOCKS: Final = (
    BlockSpec(16, 16, 1),
    BlockSpec(16, 32, 2),
    BlockSpec(32, 32, 1),
    BlockSpec(32, 64, 2),
    BlockSpec(64, 64, 1),
)
FEATURES: Final = BLOCKS[-1].outputs * POOL_SIZE * POOL_SIZE


def patches_of(input_size: int) -> int:
    """Number of 32x32 patches of an image of 64, 96 or 128 pixels; ValueError otherwise."""
    if input_size not in INPUT_SIZES:
        raise ValueError(f"input size is {input_size}; it must be one of 64, 96, 128")
    return int((input_size // PATCH_SIZE) ** 2)


def count_patches(names: Iterable[str]) -> int:
    """Number of patch networks among tensor names: 4, 9 or 16; ValueError otherwise."""
    indices = {int(n.split(".")[1]) for n in names if _is_net(n)}
    count = max(indices, default=-1) + 1
    if count not in {patches_of(size) for size in INPUT_SIZES}:
        raise ValueError(
            f"nets.*: {count} patch networks found; a CryptoFaceNet has 4 (64x64), 9 (96x96) "
            "or 16 (128x128), named nets.0.conv.weight and so on"
        )
    return count


def _is_net(name: str) -> bool:
    parts = name.split(".")
    return len(parts) > 2 and parts[0] == "nets" and parts[1].isdecimal() and len(parts[1]) < 4


def input_size_of(patches: int) -> int:
    """Side of the image that is cut into so many patches."""
    return PATCH_SIZE * math.isqrt(patches)


def state_shapes(patches: int) -> dict[str, Shape]:
    """Every tensor that inference needs, with its shape (jigsaw head and counters left out)."""
    shapes: dict[str, Shape] = {}
    for i in range(patches):
        shapes.update((f"nets.{i}.{name}", shape) for name, shape in _net_shapes())
    shapes["linear.weight"] = (EMBEDDING, patches * FEATURES)
    shapes["linear.bias"] = (EMBEDDING,)
    shapes.update(_batchnorm("bn", EMBEDDING, affine=False))
    return shapes


def training_shapes(patches: int) -> dict[str, Shape]:
    """The rest of an official state dict: jigsaw head and BatchNorm counters."""
    shapes: dict[str, Shape] = {"jigsaw.weight": (patches, FEATURES), "jigsaw.bias": (patches,)}
    for name in state_shapes(patches):
        if name.endswith(".running_mean"):
            shapes[name.removesuffix("running_mean") + "num_batches_tracked"] = ()
    return shapes


def _net_shapes() -> Iterator[tuple[str, Shape]]:
    yield "conv.weight", (STEM_CHANNELS, 3, 3, 3)
    for j, block in enumerate(BLOCKS):
        at = f"layers.{j}"
        yield from _herpn(f"{at}.herpn1", block.inputs)
        yield f"{at}.conv1.weight", (block.outputs, block.inputs, 3, 3)
        yield from _herpn(f"{at}.herpn2", block.outputs)
        yield f"{at}.conv2.weight", (block.outputs, block.outputs, 3, 3)
        if block.projects:
            yield f"{at}.shortcut.0.weight", (block.outputs, block.inputs, 1, 1)
            yield from _batchnorm(f"{at}.shortcut.1", block.outputs, affine=True)
    yield from _herpn("herpnpool.herpn", BLOCKS[-1].outputs)
    yield from _batchnorm("bn", FEATURES, affine=True)


def _herpn(at: str, channels: int) -> Iterator[tuple[str, Shape]]:
    yield f"{at}.weight", (channels, 1, 1)
    yield f"{at}.bias", (channels, 1, 1)
    for k in range(3):
        yield from _batchnorm(f"{at}.bn{k}", channels, affine=False)


def _batchnorm(at: str, channels: int, *, affine: bool) -> Iterator[tuple[str, Shape]]:
    if affine:
        yield f"{at}.weight", (channels,)
        yield f"{at}.bias", (channels,)
    yield f"{at}.running_mean", (channels,)
    yield f"{at}.running_var", (channels,)


def check_state(state: State) -> int:
    """Check every tensor that inference needs and return the number of patches.

    Raises ValueError naming the first tensor that is missing, has another shape, is not a real
    floating-point tensor, has a non-finite value or a negative variance.
    """
    patches = count_patches(state)
    shapes = state_shapes(patches)
    missing = [name for name in shapes if name not in state]
    if missing:
        raise ValueError(
            f"{missing[0]}: tensor missing ({len(missing)} of {len(shapes)} are missing)"
        )
    for name, shape in shapes.items():
        tensor = state[name]
        if tensor.shape != shape:
            raise ValueError(f"{name}: shape is {tensor.shape}, it must be {shape}")
        if tensor.dtype.kind != "f":
            raise ValueError(f"{name}: type is {tensor.dtype}, it must be floating point")
        if not np.isfinite(tensor).all():
            raise ValueError(f"{name}: holds NaN or infinite values")
        if name.endswith("running_var") and (tensor < 0).any():
            raise ValueError(f"{name}: holds a negative variance")
    return patches
