"""What the compiler needs to know of a network: shapes only, read from any object that has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Feature maps are pooled to 2 x 2 before the last matrix.
POOL = 2


class Convolution(Protocol):
    """weight (lanes, out, in, k, k), bias (lanes, out), zero padding."""

    @property
    def weight(self) -> Array: ...
    @property
    def bias(self) -> Array: ...
    @property
    def stride(self) -> int: ...
    @property
    def padding(self) -> int: ...


class Block(Protocol):
    """s = z^2 + offset1; z = conv2((conv1(s))^2 + offset2) + shortcut(s)."""

    @property
    def offset1(self) -> Array: ...
    @property
    def conv1(self) -> Convolution: ...
    @property
    def offset2(self) -> Array: ...
    @property
    def conv2(self) -> Convolution: ...
    @property
    def shortcut(self) -> Array: ...


class Network(Protocol):
    """Parallel patch networks with monic squares, summed by one last matrix."""

    @property
    def input_size(self) -> int: ...
    @property
    def patch_size(self) -> int: ...
    @property
    def stem(self) -> Convolution: ...
    @property
    def blocks(self) -> Sequence[Block]: ...
    @property
    def final_offset(self) -> Array: ...
    @property
    def head_weight(self) -> Array: ...
    @property
    def head_bias(self) -> Array: ...


@dataclass(frozen=True)
class BlockShape:
    """channels in, between and out; stride of the first convolution; kind of shortcut."""

    inputs: int
    middle: int
    outputs: int
    kernel: int
    stride: int
    projects: bool


@dataclass(frozen=True)
class Architecture:
    """Shapes of a patch network; equal architectures share one plan."""

    input_size: int
    patch_size: int
    patches: int
    image_channels: int
    stem_kernel: int
    stem_outputs: int
    blocks: tuple[BlockShape, ...]
    embedding: int

    def describe(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "input_size": self.input_size,
            "patch_size": self.patch_size,
            "patches": self.patches,
            "image_channels": self.image_channels,
            "stem_kernel": self.stem_kernel,
            "stem_outputs": self.stem_outputs,
            "blocks": [
                [b.inputs, b.middle, b.outputs, b.kernel, b.stride, b.projects] for b in self.blocks
            ],
            "embedding": self.embedding,
        }


def architecture_of(network: Network) -> Architecture:
    """Read the shapes of a network.

    Raises:
        ValueError: the network has a shape the compiler does not support.
    """
    blocks = []
    for block in network.blocks:
        first, second = block.conv1, block.conv2
        kernel = first.weight.shape[3]
        for conv in (first, second):
            if conv.weight.shape[3] != kernel or conv.padding != kernel // 2:
                raise ValueError("convolutions must keep the size: odd kernel, padding k // 2")
        if second.stride != 1:
            raise ValueError("the second convolution of a block must have stride 1")
        blocks.append(
            BlockShape(
                first.weight.shape[2],
                first.weight.shape[1],
                second.weight.shape[1],
                kernel,
                first.stride,
                block.shortcut.ndim == 3,
            )
        )
    stem = network.stem
    if stem.stride != 1 or stem.padding != stem.weight.shape[3] // 2:
        raise ValueError("the first convolution must have stride 1 and keep the size")
    return Architecture(
        input_size=network.input_size,
        patch_size=network.patch_size,
        patches=stem.weight.shape[0],
        image_channels=stem.weight.shape[2],
        stem_kernel=stem.weight.shape[3],
        stem_outputs=stem.weight.shape[1],
        blocks=tuple(blocks),
        embedding=network.head_weight.shape[0],
    )
