"""The last matrix: average pool, linear layer and BatchNorm as one product with few rotations.

After pooling, f lane features sit in the first slots of four quadrants. The embedding gets a window
of F slots: f, or more where few lanes have fewer features than the embedding has numbers. Features
are doubled (so that a window of F slots may start at any of them), copied with growing shifts into
the free rows, multiplied by diagonals that use all copies at once, and summed over copies and
quadrants by a fold that leaves the embedding in every block of F slots.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler.architecture import POOL, Architecture
from fhe_core.compiler.builder import LinearTables, PlanBuilder, Sums
from fhe_core.compiler.layouts import Layout, power_of_two, powers_of_two
from fhe_core.plan import PlanError


class HeadGeometry:
    """Slot arithmetic of the head; see the module's text."""

    def __init__(self, layout: Layout, embedding: int) -> None:
        self.slots, self.inputs = layout.slots, layout.group
        self.features = max(self.inputs, power_of_two(embedding))
        size = layout.shape[2]
        pitch_y, pitch_x = (
            next(d.stride for d in layout.digits if d.axis == axis) for axis in ("y", "x")
        )
        quadrant = size // POOL
        self.pool_amounts = [
            pitch * i for pitch in (pitch_x, pitch_y) for i in powers_of_two(quadrant)
        ]
        self.area = quadrant * quadrant
        self.corners = np.array(
            [[quadrant * (qy * pitch_y + qx * pitch_x) for qx in range(POOL)] for qy in range(POOL)]
        )
        row, width = size * pitch_x, quadrant * pitch_x
        covered = self.inputs  # slots of a window that starts at any of the features
        while covered < self.features + self.inputs:
            covered *= 2
        self.doubling = [-self.inputs * i for i in powers_of_two(covered // self.inputs)]
        room = quadrant * pitch_y // row if width >= covered + self.inputs else 1
        if width < covered:
            raise PlanError(
                f"the embedding ({embedding}) must fit, beside {self.inputs} features, the {width} "
                "slots between the quadrants of the last feature map"
            )
        self.copies = room
        self.copy_pitch = row
        self.diagonals = self.inputs // self.copies
        self.baby_count = 1 << ((self.diagonals.bit_length()) // 2)

    def diagonal(self, matrix: NDArray[np.float64], t: int) -> NDArray[np.float64]:
        """Slots of diagonal t, placed for its giant step. matrix: (features, 2, 2, inputs)."""
        giant = t - t % self.baby_count
        out = np.zeros(self.slots)
        p = np.arange(self.features)
        for copy in range(self.copies):
            feature = (p + t + copy * self.diagonals) % self.inputs
            for qy in range(POOL):
                for qx in range(POOL):
                    start = self.corners[qy, qx] + copy * self.copy_pitch + giant
                    out[start : start + self.features] = matrix[p, qy, qx, feature]
        return out


@dataclass(frozen=True)
class HeadInput:
    """A last feature map: its ciphertext, its networks, its share of the embedding.

    lane, lanes: the first patch network in it, and how many there are; name: for labels.
    weight: its share of a mean; one where nothing else is a view of the same patches.
    """

    source: str
    lane: int
    lanes: int
    name: str
    weight: float


def append_head(
    builder: PlanBuilder,
    architecture: Architecture,
    inputs: Sequence[HeadInput],
    layout: Layout,
    sign: int,
    scale: Callable[[int], float],
) -> tuple[str, int]:
    """Append the head's steps; returns ``sign`` times the embedding, and its period in slots.

    scale: of the result, from its level.
    All inputs, in the same layout, are summed.
    """
    geometry = HeadGeometry(layout, architecture.embedding)
    features = geometry.features
    corner = np.zeros(layout.slots, dtype=bool)
    for start in geometry.corners.ravel():
        corner[start : start + geometry.inputs] = True
    shifts = [
        -(geometry.copy_pitch - geometry.diagonals) * i for i in powers_of_two(geometry.copies)
    ]
    copies, rescales = [], builder.policy.rescales
    for item in inputs:
        name = item.name
        pooled = _fold(builder, f"{name}pool", item.source, geometry.pool_amounts)
        masked = builder.multiply_mask(
            f"{name}pool mask", pooled, f"{name}corners", corner, rescale=rescales.pool_mask
        )
        copies.append(_fold(builder, f"{name}copies", masked, geometry.doubling + shifts))

    def weights(network: Any, _lane: int) -> NDArray[np.float64]:
        rows = []
        for item in inputs:
            lanes = slice(item.lane, item.lane + item.lanes)
            head = sign * item.weight * network.head_weight[:, lanes] / geometry.area
            matrix = np.zeros((features, POOL, POOL, geometry.inputs))
            place = layout.positions()[: item.lanes, :, 0, 0] % geometry.inputs
            matrix[: head.shape[0]][..., place] = head.transpose(0, 3, 4, 1, 2)
            rows += [geometry.diagonal(matrix, t) for t in range(geometry.diagonals)]
        return np.stack(rows)

    def bias(network: Any, _lane: int) -> NDArray[np.float64]:
        row = np.zeros(features)
        row[: architecture.embedding] = sign * network.head_bias
        return row[None] * features / layout.slots

    n1 = geometry.baby_count
    level = builder.values[copies[0]].level
    name = builder.linear(
        "linear",
        copies,
        ["linear"],
        level,
        Sums(
            babies=[(i, t) for i in range(len(copies)) for t in range(n1)],
            terms=[(t, -1) for t in range(len(copies) * n1)],
            giants=[(0, g) for g in range(0, geometry.diagonals, n1)],
            entries=[
                [
                    (i * n1 + t, i * geometry.diagonals + g + t)
                    for i in range(len(copies))
                    for t in range(n1)
                ]
                for g in range(0, geometry.diagonals, n1)
            ],
            period=layout.slots,
        ),
        LinearTables(weights, bias, 0),
        scale=builder.scale_before_sum(level, scale),
        rescale=rescales.linear,
    )[0]
    amounts = [features * i for i in powers_of_two(layout.slots // features)]
    return _fold(builder, "sum of patches", name, amounts, rescales.embedding), features


def _fold(
    builder: PlanBuilder, label: str, source: str, amounts: Sequence[int], rescale: int = 0
) -> str:
    """Amounts one by one: pairs of them would need a key more each, for little time here."""
    for i, amount in enumerate(amounts):
        last = i == len(amounts) - 1
        output = label if last else f"{label} {i + 1}"
        source = builder.fold(label, source, output, [amount], rescale=rescale if last else 0)
    return source
