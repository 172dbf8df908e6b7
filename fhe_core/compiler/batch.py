"""From an architecture to the plan that embeds many images at once; see fhe_core.compiler.grids.

Every image has a block of slots of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fhe_core.compiler.architecture import POOL, Architecture, Array, BlockShape, Network
from fhe_core.compiler.batch_head import append_batch_head
from fhe_core.compiler.builder import Filler, LinearTables, PlanBuilder
from fhe_core.compiler.compiled import Compiled
from fhe_core.compiler.convolution import Source, Structure, fill_rows
from fhe_core.compiler.ending import Ending
from fhe_core.compiler.grids import Grid
from fhe_core.compiler.layouts import Layout, LayoutError, power_of_two
from fhe_core.compiler.policy import Policy
from fhe_core.compiler.spread import build_spread
from fhe_core.normalisation import Normalisation
from fhe_core.parameters import Parameters

#: Channels that share the gaps of a pixel, vertically and horizontally. Four leave no gap behind
#: the second stride: a quarter of the squares and, with terms that are added up before they meet
#: their weights, of the products, for more rotation keys.
FILL = (2, 2)


@dataclass(frozen=True, kw_only=True)
class CompiledBatch(Compiled):
    """A plan for up to ``capacity`` images, and where they go: image i to block i."""

    grid: Grid
    input_layout: Layout

    @property
    def capacity(self) -> int:
        """Images in one set of ciphertexts."""
        return self.grid.blocks

    def pack_images(self, images: Array) -> Array:
        """Slots [ciphertexts, slots] of 1 to ``capacity`` images (count, channels, size, size).

        Room that is left is filled with the same images again: an image of zeros might diverge.

        Raises:
            ValueError: another shape, or too many images.
        """
        arch = self.architecture
        shape = (arch.image_channels, arch.input_size, arch.input_size)
        if images.shape[1:] != shape or not 1 <= len(images) <= self.capacity:
            raise ValueError(
                f"expected 1 to {self.capacity} images of shape {shape}, got {images.shape}"
            )
        side, size = arch.input_size // arch.patch_size, arch.patch_size
        count = self.capacity
        patches = images[np.arange(count) % len(images)].reshape(count, -1, side, size, side, size)
        lanes = np.zeros((count, self.grid.lanes, arch.image_channels, size, size))
        lanes[:, : arch.patches] = patches.transpose(0, 2, 4, 1, 3, 5).reshape(
            count, arch.patches, -1, size, size
        )
        return self.grid.pack(self.input_layout, lanes)


def capacity_of(architecture: Architecture, slots: int) -> int:
    """The most images that ciphertexts with so many slots have room for: the features that the
    last matrix takes must fit an image's block."""
    features = POOL**2 * architecture.blocks[-1].outputs
    return slots // (_lanes(architecture) * power_of_two(features))


def grid_for(architecture: Architecture, slots: int, capacity: int) -> Grid:
    """The grid with room for ``capacity`` images.

    Raises:
        LayoutError: no such grid, or too little room for an image.
    """
    lanes, most = _lanes(architecture), capacity_of(architecture, slots)
    if not 1 <= capacity <= most or capacity & (capacity - 1):
        raise LayoutError(
            f"no room for {capacity} images in {slots} slots: it must be a power of two, at "
            f"most {most}"
        )
    positions = slots // (capacity * lanes)
    height = 1 << ((positions.bit_length() - 1) // 2)
    return Grid(slots, lanes, height, positions // height)


def _lanes(architecture: Architecture) -> int:
    return power_of_two(architecture.patches)


def compile_batch(
    architecture: Architecture,
    parameters: Parameters,
    policy: Policy,
    normalisation: Normalisation | None,
    capacity: int,
    fill: tuple[int, int] = FILL,
) -> CompiledBatch:
    """The plan from encrypted images to their normalised embeddings and squared norms.

    normalisation: None ends the plan with the embeddings themselves (`compile_network`).
    fill: channels in the gaps of a pixel, vertically and horizontally.

    Raises:
        PlanError: the modulus chain is too short.
        NormalisationError: the polynomial cannot be evaluated as a product.
        LayoutError: no grid for that capacity.
    """
    grid = grid_for(architecture, parameters.slots, capacity)
    builder = PlanBuilder(parameters, policy)
    ending = Ending(builder, normalisation)
    backbone = _Backbone(builder, architecture, grid, fill)
    squares, layout = backbone.append()
    embedding, period = append_batch_head(
        builder, architecture, squares, grid, layout, ending.sign, ending.scale
    )
    outputs = ending.append(embedding, period)
    plan = builder.finish(
        f"embed-{architecture.input_size}-batch-{capacity}",
        backbone.plan_inputs,
        outputs,
        {
            "architecture": architecture.describe(),
            "normalisation": ending.describe(),
            "packing": "batch",
            "batch": {"capacity": capacity, "block": grid.block},
            "input_layout": backbone.input_layout.describe(),
            "embedding": architecture.embedding,
            "period": period,
        },
    )
    return CompiledBatch(
        plan=plan,
        architecture=architecture,
        parameters=parameters,
        fillers=builder.fillers,
        grid=grid,
        input_layout=backbone.input_layout,
    )


class _Backbone:
    """The convolutional part."""

    def __init__(
        self,
        builder: PlanBuilder,
        architecture: Architecture,
        grid: Grid,
        fill: tuple[int, int],
    ) -> None:
        self.builder, self.architecture = builder, architecture
        self.policy = builder.policy
        self.grid, self.fill = grid, fill
        self.input_layout = grid.layout(architecture.image_channels, architecture.patch_size)
        self.plan_inputs: list[str] = []

    def append(self) -> tuple[list[str], Layout]:
        """The ciphertexts of the last square, and their layout."""
        builder, arch, policy = self.builder, self.architecture, self.policy
        level, input_scale = builder.parameters.top, 2.0**policy.log_input_scale
        self.plan_inputs = [
            builder.input(f"input.{i}", level, input_scale)
            for i in range(self.input_layout.ciphertexts)
        ]
        layout = self.grid.layout(arch.stem_outputs, arch.patch_size, self.fill)
        kernel = arch.stem_kernel
        z = self._linear(
            "stem",
            [(Source(self.input_layout, kernel, 1, kernel // 2), self.plan_inputs)],
            layout,
            lambda n: [n.stem.weight],
            lambda n: n.stem.bias,
            policy.log_scale,
        )
        for number, block in enumerate(arch.blocks):
            z, layout = self._block(number, block, z, layout)
        rescale = policy.rescales.final_square
        return self._square("final square", z, layout, lambda n: n.final_offset, rescale), layout

    def _block(
        self, number: int, shape: BlockShape, z: list[str], layout: Layout
    ) -> tuple[list[str], Layout]:
        label, kernel, padding = f"block {number}", shape.kernel, shape.kernel // 2
        size = layout.shape[2] // shape.stride
        middle = self.grid.layout(shape.middle, size, self.fill)
        after = self.grid.layout(shape.outputs, size, self.fill)
        policy, rescales = self.policy, self.policy.rescales
        s = self._square(
            f"{label} square 1", z, layout, lambda n: n.blocks[number].offset1, rescales.square1
        )
        h = self._linear(
            f"{label} conv 1",
            [(Source(layout, kernel, shape.stride, padding), s)],
            middle,
            lambda n: [n.blocks[number].conv1.weight],
            lambda n: n.blocks[number].conv1.bias,
            policy.log_middle_scale,
            rescales.conv1,
        )
        s2 = self._square(
            f"{label} square 2", h, middle, lambda n: n.blocks[number].offset2, rescales.square2
        )
        shortcut = Source(layout, 1, shape.stride, 0, diagonal=not shape.projects)
        z = self._linear(
            f"{label} conv 2 + shortcut",
            [(Source(middle, kernel, 1, padding), s2), (shortcut, s)],
            after,
            lambda n: [n.blocks[number].conv2.weight, n.blocks[number].shortcut],
            lambda n: n.blocks[number].conv2.bias,
            policy.after_block(number, len(self.architecture.blocks)),
            rescales.conv2,
        )
        return z, after

    def _linear(
        self,
        label: str,
        tensors: Sequence[tuple[Source, list[str]]],
        target: Layout,
        weights: Callable[[Network], list[Array]],
        bias: Callable[[Network], Array],
        log_scale: float,
        rescale: int = 1,
    ) -> list[str]:
        structure = build_spread([source for source, _ in tensors], target, self.grid)
        return self.builder.structured(
            label,
            [names for _, names in tensors],
            structure,
            target.ciphertexts,
            LinearTables(self._weights(structure, weights), self._rows(target, bias), 0),
            log_scale=log_scale,
            rescale=rescale,
        )

    def _weights(self, structure: Structure, get: Callable[[Network], list[Array]]) -> Filler:
        def fill(network: Any, _lane: int) -> Array:
            flat = [w.reshape(w.shape[0], -1) for w in get(network)]
            return fill_rows(structure, flat, self.grid.lanes)

        return fill

    def _square(
        self,
        label: str,
        sources: list[str],
        layout: Layout,
        offset: Callable[[Network], Array],
        rescale: int,
    ) -> list[str]:
        rows = self._rows(layout, offset)
        return self.builder.square_each(label, sources, rows, rescale=rescale)

    def _rows(self, layout: Layout, get: Callable[[Network], Array]) -> Filler:
        """A periodic row per ciphertext from values per (lane, channel)."""
        period = self.grid.period(layout)

        def fill(network: Any, _lane: int) -> Array:
            values = np.asarray(get(network))
            place = layout.positions()[: len(values)]
            rows = np.zeros((layout.ciphertexts, period))
            rows[place // layout.slots, place % layout.slots % period] = values[..., None, None]
            return rows

        return fill
