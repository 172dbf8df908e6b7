"""From an architecture to the plan that embeds one image, and from a network to its tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

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
from fhe_core.compiler.head import HeadInput, append_head
from fhe_core.compiler.normalisation import append_normalisation, embedding_log_scale
from fhe_core.compiler.policy import Policy
from fhe_core.inverse_root import InverseRoot
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
    input_layout: Layout
    views: int
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

        Several views are (views, channels, size, size). The neighbourhood of every
        pixel is gathered here (im2col), so that the first convolution needs no spatial rotation
        and no border mask.

        Raises:
            ValueError: another shape.
        """
        arch = self.architecture
        shape = (arch.image_channels, arch.input_size, arch.input_size)
        views = image[None] if self.views == 1 and image.ndim == 3 else image
        if views.shape != (self.views, *shape):
            wanted = shape if self.views == 1 else (self.views, *shape)
            raise ValueError(f"expected an image of shape {wanted}, got {image.shape}")
        packed = []
        for view in views:
            columns = gather_patches(arch, view)
            for lane in range(0, arch.patches, LANES):
                padded = np.zeros(self.input_layout.shape)
                chosen = columns[lane : lane + LANES]
                padded[: len(chosen), : chosen.shape[1]] = chosen
                packed.append(self.input_layout.pack(padded))
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
    root: InverseRoot,
    views: int = 1,
) -> CompiledNetwork:
    """The plan from encrypted patches to the normalised embedding and its squared norm.

    root: the normalisation; the client checks every result against its interval.
    views: images whose embeddings are averaged before they are normalised (a face and its mirror
        image: flip averaging).

    Raises:
        PlanError: the modulus chain is too short.
        InverseRootError: the polynomial cannot be evaluated as a product.
        LayoutError: a feature map does not fit the ciphertexts.
    """
    builder = PlanBuilder(parameters, policy)
    product = root.product()
    backbone = _Backbone(builder, architecture)
    inputs: list[str] = []
    heads: list[HeadInput] = []
    for view in range(views):
        builder.view = f"view {view + 1} " if views > 1 else ""
        for lane in range(0, architecture.patches, LANES):
            lanes = min(LANES, architecture.patches - lane)
            several = architecture.patches > LANES
            prefix = f"patches {lane}-{lane + lanes - 1} " if several else ""
            names, last, layout = backbone.append(lane, lanes, prefix)
            inputs += names
            heads.append(HeadInput(last, lane, lanes, builder.view + prefix))
    builder.view = ""
    log_scale = embedding_log_scale(policy, root)
    factor = product.sign / views
    embedding = append_head(builder, architecture, heads, layout, factor, log_scale)
    normalised, squared_norm = append_normalisation(builder, embedding, layout.group, root, product)
    plan = builder.finish(
        f"embed-{architecture.input_size}" + (f"-views-{views}" if views > 1 else ""),
        inputs,
        [normalised, squared_norm],
        {
            "architecture": architecture.describe(),
            "normalisation": root.describe(),
            "views": views,
            "input_layout": backbone.input_layout.describe(),
            "embedding": architecture.embedding,
            "period": layout.group,
        },
    )
    return CompiledNetwork(
        plan, architecture, parameters, backbone.input_layout, views, builder.fillers
    )


class _Backbone:
    """The convolutional part, for up to LANES patch networks at a time.

    Every group of networks has room for LANES, so that all share layouts, rotations and keys.
    """

    def __init__(self, builder: PlanBuilder, architecture: Architecture) -> None:
        self.builder, self.architecture = builder, architecture
        self.lane, self.lanes, self.prefix = 0, 0, ""
        gathered = architecture.image_channels * architecture.stem_kernel**2
        self.room = 1 << (min(LANES, architecture.patches) - 1).bit_length()
        self.input_layout = widen(self._stem_layout(), gathered)

    def _stem_layout(self) -> Layout:
        arch = self.architecture
        return raster(self.builder.parameters.slots, self.room, arch.stem_outputs, arch.patch_size)

    def append(self, lane: int, lanes: int, prefix: str) -> tuple[list[str], str, Layout]:
        """Inputs, the last square's ciphertext, and its layout, for networks from ``lane`` on."""
        self.lane, self.lanes, self.prefix = lane, lanes, prefix
        builder, arch, layout = self.builder, self.architecture, self._stem_layout()
        scale = 2.0**builder.policy.log_scale
        inputs = [
            builder.input(f"{builder.view}{prefix}input.{i}", builder.parameters.limbs, scale)
            for i in range(self.input_layout.ciphertexts)
        ]
        gathered = self.input_layout.shape[1]
        z = builder.convolution(
            f"{self.prefix}stem",
            [(Source(self.input_layout, 1, 1, 0), inputs)],
            layout,
            self._weights(lambda net: [_stem(net, gathered)]),
            self._channels(lambda net: net.stem.bias, layout),
            self.lane,
        )
        for number, block in enumerate(arch.blocks):
            z, layout = self._block(number, block, z, layout)
        label = f"{self.prefix}final square"
        offset = self._channels(lambda net: net.final_offset, layout)
        squares = builder.square(label, z, offset, self.lane)
        if len(squares) != 1:
            raise LayoutError("the last feature map must fit one ciphertext")
        return inputs, squares[0], layout

    def _block(
        self, number: int, shape: BlockShape, z: list[str], layout: Layout
    ) -> tuple[list[str], Layout]:
        builder, label = self.builder, f"{self.prefix}block {number}"
        kernel, padding = shape.kernel, shape.kernel // 2
        size = layout.shape[2] // shape.stride
        pitch = next(d.stride for d in layout.digits if d.axis == "x") * shape.stride
        slots = builder.parameters.slots
        middle = raster(slots, self.room, shape.middle, size, pitch_x=pitch)
        after = raster(slots, self.room, shape.outputs, size, pitch_x=pitch)

        def of(get: Callable[[Any], Array]) -> Callable[[Network], Array]:
            return lambda network: get(network.blocks[number])

        offset = self._channels(of(lambda b: b.offset1), layout)
        s = builder.square(f"{label} square 1", z, offset, self.lane)
        h = builder.convolution(
            f"{label} conv 1",
            [(Source(layout, kernel, shape.stride, padding), s)],
            middle,
            self._weights(lambda n: [_flat(n.blocks[number].conv1.weight)]),
            self._channels(of(lambda b: b.conv1.bias), middle),
            self.lane,
        )
        offset = self._channels(of(lambda b: b.offset2), middle)
        s2 = builder.square(f"{label} square 2", h, offset, self.lane)
        shortcut = Source(layout, 1, shape.stride, 0, diagonal=not shape.projects)
        z = builder.convolution(
            f"{label} conv 2 + shortcut",
            [(Source(middle, kernel, 1, padding), s2), (shortcut, s)],
            after,
            self._weights(
                lambda n: [_flat(n.blocks[number].conv2.weight), _flat(n.blocks[number].shortcut)]
            ),
            self._channels(of(lambda b: b.conv2.bias), after),
            self.lane,
        )
        return z, after

    def _weights(
        self, get: Callable[[Network], list[Array]]
    ) -> Callable[[Structure], Callable[[Any, int], Array]]:
        """Periodic rows of one linear step, for the networks of this group."""
        lanes, room = self.lanes, self.room

        def fill(structure: Structure, network: Any, lane: int) -> Array:
            return fill_rows(structure, [w[lane : lane + lanes] for w in get(network)], room)

        return lambda structure: lambda network, lane: fill(structure, network, lane)

    def _channels(self, get: Callable[[Network], Array], layout: Layout) -> Filler:
        """A periodic row [1, group] from values per (lane, channel); zero where no channel is.

        Raises:
            LayoutError: channels go across ciphertexts, which one row cannot serve.
        """
        if any(d.axis == "channel" and d.across for d in layout.digits):
            raise LayoutError(
                "a feature map with offsets must hold all its channels in one ciphertext"
            )
        lanes = self.lanes

        def fill(network: Any, lane: int) -> Array:
            row = np.zeros(layout.group)
            slots = layout.positions()[:lanes, :, 0, 0] % layout.slots
            row[slots] = get(network)[lane : lane + lanes]
            return row[None]

        return fill


def _flat(weight: Array) -> Array:
    return weight.reshape(weight.shape[0], -1)


def _stem(network: Network, gathered: int) -> Array:
    """The first convolution on gathered neighbourhoods, 1 x 1: (patches, out * gathered)."""
    weight = network.stem.weight
    patches, outputs = weight.shape[:2]
    padded = np.zeros((patches, outputs, gathered))
    padded[:, :, : math.prod(weight.shape[2:])] = weight.reshape(patches, outputs, -1)
    return padded.reshape(patches, -1)


__all__ = ["LANES", "POOL", "CompiledNetwork", "compile_network", "gather_patches"]
