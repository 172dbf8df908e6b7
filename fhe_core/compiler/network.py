"""From an architecture to the plan that embeds one image, and from a network to its tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fhe_core.compiler.architecture import POOL, Architecture, Array, BlockShape, Network
from fhe_core.compiler.builder import Filler, LinearTables, PlanBuilder
from fhe_core.compiler.compiled import Compiled
from fhe_core.compiler.convolution import Source, Structure, fill_rows
from fhe_core.compiler.ending import Ending
from fhe_core.compiler.head import HeadInput, append_head
from fhe_core.compiler.image_copies import ImageCopies
from fhe_core.compiler.layouts import (
    Layout,
    LayoutError,
    power_of_two,
    raster,
    rows_on_top,
)
from fhe_core.compiler.policy import Policy
from fhe_core.compiler.smaller_ring import below, even_rows, switch_of, switched
from fhe_core.normalisation import Normalisation
from fhe_core.parameters import Parameters

#: Patch networks that run side by side in one set of ciphertexts, unless fewer are asked for.
LANES = 4


@dataclass(frozen=True, kw_only=True)
class CompiledNetwork(Compiled):
    """A plan for one image, and where it goes.

    views: images of one face whose embeddings are averaged before they are normalised.
    """

    copies: ImageCopies
    views: int
    lanes: int

    def pack_image(self, image: Array) -> Array:
        """Slots [ciphertexts, slots] of an image (channels, size, size), values in [-1, 1].

        Two views are (2, channels, size, size); their ciphertexts follow one another.

        Raises:
            ValueError: another shape.
        """
        arch = self.architecture
        shape = (arch.image_channels, arch.input_size, arch.input_size)
        views = image[None] if image.ndim == len(shape) else image
        if views.shape != (self.views, *shape):
            wanted = shape if self.views == 1 else (self.views, *shape)
            raise ValueError(f"expected an image of shape {wanted}, got {image.shape}")
        return np.concatenate([self._pack_view(view) for view in views])

    def _pack_view(self, image: Array) -> Array:
        arch = self.architecture
        side, size = arch.input_size // arch.patch_size, arch.patch_size
        patches = image.reshape(-1, side, size, side, size).transpose(1, 3, 0, 2, 4)
        patches = patches.reshape(side * side, -1, size, size)
        groups = range(0, arch.patches, self.lanes)
        return np.concatenate([self.copies.pack(patches[g : g + self.lanes]) for g in groups])


def compile_network(
    architecture: Architecture,
    parameters: Parameters,
    policy: Policy,
    normalisation: Normalisation | None,
    views: int = 1,
    lanes: int = LANES,
) -> CompiledNetwork:
    """The plan from encrypted patches to the normalised embedding and its squared norm.

    normalisation: the client checks every result against its interval. None: the plan ends with the
        embedding itself, which whoever decrypts it normalises.
    views: 2 averages the embeddings of a face and of its mirror image; every view takes
        ciphertexts of its own.
    lanes: patch networks that share ciphertexts; 1 gives every patch ciphertexts of its own.

    Raises:
        ValueError: lanes is not 1, 2 or 4.
        PlanError: the modulus chain is too short.
        NormalisationError: the polynomial cannot be evaluated as a product.
        LayoutError: a feature map does not fit the ciphertexts.
    """
    builder = PlanBuilder(parameters, policy)
    ending = Ending(builder, normalisation)
    if lanes not in (1, 2, LANES):
        raise ValueError(f"{lanes} lanes; it must be 1, 2 or {LANES}")
    backbone = _Backbone(builder, architecture, views, lanes)
    heads: list[HeadInput] = []
    inputs = backbone.inputs()
    per_group = len(inputs) // len(backbone.groups)
    for number, (lane, count, prefix) in enumerate(backbone.groups):
        own = inputs[number * per_group : (number + 1) * per_group]
        last, layout = backbone.append(lane, count, prefix, own)
        heads.append(HeadInput(last, lane, count, prefix, 1 / views))

    embedding, period = append_head(builder, architecture, heads, layout, ending.sign, ending.scale)
    outputs = ending.append(embedding, period)
    plan = builder.finish(
        f"embed-{architecture.input_size}-{'one' if views == 1 else 'mirror'}",
        inputs,
        outputs,
        {
            "architecture": architecture.describe(),
            "normalisation": ending.describe(),
            "packing": "one" if views == 1 else "mirror",
            "input_layout": backbone.copies.layout.describe(),
            "embedding": architecture.embedding,
            "period": period,
        },
    )
    return CompiledNetwork(
        plan=plan,
        architecture=architecture,
        parameters=parameters,
        fillers=builder.fillers,
        copies=backbone.copies,
        views=views,
        lanes=lanes,
    )


class _Backbone:
    """The convolutional part, for up to ``lanes`` patch networks at a time.

    Every group of networks has room for as many, so that all share layouts, rotations and keys.
    """

    def __init__(
        self,
        builder: PlanBuilder,
        architecture: Architecture,
        views: int,
        lanes: int,
    ) -> None:
        self.builder, self.architecture, self.views = builder, architecture, views
        self.policy, self.together = builder.policy, lanes
        self.lane, self.lanes, self.prefix = 0, 0, ""
        self.room = power_of_two(min(lanes, architecture.patches))
        self.switch = switch_of(builder, architecture.blocks, self.room, architecture.patch_size)
        layout = self._stem_layout()
        (width,) = builder.pre_steps([layout], layout)
        self.copies = ImageCopies.make(layout, architecture.image_channels, width)

    def _stem_layout(self) -> Layout:
        layout = self._natural_stem_layout()
        return layout if self.switch is None else rows_on_top(layout)

    def _natural_stem_layout(self) -> Layout:
        arch = self.architecture
        slots, size = self.builder.parameters.slots, arch.patch_size
        closest = raster(slots, self.room, arch.stem_outputs, size)
        if self.together == LANES:
            return closest
        # Few lanes leave slots free: pixels stand as far apart as they can, as the head needs room
        # between them.
        pitch_y = next(d.stride for d in closest.digits if d.axis == "y" and not d.across)
        return raster(slots, self.room, arch.stem_outputs, size, pitch_x=pitch_y // size)

    @property
    def groups(self) -> list[tuple[int, int, str]]:
        """First network, number of networks and label of each group, view by view."""
        own = self._groups_of_a_view()
        mirror = [(lane, lanes, f"mirror {prefix}") for lane, lanes, prefix in own]
        return own + mirror if self.views > 1 else own

    def _groups_of_a_view(self) -> list[tuple[int, int, str]]:
        patches = self.architecture.patches
        found = []
        for lane in range(0, patches, self.together):
            lanes = min(self.together, patches - lane)
            prefix = f"patches {lane}-{lane + lanes - 1} " if patches > self.together else ""
            if self.together == 1 and patches > 1:
                prefix = f"patch {lane} "
            found.append((lane, lanes, prefix))
        return found

    def inputs(self) -> list[str]:
        """Names of the packed images, group by group."""
        scale = 2.0**self.policy.log_input_scale
        return [
            self.builder.input(f"{prefix}input.{i}", self.builder.parameters.top, scale)
            for _, _, prefix in self.groups
            for i in range(self.copies.layout.ciphertexts)
        ]

    def append(self, lane: int, lanes: int, prefix: str, inputs: list[str]) -> tuple[str, Layout]:
        """The last square's ciphertext and its layout, for networks from ``lane`` on."""
        self.lane, self.lanes, self.prefix = lane, lanes, prefix
        builder, arch, layout = self.builder, self.architecture, self._stem_layout()
        kernel = arch.stem_kernel
        source = Source(self.copies.layout, kernel, 1, kernel // 2, places=self.copies.places)
        z = builder.convolution(
            f"{self.prefix}stem",
            [(source, inputs)],
            layout,
            self._tables(
                lambda net: [_flat(net.stem.weight)],
                self._channels(lambda net: net.stem.bias, layout),
            ),
            log_scale=self.policy.log_scale,
            log_mask_scale=self.policy.log_stem_mask_scale,
        )
        for number, block in enumerate(arch.blocks):
            z, layout = self._block(number, block, z, layout)
        label = f"{self.prefix}final square"
        offset = self._channels(lambda net: net.final_offset, layout)
        squares = self._square(label, z, offset, self.policy.rescales.final_square)
        if len(squares) != 1:
            raise LayoutError("the last feature map must fit one ciphertext")
        return squares[0], layout

    def _block(
        self, number: int, shape: BlockShape, z: list[str], layout: Layout
    ) -> tuple[list[str], Layout]:
        builder, label = self.builder, f"{self.prefix}block {number}"
        kernel, padding, stride = shape.kernel, shape.kernel // 2, shape.stride
        size = layout.shape[2] // stride
        pitch = next(d.stride for d in layout.digits if d.axis == "x") * stride
        rescales, switch = self.policy.rescales, self.switch
        switches = switch is not None and number == switch.block
        slots = layout.slots // 2 if switches else layout.slots

        def place(channels: int) -> Layout:
            natural = raster(slots, self.room, channels, size, pitch_x=pitch)
            on_top = switch is not None and number < switch.block
            return rows_on_top(natural) if on_top else natural

        middle, after = place(shape.middle), place(shape.outputs)

        def of(get: Callable[[Any], Array]) -> Callable[[Network], Array]:
            return lambda network: get(network.blocks[number])

        offset = self._channels(of(lambda b: b.offset1), layout)
        s = self._square(f"{label} square 1", z, offset, rescales.square1)
        level, rescale = builder.values[s[0]].level, rescales.conv1
        halves = 1
        if switches:  # it adds both halves of the slots, with their biases
            levels = below(builder.parameters, level - rescale)
            rescale, halves = level - levels[0], 2
        h = builder.convolution(
            f"{label} conv 1",
            [(Source(layout, kernel, stride, padding), s)],
            replace(middle, slots=layout.slots),
            self._tables(
                lambda n: [_flat(n.blocks[number].conv1.weight)],
                self._channels(of(lambda b: b.conv1.bias / halves), middle),
            ),
            log_scale=self._scale_within(number),
            rescale=rescale,
            clean=switches,
        )
        if switches:
            h = switched(builder, label, h, levels)
            s = even_rows(builder, f"{label} shortcut", s, levels)
            layout, stride = place(shape.inputs), 1
        offset = self._channels(of(lambda b: b.offset2), middle)
        s2 = self._square(f"{label} square 2", h, offset, rescales.square2)
        shortcut = Source(layout, 1, stride, 0, diagonal=not shape.projects)
        z = builder.convolution(
            f"{label} conv 2 + shortcut",
            [(Source(middle, kernel, 1, padding), s2), (shortcut, s)],
            after,
            self._tables(
                lambda n: [_flat(n.blocks[number].conv2.weight), _flat(n.blocks[number].shortcut)],
                self._channels(of(lambda b: b.conv2.bias), after),
            ),
            log_scale=self._scale_after(number),
            rescale=rescales.conv2,
        )
        return z, after

    def _scale_within(self, number: int) -> float:
        """log2 of the scale of what a block's first convolution gives."""
        switch = self.switch
        if switch is None or number < switch.block:
            return self.policy.log_middle_scale
        return switch.log_switch_scale if number == switch.block else switch.log_middle_scale

    def _scale_after(self, number: int) -> float:
        """log2 of the scale of what a block gives."""
        switch = self.switch
        if switch is None or number < switch.block - 1:
            return self.policy.after_block(number, len(self.architecture.blocks))
        return switch.log_scale_before if number < switch.block else switch.log_scale

    def _square(self, label: str, sources: list[str], offset: Filler, rescale: int) -> list[str]:
        return self.builder.square(label, sources, offset, self.lane, rescale=rescale)

    def _tables(
        self, get: Callable[[Network], list[Array]], bias: Filler
    ) -> Callable[[Structure], LinearTables]:
        """Periodic rows of one linear step, for the networks of this group."""
        lanes, room = self.lanes, self.room

        def tables(structure: Structure) -> LinearTables:
            def weights(network: Any, lane: int) -> Array:
                return fill_rows(structure, [w[lane : lane + lanes] for w in get(network)], room)

            return LinearTables(weights, bias, self.lane)

        return tables

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


__all__ = ["LANES", "POOL", "CompiledNetwork", "compile_network"]
