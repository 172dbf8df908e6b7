"""From an architecture to the plan that embeds one image, and from a network to its tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler.architecture import (
    POOL,
    Architecture,
    Array,
    BlockShape,
    Network,
    architecture_of,
)
from fhe_core.compiler.builder import Filler, PlanBuilder
from fhe_core.compiler.convolution import Source, Structure, fill_rows
from fhe_core.compiler.head import append_head
from fhe_core.compiler.normalisation import append_normalisation, embedding_log_scale
from fhe_core.compiler.policy import Policy
from fhe_core.layouts import Layout, LayoutError, raster, widen
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan

#: Patch networks that run side by side in one set of ciphertexts.
LANES = 4


@dataclass(frozen=True)
class CompiledNetwork:
    """A plan, how its tables are filled, and where the input image goes."""

    plan: Plan
    architecture: Architecture
    parameters: Parameters
    input_layouts: tuple[Layout, ...]
    _fillers: Mapping[str, tuple[Filler, int]] = field(repr=False, compare=False)

    def tables(self, network: Network) -> dict[str, Array]:
        """Slot values of every table of the plan for one network.

        Raises:
            ValueError: the network has another architecture.
        """
        if architecture_of(network) != self.architecture:
            raise ValueError("the network's architecture is not the one the plan was compiled for")
        return {name: filler(network, lane) for name, (filler, lane) in self._fillers.items()}

    def pack_image(self, image: Array) -> Array:
        """Slots [ciphertexts, slots] of an image (channels, size, size), values in [-1, 1].

        The neighbourhood of every pixel is gathered here (im2col), so that the first convolution
        needs no spatial rotation and no border mask.
        """
        columns = gather_patches(self.architecture, image)
        packed = []
        for group, layout in enumerate(self.input_layouts):
            lanes = layout.shape[0]
            padded = np.zeros(layout.shape)
            chosen = columns[group * LANES : group * LANES + lanes]
            padded[:, : chosen.shape[1]] = chosen
            packed.append(layout.pack(padded))
        return np.concatenate(packed)


def gather_patches(architecture: Architecture, image: Array) -> Array:
    """(patches, channels * k * k, patch_size, patch_size): each pixel's neighbourhood."""
    arch = architecture
    shape = (arch.image_channels, arch.input_size, arch.input_size)
    if image.shape != shape:
        raise ValueError(f"expected an image of shape {shape}, got {image.shape}")
    side, size, k = arch.input_size // arch.patch_size, arch.patch_size, arch.stem_kernel
    patches = image.reshape(-1, side, size, side, size).transpose(1, 3, 0, 2, 4)
    patches = patches.reshape(side * side, -1, size, size)
    edge = k // 2
    padded = np.pad(patches, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(2, 3))
    return np.ascontiguousarray(windows).reshape(side * side, -1, size, size)


def compile_network(
    architecture: Architecture,
    parameters: Parameters,
    policy: Policy,
    coefficients: Sequence[float],
    interval: tuple[float, float],
) -> CompiledNetwork:
    """The plan from encrypted patches to the normalised embedding and its squared norm.

    coefficients: of the inverse-square-root polynomial, highest degree first; it holds on
        ``interval`` of squared norms, which the client checks every result against.

    Raises:
        PlanError: the modulus chain is too short, or the coefficients are not supported.
        LayoutError: a feature map does not fit the ciphertexts.
    """
    builder = PlanBuilder(parameters, policy)
    groups = range(0, architecture.patches, LANES)
    layouts = []
    inputs: list[str] = []
    sums: list[str] = []
    log_scale = embedding_log_scale(policy, coefficients)
    for lane in groups:
        lanes = min(LANES, architecture.patches - lane)
        prefix = f"patches {lane}-{lane + lanes - 1} " if len(groups) > 1 else ""
        backbone = _Backbone(builder, architecture, lane, lanes, prefix)
        layouts.append(backbone.input_layout)
        names, last, layout = backbone.append()
        inputs += names
        sums.append(
            append_head(builder, architecture, last, layout, lane, lanes, prefix, log_scale)
        )
        period = layout.group
    if len(sums) > 1:
        raise NotImplementedError("more than four patches")
    embedding, squared_norm = append_normalisation(builder, sums[0], period, coefficients)
    plan = builder.finish(
        f"embed-{architecture.input_size}",
        inputs,
        [embedding, squared_norm],
        {
            "architecture": architecture.describe(),
            "coefficients": [float(c).hex() for c in coefficients],
            "interval": [float(bound).hex() for bound in interval],
            "input_layouts": [layout.describe() for layout in layouts],
            "embedding": architecture.embedding,
            "period": period,
        },
    )
    return CompiledNetwork(plan, architecture, parameters, tuple(layouts), builder.fillers)


class _Backbone:
    """The convolutional part for one group of lanes."""

    def __init__(
        self, builder: PlanBuilder, architecture: Architecture, lane: int, lanes: int, prefix: str
    ) -> None:
        self.builder, self.architecture = builder, architecture
        self.lane, self.lanes, self.prefix = lane, lanes, prefix
        gathered = architecture.image_channels * architecture.stem_kernel**2
        self.input_layout = widen(self._stem_layout(), gathered)

    def _stem_layout(self) -> Layout:
        arch = self.architecture
        return raster(self.builder.parameters.slots, self.lanes, arch.stem_outputs, arch.patch_size)

    def append(self) -> tuple[list[str], str, Layout]:
        """Inputs, the last square's ciphertext, and its layout."""
        builder, arch, layout = self.builder, self.architecture, self._stem_layout()
        scale = 2.0**builder.policy.log_scale
        inputs = [
            builder.input(f"{self.prefix}input.{i}", builder.parameters.limbs, scale)
            for i in range(self.input_layout.ciphertexts)
        ]
        gathered = self.input_layout.shape[1]
        z = builder.convolution(
            f"{self.prefix}stem",
            [(Source(self.input_layout, 1, 1, 0), inputs)],
            layout,
            lambda structure: _weights(structure, lambda net: [_stem(net, gathered)], self.lanes),
            _channels(lambda net: net.stem.bias, layout),
            self.lane,
        )
        for number, block in enumerate(arch.blocks):
            z, layout = self._block(number, block, z, layout)
        label = f"{self.prefix}final square"
        offset = _channels(lambda net: net.final_offset, layout)
        squares = builder.square(label, z, offset, self.lane)
        if len(squares) != 1:
            raise ValueError("the last feature map must fit one ciphertext")
        return inputs, squares[0], layout

    def _block(
        self, number: int, shape: BlockShape, z: list[str], layout: Layout
    ) -> tuple[list[str], Layout]:
        builder, label = self.builder, f"{self.prefix}block {number}"
        kernel, padding = shape.kernel, shape.kernel // 2
        size = layout.shape[2] // shape.stride
        pitch = next(d.stride for d in layout.digits if d.axis == "x") * shape.stride
        slots, lanes = builder.parameters.slots, self.lanes
        middle = raster(slots, lanes, shape.middle, size, pitch_x=pitch)
        after = raster(slots, lanes, shape.outputs, size, pitch_x=pitch)

        def of(get: Callable[[Any], Array]) -> Callable[[Network], Array]:
            return lambda network: get(network.blocks[number])

        s = builder.square(
            f"{label} square 1", z, _channels(of(lambda b: b.offset1), layout), self.lane
        )
        h = builder.convolution(
            f"{label} conv 1",
            [(Source(layout, kernel, shape.stride, padding), s)],
            middle,
            lambda st: _weights(st, lambda n: [_flat(n.blocks[number].conv1.weight)], lanes),
            _channels(of(lambda b: b.conv1.bias), middle),
            self.lane,
        )
        s2 = builder.square(
            f"{label} square 2", h, _channels(of(lambda b: b.offset2), middle), self.lane
        )
        shortcut = Source(layout, 1, shape.stride, 0, diagonal=not shape.projects)
        z = builder.convolution(
            f"{label} conv 2 + shortcut",
            [(Source(middle, kernel, 1, padding), s2), (shortcut, s)],
            after,
            lambda st: _weights(
                st,
                lambda n: [_flat(n.blocks[number].conv2.weight), _flat(n.blocks[number].shortcut)],
                lanes,
            ),
            _channels(of(lambda b: b.conv2.bias), after),
            self.lane,
        )
        return z, after


def _flat(weight: Array) -> Array:
    return weight.reshape(weight.shape[0], -1)


def _stem(network: Network, gathered: int) -> Array:
    """The first convolution on gathered neighbourhoods, 1 x 1: (patches, out * gathered)."""
    weight = network.stem.weight
    patches, outputs = weight.shape[:2]
    padded = np.zeros((patches, outputs, gathered))
    padded[:, :, : math.prod(weight.shape[2:])] = weight.reshape(patches, outputs, -1)
    return padded.reshape(patches, -1)


def _weights(structure: Structure, get: Callable[[Network], list[Array]], lanes: int) -> Filler:
    padded = 1 << (lanes - 1).bit_length()

    def fill(network: Any, lane: int) -> NDArray[np.float64]:
        return fill_rows(structure, [w[lane : lane + lanes] for w in get(network)], padded)

    return fill


def _channels(get: Callable[[Network], Array], layout: Layout) -> Filler:
    """A periodic row [1, group] from values per (lane, channel); zero where no channel is.

    Raises:
        LayoutError: channels go across ciphertexts, which one row cannot serve.
    """
    if any(d.axis == "channel" and d.across for d in layout.digits):
        raise LayoutError("a feature map with offsets must hold all its channels in one ciphertext")

    def fill(network: Any, lane: int) -> NDArray[np.float64]:
        lanes, channels = layout.shape[:2]
        values = get(network)[lane : lane + lanes]
        row = np.zeros(layout.group)
        slots = layout.positions()[:, :, 0, 0] % layout.slots
        row[slots[:, :channels]] = values
        return row[None]

    return fill


__all__ = ["LANES", "POOL", "CompiledNetwork", "compile_network", "gather_patches"]
