"""From a convolution and two layouts to rotations, masks and periodic weights, by enumeration.

Every product weight * input -> output of the convolution is a pair of slots. Their distance is
split into a pre-rotation and a giant step along the channels and a baby step along the pixels;
products that share the three, and whose weights sit on the same set of pixels, become one periodic
weight vector behind one mask. Nothing is typed in by hand, so any layout and any kernel come out
right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core.layouts import Layout

Int = NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """One input tensor of a linear step.

    Attributes:
        layout: where it lives.
        kernel, stride, padding: the convolution that reads it.
        diagonal: a product per channel instead of a full channel matrix (kernel 1).
    """

    layout: Layout
    kernel: int
    stride: int
    padding: int
    diagonal: bool = False


@dataclass(frozen=True)
class Products:
    """All products of one source for lane 0, one array element each."""

    output: Int  # output ciphertext
    source: Int  # input ciphertext
    giant: Int  # rotation after the sum
    pre: Int  # rotation before the decomposition
    baby: Int  # rotation from the shared decomposition
    place: Int  # slot, within a ciphertext, at which the weight is multiplied
    weight: Int  # index into weight.reshape(lanes, -1)


def enumerate_products(source: Source, target: Layout, pre_steps: int) -> Products:
    """Every product of a convolution, with its slot distance split into three rotations.

    Channel distances 0..C-1 (cyclic in a group of C channels) are pre + giant with
    pre < ``pre_steps`` channels.
    """
    layout = source.layout
    lanes = _channel_stride(layout)
    _, outputs, height, width = target.shape
    _, inputs, in_height, in_width = layout.shape
    k = source.kernel
    grid = np.ix_(
        np.arange(outputs),
        np.arange(1 if source.diagonal else inputs),
        np.arange(k),
        np.arange(k),
        np.arange(height),
        np.arange(width),
    )
    co, ci, ky, kx, y, x = np.broadcast_arrays(*grid)
    if source.diagonal:
        ci = co
        weight = co
    else:
        weight = ((co * inputs + ci) * k + ky) * k + kx
    in_y = y * source.stride + ky - source.padding
    in_x = x * source.stride + kx - source.padding
    valid = (in_y >= 0) & (in_y < in_height) & (in_x >= 0) & (in_x < in_width)
    co, ci, y, x, in_y, in_x, weight = (a[valid] for a in (co, ci, y, x, in_y, in_x, weight))

    source_ct, source_slot = _position(layout, ci, in_y, in_x)
    target_ct, target_slot = _position(target, co, y, x)
    group = min(layout.group, target.group)
    distance = (source_slot - target_slot) % layout.slots
    channel = distance % group // lanes
    pre = channel % pre_steps * lanes
    giant = channel * lanes - pre
    return Products(
        output=target_ct,
        source=source_ct,
        giant=giant,
        pre=pre,
        baby=(distance - pre - giant) % layout.slots,
        place=(target_slot + giant) % layout.slots,
        weight=weight,
    )


def _channel_stride(layout: Layout) -> int:
    return next(d.stride for d in layout.digits if d.axis == "channel" and not d.across)


def _position(layout: Layout, channel: Int, y: Int, x: Int) -> tuple[Int, Int]:
    ciphertext = np.zeros_like(channel)
    slot = np.zeros_like(channel)
    for axis, index in (("channel", channel), ("y", y), ("x", x)):
        ct_of, slot_of = layout.axis_positions(axis)
        ciphertext = ciphertext + ct_of[index]
        slot = slot + slot_of[index]
    return ciphertext, slot


@dataclass(frozen=True)
class Structure:
    """A linear step without its values.

    Attributes:
        pre_rotations: per (source, ciphertext): pre-rotation amounts in use, 0 included if used.
        babies: (source, ciphertext, pre-rotation, baby rotation).
        masks: pixel patterns, boolean [slots / period] each.
        terms: (baby, mask or -1).
        giants: (output ciphertext, giant rotation), one per accumulator.
        entries: per accumulator, (term, weight row) pairs.
        rows: per weight row: source, and index [period / lanes] into the weights (-1: zero).
        period: slots after which weights repeat.
    """

    pre_rotations: dict[tuple[int, int], tuple[int, ...]]
    babies: tuple[tuple[int, int, int, int], ...]
    masks: tuple[NDArray[np.bool_], ...]
    terms: tuple[tuple[int, int], ...]
    giants: tuple[tuple[int, int], ...]
    entries: tuple[tuple[tuple[int, int], ...], ...]
    row_sources: tuple[int, ...]
    row_index: Int
    period: int


def build_structure(sources: list[Source], target: Layout, pre_steps: list[int]) -> Structure:
    """Group all products of all sources into accumulators, terms and weight rows."""
    lanes = _channel_stride(target)
    period = target.group
    products = [enumerate_products(s, target, n) for s, n in zip(sources, pre_steps, strict=True)]
    which = np.concatenate([np.full(p.place.size, i) for i, p in enumerate(products)])

    def column(name: str) -> Int:
        return np.concatenate([getattr(p, name) for p in products])

    accumulator, giants = _unique_rows(column("output"), column("giant"))
    baby, babies = _unique_rows(which, column("source"), column("pre"), column("baby"))
    place, weight = column("place"), column("weight")
    pixel, channel = place // period, place % period // lanes

    # One class per (accumulator, baby, channel position, weight); its mask is its set of pixels.
    columns = (accumulator, baby, channel, weight, pixel)
    extents = tuple(int(c.max()) + 1 for c in columns)
    members = np.sort(np.ravel_multi_index(columns, extents))
    classes, pixel = np.divmod(members, extents[-1])
    first = np.flatnonzero(np.r_[True, classes[1:] != classes[:-1]])
    ends = np.r_[first[1:], pixel.size]
    tokens = np.random.default_rng(0).integers(1, 2**63, target.slots // period, dtype=np.uint64)
    signature = np.add.reduceat(tokens[pixel], first)  # a set hash: sizes are compared below
    accumulator, baby, channel, weight = np.unravel_index(classes[first], extents[:-1])

    masks: list[NDArray[np.bool_]] = []
    mask_of: dict[int, int] = {}
    mask = np.empty(first.size, dtype=np.int64)
    for value in np.unique(signature):
        same = np.flatnonzero(signature == value)
        pattern = np.zeros(target.slots // period, dtype=bool)
        pattern[pixel[first[same[0]] : ends[same[0]]]] = True
        assert np.all(ends[same] - first[same] == pattern.sum())
        if not pattern.all():
            mask_of[int(value)] = len(masks)
            masks.append(pattern)
        mask[same] = mask_of.get(int(value), -1)

    term, terms = _unique_rows(baby, mask)
    row, rows = _unique_rows(accumulator, term)
    row_index = np.full((len(rows), period // lanes), -1, dtype=np.int64)
    row_index[row, channel] = weight
    entries: list[list[tuple[int, int]]] = [[] for _ in giants]
    for number, (acc, term_number) in enumerate(rows):
        entries[acc].append((term_number, number))
    pre_rotations: dict[tuple[int, int], set[int]] = {}
    for source, ciphertext, pre, _ in babies:
        pre_rotations.setdefault((source, ciphertext), set()).add(pre)
    return Structure(
        pre_rotations={key: tuple(sorted(value)) for key, value in pre_rotations.items()},
        babies=tuple(babies),  # type: ignore[arg-type]
        masks=tuple(masks),
        terms=tuple(terms),  # type: ignore[arg-type]
        giants=tuple(giants),  # type: ignore[arg-type]
        entries=tuple(tuple(e) for e in entries),
        row_sources=tuple(babies[terms[t][0]][0] for _, t in rows),
        row_index=row_index,
        period=period,
    )


def _unique_rows(*columns: Int) -> tuple[Int, list[tuple[int, ...]]]:
    """Index of each element's row among the distinct rows, and those rows in sorted order."""
    code = np.zeros(columns[0].size, dtype=np.int64)
    for column in columns:
        rank, count = _ranks(column)
        code = code * count + rank
    code, count = _ranks(code)
    first = np.zeros(count, dtype=np.int64)
    first[code[::-1]] = np.arange(code.size - 1, -1, -1)
    return code, [tuple(int(column[i]) for column in columns) for i in first]


def _ranks(values: Int) -> tuple[Int, int]:
    """Rank of each value among the distinct ones, and their number, by counting (no sort)."""
    lowest = int(values.min())
    present = np.bincount(values - lowest) > 0
    return (np.cumsum(present) - 1)[values - lowest], int(present.sum())


def fill_rows(
    structure: Structure, weights: list[NDArray[np.float64]], lanes: int
) -> NDArray[np.float64]:
    """Slot values [rows, period] of the weight table.

    weights: per source, [lanes in use, number of weights]; ``lanes``: padded number of lanes.
    """
    rows, channels = structure.row_index.shape
    table = np.zeros((rows, channels, lanes))
    sources = np.asarray(structure.row_sources)
    for number, values in enumerate(weights):
        chosen = np.flatnonzero(sources == number)
        index = structure.row_index[chosen]
        picked = np.where(index[None] >= 0, values[:, np.maximum(index, 0)], 0.0)
        table[chosen, :, : values.shape[0]] = np.moveaxis(picked, 0, -1)
    return table.reshape(rows, structure.period)
