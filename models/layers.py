"""The fused network: monic squares, convolutions and one last matrix. numpy only, float64.

Every HerPN activation a·x² + b·x + g is completed to a·((x + b/2a)² + g/a - (b/2a)²). The shift
b/2a goes into the bias of the convolution before it, so that the stored tensor is z = x + b/2a;
the leading coefficient a goes into what follows (per input channel); BatchNorms and the linear
layer become one matrix. With z per patch of shape (P, C, H, W):

    z = stem(patch) + stem.bias
    for each block:
        s = z² + offset1
        z' = conv1(s) + conv1.bias
        s' = z'² + offset2
        z = conv2(s') + shortcut(s) + conv2.bias        (the shortcut starts from s, not from z)
    s = z² + final_offset
    pooled = average pool of s to 2x2
    embedding[j] = Σ head_weight[j,p,c,y,x] · pooled[p,c,y,x] + head_bias[j]

The shortcut of CryptoFace starts from the *activated* tensor herpn1(x), as in a pre-activation
ResNet (checked against its checkpoint: from x, the outputs differ by 80 orders of magnitude). As
herpn1(x) = a·s, an identity shortcut becomes a product per channel. Convolutions pad s with
zeros, which is right because a·0 is the zero that the network pads its activations with.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
POOL: Final = 2


def _own(owner: object, **shapes: tuple[int | None, ...]) -> None:
    """Replace fields by read-only float64 copies after checking shapes (None: any size)."""
    for field, shape in shapes.items():
        given = np.array(getattr(owner, field), dtype=np.float64, order="C")
        name = f"{type(owner).__name__}.{field}"
        if len(given.shape) != len(shape) or any(
            want is not None and want != have for want, have in zip(shape, given.shape, strict=True)
        ):
            wanted = tuple("any" if n is None else n for n in shape)
            raise ValueError(f"{name}: shape is {given.shape}, it must be {wanted}")
        if not np.isfinite(given).all():
            raise ValueError(f"{name}: holds NaN or infinite values")
        given.flags.writeable = False
        object.__setattr__(owner, field, given)


@dataclass(frozen=True, eq=False)
class FusedConv:
    """A convolution per patch: weight (P, Cout, Cin, k, k), bias (P, Cout), zero padding."""

    weight: Array
    bias: Array
    stride: int
    padding: int

    def __post_init__(self) -> None:
        """Freeze the arrays; ValueError for shapes that do not fit or non-finite values."""
        _own(self, weight=(None,) * 5)
        _own(self, bias=self.weight.shape[:2])
        if self.weight.shape[3] != self.weight.shape[4]:
            raise ValueError(f"FusedConv.weight: kernel {self.weight.shape[3:]} is not square")
        if self.stride < 1 or self.padding < 0:
            raise ValueError(f"FusedConv: stride {self.stride}, padding {self.padding} is not one")

    @property
    def patches(self) -> int:
        """Number of patches P."""
        return int(self.weight.shape[0])

    @property
    def outputs(self) -> int:
        """Channels out."""
        return int(self.weight.shape[1])

    @property
    def inputs(self) -> int:
        """Channels in."""
        return int(self.weight.shape[2])

    @property
    def kernel(self) -> int:
        """Side of the kernel."""
        return int(self.weight.shape[3])

    def output_size(self, size: int) -> int:
        """Side of the output for a square input of side `size`."""
        return (size + 2 * self.padding - self.kernel) // self.stride + 1


@dataclass(frozen=True, eq=False)
class FusedBlock:
    """A HerPNConv block with completed squares.

    offset1 (P, Cin), offset2 (P, Cout); shortcut: (P, C), a product per channel of s (identity
    shortcut of the original), or (P, Cout, Cin), a 1x1 convolution of s with conv1's stride.
    """

    offset1: Array
    conv1: FusedConv
    offset2: Array
    conv2: FusedConv
    shortcut: Array

    def __post_init__(self) -> None:
        """Freeze the arrays; ValueError for shapes that do not fit or non-finite values."""
        one, two = self.conv1, self.conv2
        if (two.patches, two.inputs, two.stride) != (one.patches, one.outputs, 1):
            raise ValueError("FusedBlock: conv2 does not fit conv1 (patches, channels, stride 1)")
        _own(self, offset1=(one.patches, one.inputs), offset2=(one.patches, two.inputs))
        if np.ndim(self.shortcut) == 3:
            _own(self, shortcut=(one.patches, two.outputs, one.inputs))
        else:
            _own(self, shortcut=(one.patches, two.outputs))
            if one.inputs != two.outputs or one.stride != 1:
                raise ValueError("FusedBlock: a shortcut per channel needs equal shapes")

    @property
    def projects(self) -> bool:
        """Whether the shortcut is a 1x1 convolution (otherwise a product per channel)."""
        return self.shortcut.ndim == 3

    def shortcut_matrix(self) -> Array:
        """The shortcut as a 1x1 convolution of s in both cases: (P, Cout, Cin)."""
        if self.projects:
            return self.shortcut
        return np.asarray(self.shortcut[:, :, None] * np.eye(self.shortcut.shape[1]))


@dataclass(frozen=True, eq=False)
class FusedNetwork:
    """The whole network; see the module's text for what it computes.

    final_offset (P, C); head_weight (E, P, C, 2, 2), head_bias (E,) with E = 256 in the real one.
    """

    input_size: int
    patch_size: int
    stem: FusedConv
    blocks: tuple[FusedBlock, ...]
    final_offset: Array
    head_weight: Array
    head_bias: Array

    def __post_init__(self) -> None:
        """Freeze the arrays; ValueError where layers, patches and sizes do not fit together."""
        side, rest = divmod(self.input_size, self.patch_size)
        patches = self.stem.patches
        if rest or side * side != patches or side < 1:
            raise ValueError(
                f"FusedNetwork: {patches} patches of {self.patch_size} pixels do not tile "
                f"{self.input_size}x{self.input_size}"
            )
        channels = self.stem.outputs
        for j, block in enumerate(self.blocks):
            if (block.conv1.patches, block.conv1.inputs) != (patches, channels):
                raise ValueError(f"FusedNetwork: block {j} does not fit what comes before it")
            channels = block.conv2.outputs
        size = self.sizes()[-1]
        if size < POOL or size % POOL:
            raise ValueError(f"FusedNetwork: {size}x{size} cannot be pooled to {POOL}x{POOL}")
        _own(self, final_offset=(patches, channels))
        _own(self, head_weight=(None, patches, channels, POOL, POOL))
        _own(self, head_bias=(self.head_weight.shape[0],))

    @property
    def patches(self) -> int:
        """Number of patches P, row-major over the image."""
        return self.stem.patches

    @property
    def embedding(self) -> int:
        """Length of the embedding (256)."""
        return int(self.head_weight.shape[0])

    def sizes(self) -> tuple[int, ...]:
        """Side of z after the stem and after each block."""
        sizes = [self.stem.output_size(self.patch_size)]
        for block in self.blocks:
            sizes.append(block.conv2.output_size(block.conv1.output_size(sizes[-1])))
        return tuple(sizes)
