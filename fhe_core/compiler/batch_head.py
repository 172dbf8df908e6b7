"""The last matrix of a batch: average pool, linear layer and BatchNorm, image by image.

Pooled features sit at the corners of four quadrants, in many ciphertexts; one linear step gathers
them into the free positions of the quadrants, so that one ciphertext holds all features of all
images. Then block by block y = M x with the matrix in diagonals. A block is not cyclic in its
ciphertext: a diagonal that leaves it at one end comes back by another rotation at the other, with
weights that are zero where the other one applies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler.architecture import POOL, Architecture
from fhe_core.compiler.builder import LinearTables, PlanBuilder, Sums
from fhe_core.compiler.grids import Grid
from fhe_core.compiler.layouts import Layout, power_of_two, powers_of_two
from fhe_core.plan import PlanError


class BatchHead:
    """Slot arithmetic of the head for one layout of the last feature map."""

    def __init__(self, grid: Grid, layout: Layout, embedding: int) -> None:
        self.grid, self.layout = grid, layout
        size = layout.shape[2]
        gaps = grid.gaps(size)
        self.area = (size // POOL) ** 2
        #: Positions of a quadrant, and its pixels in one ciphertext.
        extents = (grid.height // POOL, grid.width // POOL)
        pitches = (grid.lanes * grid.width, grid.lanes)
        self.corners = np.array(
            [
                [qy * extents[0] * pitches[0] + qx * extents[1] * pitches[1] for qx in range(POOL)]
                for qy in range(POOL)
            ]
        )
        self.pool_amounts = [
            pitch * gap * step
            for extent, gap, pitch in zip(extents, gaps, pitches, strict=True)
            for step in powers_of_two(extent // gap)
        ]
        free_y, free_x = (
            _free(extent, gap, self._filled(pitch, extent))
            for extent, gap, pitch in zip(extents, gaps, pitches, strict=True)
        )
        free = [(y * pitches[0], x * pitches[1]) for y in free_y for x in free_x]
        groups = np.unique(layout.axis_positions("channel")[0])
        if len(groups) > len(free):
            raise PlanError(
                f"{layout.shape[1]} channels do not fit {grid.height} x {grid.width} positions"
            )
        #: Slots, down and across, by which the features of each channel group (by its first
        #: ciphertext) are moved.
        self.offsets = dict(zip(groups.tolist(), free, strict=False))
        #: Embedding numbers of a block: the sum of two halves, so that norms are right in one.
        self.period = power_of_two(embedding)
        self.rows = 2 * self.period
        if self.rows > grid.block:
            raise PlanError(
                f"twice the embedding ({embedding}) must fit a block of {grid.block} slots"
            )
        self.folds = [self.rows * step for step in powers_of_two(grid.block // self.rows)]
        # A distance 0 <= t < rows is giant + pre + baby, a rotation by t or by t - block: three
        # kinds of about the same number need the fewest keys.
        self.babies = min(_MOST_BABIES, self.rows // 2)
        self.pre_rotations = [
            self.babies * i - start
            for start in (0, grid.block)
            for i in range(max(1, min(_MOST_BABIES // 2, self.rows // self.babies // 2)))
        ]
        self.giant_step = self.babies * len(self.pre_rotations) // 2

    def _filled(self, pitch: int, extent: int) -> int:
        """Channels in the gaps of an axis whose positions are ``pitch`` slots apart."""
        return int(
            np.prod(
                [
                    d.extent
                    for d in self.layout.digits
                    if d.axis == "channel" and not d.across and pitch <= d.stride < pitch * extent
                ]
            )
        )

    def features(self) -> NDArray[np.int64]:
        """Slot in the block of every feature (lanes, channels, 2, 2)."""
        across, inside = self.layout.axis_positions("channel")
        moved = inside + np.array([sum(self.offsets[int(ct)]) for ct in across])
        lanes = np.arange(self.grid.lanes)[:, None, None, None]
        return np.asarray(lanes + moved[:, None, None] + self.corners)

    def columns(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """(period, block) from (embedding, patches, channels, 2, 2); zero where no feature is."""
        out = np.zeros((self.period, self.grid.block))
        place = self.features()[: matrix.shape[1]]
        out[: len(matrix), place.ravel()] = matrix.reshape(len(matrix), -1)
        return out

    def diagonal(self, columns: NDArray[np.float64], shift: int, giant: int) -> NDArray[np.float64]:
        """Weights [block] of a shift, placed for its giant step."""
        slot = np.arange(self.grid.block)
        inside = (slot + shift >= 0) & (slot + shift < self.grid.block)
        source = np.where(inside, slot + shift, 0)
        values = np.where(inside, columns[slot % self.period, source], 0.0)
        return np.roll(values, giant)


def append_batch_head(
    builder: PlanBuilder,
    architecture: Architecture,
    sources: Sequence[str],
    grid: Grid,
    layout: Layout,
    sign: int,
    scale: Callable[[int], float],
) -> tuple[str, int]:
    """Append the head's steps; returns ``sign`` times the embeddings, and their period.

    scale: of the result, from its level.

    The first two periods of every block hold the image's embedding, so that sums over a period are
    right in the first. Other slots hold sums of two images' numbers.

    Raises:
        PlanError: the features or the embedding do not fit a block.
    """
    head = BatchHead(grid, layout, architecture.embedding)
    pooled = [
        builder.fold("pool", source, f"pool.{i}", head.pool_amounts)
        for i, source in enumerate(sources)
    ]
    gathered = _gather(builder, pooled, head)
    giants = range(0, head.rows, head.giant_step)
    terms = [(i, t) for i in range(len(head.pre_rotations)) for t in range(head.babies)]
    shifts = [head.pre_rotations[i] + t for i, t in terms]

    def weights(network: Any, _lane: int) -> NDArray[np.float64]:
        columns = head.columns(sign * network.head_weight / head.area)
        return np.stack([head.diagonal(columns, g + s, g) for g in giants for s in shifts])

    def bias(network: Any, _lane: int) -> NDArray[np.float64]:
        row = np.zeros(head.period)
        row[: architecture.embedding] = sign * network.head_bias
        return row[None] * head.rows / grid.block

    level, rescales = builder.values[gathered].level, builder.policy.rescales
    name = builder.linear(
        "linear",
        builder.rotate("linear pre-rotation", gathered, level, head.pre_rotations),
        ["linear"],
        level,
        Sums(
            babies=terms,
            terms=[(i, -1) for i in range(len(terms))],
            giants=[(0, giant) for giant in giants],
            entries=[
                [(i, number * len(terms) + i) for i in range(len(terms))]
                for number in range(len(giants))
            ],
            period=grid.block,
        ),
        LinearTables(weights, bias, 0),
        scale=builder.scale_before_sum(level, scale),
        rescale=rescales.linear,
    )[0]
    total = builder.fold(
        "sum of halves", name, "embedding sum", head.folds, rescale=rescales.embedding
    )
    return total, head.period


def _gather(builder: PlanBuilder, pooled: Sequence[str], head: BatchHead) -> str:
    """Features of all ciphertexts side by side; phases of one channel are added up.

    They move across by baby steps, then down by giant steps.
    """
    grid, layout = head.grid, head.layout
    inside = np.unique(layout.axis_positions("channel")[1])
    offsets = [head.offsets[group] for group in _groups(layout)]
    masks: dict[int, int] = {}
    for _, across in offsets:
        pattern = np.zeros(grid.block // grid.lanes, dtype=bool)
        pattern[(head.corners.ravel()[:, None] + inside + across) // grid.lanes] = True
        masks[across] = builder.mask(np.repeat(grid.everywhere(pattern), grid.lanes))
    downs = sorted({down for down, _ in offsets})

    def ones(_network: Any, _lane: int) -> NDArray[np.float64]:
        return np.ones((1, 1))

    value, rescale = builder.values[pooled[0]], builder.policy.rescales.pool_mask
    # Without a rescale the weights, which are ones, have the scale one: they are exact.
    mask_scale = 2.0**builder.policy.log_pool_mask_scale
    return builder.linear(
        "gather",
        pooled,
        ["gather"],
        value.level,
        Sums(
            babies=[(i, -across) for i, (_, across) in enumerate(offsets)],
            terms=[(i, masks[across]) for i, (_, across) in enumerate(offsets)],
            giants=[(0, -down) for down in downs],
            entries=[[(i, 0) for i, own in enumerate(offsets) if own[0] == down] for down in downs],
            period=1,
        ),
        LinearTables(ones, None, 0),
        scale=value.scale if rescale else value.scale * mask_scale,
        rescale=rescale,
        log_mask_scale=builder.policy.log_pool_mask_scale,
    )[0]


def _groups(layout: Layout) -> list[int]:
    """For each ciphertext, the first one that holds the same channels."""
    channel = layout.axis_positions("channel")[0]
    pixel = (
        layout.axis_positions("y")[0][:, None] + layout.axis_positions("x")[0][None, :]
    ).ravel()
    first = {int(c + p): int(c) for c in np.unique(channel) for p in np.unique(pixel)}
    return [first[i] for i in range(layout.ciphertexts)]


def _free(extent: int, gap: int, filled: int) -> list[int]:
    """Positions of a quadrant's axis where the first pixel's channels can go without collision."""
    return [pixel * gap + place for pixel in range(extent // gap) for place in range(gap // filled)]


_MOST_BABIES = 8
