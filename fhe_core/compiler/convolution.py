"""From a convolution and two layouts to rotations, masks and periodic weights, by enumeration.

Every product weight * input -> output of the convolution is a pair of slots. Their distance is
split into a pre-rotation and a giant step along the channels and a baby step along the pixels;
products that share the three, and whose weights sit on the same set of pixels, become one periodic
weight vector behind one mask. Nothing is typed in by hand, so any layout and any kernel come out
right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler.layouts import Layout
from fhe_core.compiler.masking import Masks, Pattern, Spread, distinct

Int = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Source:
    """One input tensor of a linear step.

    Attributes:
        layout: where it lives.
        kernel, stride, padding: the convolution that reads it.
        diagonal: a product per channel instead of a full channel matrix (kernel 1).
        places: which channel of the layout each output reads for each channel of the tensor,
            [outputs, channels], where the layout holds copies; None: it holds the tensor itself.
    """

    layout: Layout
    kernel: int
    stride: int
    padding: int
    diagonal: bool = False
    places: Int | None = None


@dataclass(frozen=True)
class PixelGroups:
    """Pairs of an output and an input pixel with one tap and one slot distance.

    Arrays have one element per group, but ``patterns`` [groups, pixels]: where the output pixels
    lie, in units of the target's group of slots.
    """

    tap: Int
    source_ct: Int
    target_ct: Int
    distance: Int
    patterns: NDArray[np.bool_]


@dataclass(frozen=True)
class Products:
    """Products of one source for lane 0, by output channel, input channel and pixel group."""

    output: Int  # output ciphertext
    source: Int  # input ciphertext
    giant: Int  # rotation after the sum
    pre: Int  # rotation before the decomposition
    baby: Int  # rotation from the shared decomposition
    channel: Int  # position in the group, in channels, at which the weight is multiplied
    pixels: Int  # which pattern of pixels
    weight: Int  # index into weight.reshape(lanes, -1)


def group_pixels(source: Source, target: Layout) -> PixelGroups:
    """All (tap, output pixel) pairs whose input pixel exists, grouped."""
    height, width = target.shape[2:]
    in_height, in_width = source.layout.shape[2:]
    k = source.kernel
    ky, kx, y, x = (
        axis.ravel() for axis in np.meshgrid(*map(np.arange, (k, k, height, width)), indexing="ij")
    )
    in_y = y * source.stride + ky - source.padding
    in_x = x * source.stride + kx - source.padding
    valid = (in_y >= 0) & (in_y < in_height) & (in_x >= 0) & (in_x < in_width)
    ky, kx, y, x, in_y, in_x = (a[valid] for a in (ky, kx, y, x, in_y, in_x))
    source_ct, source_slot = _position(source.layout, {"y": in_y, "x": in_x})
    target_ct, target_slot = _position(target, {"y": y, "x": x})
    distance = (source_slot - target_slot) % target.slots
    group, rows = unique_rows(ky * k + kx, source_ct, target_ct, distance)
    patterns = np.zeros((len(rows), target.slots // target.group), dtype=bool)
    patterns[group, target_slot // target.group] = True
    columns = np.array(rows, dtype=np.int64).T
    return PixelGroups(columns[0], columns[1], columns[2], columns[3], patterns)


def enumerate_products(
    source: Source, target: Layout, groups: PixelGroups, pre_steps: int
) -> tuple[Products, list[tuple[int, int]]]:
    """Every product of a convolution, with its slot distance split into three rotations.

    Channel distances 0..C-1 (cyclic in a group of C channels) are pre + giant with
    pre < ``pre_steps`` channels. Also returns what ``pixels`` counts: the pixel group, and by how
    many pixels a giant step moves its outputs.
    """
    layout = source.layout
    lanes = channel_stride(layout)
    inputs = layout.shape[1] if source.places is None else source.places.shape[1]
    co = np.arange(target.shape[1])[:, None, None]
    if source.diagonal:
        ci = co
        weight = co + 0 * groups.tap
    else:
        ci = np.arange(inputs)[None, :, None]
        weight = (co * inputs + ci) * source.kernel**2 + groups.tap
    place = ci if source.places is None else source.places[:, :, None]
    source_ct, source_slot = _position(layout, {"channel": place})
    target_ct, target_slot = _position(target, {"channel": co})
    distance = (groups.distance + source_slot - target_slot) % layout.slots
    channel = distance % min(layout.group, target.group) // lanes
    pre = channel % pre_steps * lanes
    giant = channel * lanes - pre
    carry, position = np.divmod(target_slot + giant, target.group)
    number = np.arange(groups.tap.size) + 0 * carry
    shifted, rows = unique_rows(number.ravel(), carry.ravel())
    columns = (
        groups.target_ct + target_ct,
        groups.source_ct + source_ct,
        giant,
        pre,
        (distance - pre - giant) % layout.slots,
        position // lanes,
        shifted.reshape(number.shape),
        weight,
    )
    flat = [column.ravel() for column in np.broadcast_arrays(*columns)]
    return Products(*flat), [(group, moved) for group, moved in rows]


def channel_stride(layout: Layout) -> int:
    """Slots between neighbouring channels: the padded number of lanes."""
    return next(d.stride for d in layout.digits if d.axis == "channel" and not d.across)


def _position(layout: Layout, indices: dict[str, Int]) -> tuple[Int, Int]:
    """(ciphertext, slot) contributed by the given axes."""
    parts = [(layout.axis_positions(axis), index) for axis, index in indices.items()]
    ciphertext = sum((ct[index] for (ct, _), index in parts), np.zeros(1, dtype=np.int64))
    slot = sum((slot[index] for (_, slot), index in parts), np.zeros(1, dtype=np.int64))
    return ciphertext, slot


@dataclass(frozen=True)
class Structure:
    """A linear step without its values.

    Attributes:
        pre_rotations: per (source, ciphertext): pre-rotation amounts in use, 0 included if used.
        pitch: slots between rows, where pre-rotations go by rows as well: a multiple of it and a
            channel distance; 0 where they do not.
        babies: (source, ciphertext, pre-rotation, baby rotation).
        masks: pixel patterns, boolean, of equal parts of all slots.
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
    pitch: int = 0


def by_rows(structure: Structure, layout: Layout) -> Structure:
    """The same sums with inputs that are rotated by whole rows beforehand, so that baby steps move
    pixels within a row only: fewer keys, for more key switches.

    layout: that of the first source, whose rows must not go across ciphertexts.
    """
    pitch = next(d.stride for d in layout.digits if d.axis == "y" and not d.across)
    babies = []
    for source, ciphertext, pre, amount in structure.babies:
        signed = (amount + layout.slots // 2) % layout.slots - layout.slots // 2
        rows = round(signed / pitch) * pitch
        babies.append((source, ciphertext, pre + rows, signed - rows))
    used: dict[tuple[int, int], set[int]] = {}
    for source, ciphertext, pre, _ in babies:
        used.setdefault((source, ciphertext), set()).add(pre)
    return replace(
        structure,
        pre_rotations={key: tuple(sorted(value)) for key, value in used.items()},
        babies=tuple(babies),
        pitch=pitch,
    )


def build_structure(
    sources: list[Source],
    target: Layout,
    pre_steps: list[int],
    *,
    clean: bool = True,
    by_columns: bool = False,
) -> Structure:
    """Group all products of all sources into accumulators, terms and weight rows.

    clean: free slots of the target get zeros; otherwise they may get anything.
    by_columns: weights may change along the rows of pixels, for fewer products and masks.
    """
    lanes = channel_stride(target)
    columns = target.row_pixels if by_columns else 1
    group = target.group // lanes
    used = np.ones(target.slots // target.group, dtype=bool) if clean else target.used_groups()
    products: list[Products] = []
    patterns: list[Pattern] = []
    numbers = []
    for source, steps in zip(sources, pre_steps, strict=True):
        groups = group_pixels(source, target)
        found, moved = enumerate_products(source, target, groups, steps)
        products.append(found)
        numbers.append(found.pixels + len(patterns))
        for number, carry in moved:
            on = groups.patterns[number]
            patterns.append(Pattern(np.roll(on, carry), np.roll(used & ~on, carry)))
    which = np.concatenate([np.full(p.weight.size, i) for i, p in enumerate(products)])

    def column(name: str) -> Int:
        return np.concatenate([getattr(p, name) for p in products])

    accumulator, giants = unique_rows(column("output"), column("giant"))
    baby, babies = unique_rows(which, column("source"), column("pre"), column("baby"))
    pattern, shapes = distinct(np.concatenate(numbers), patterns)
    masks = Masks(columns)
    pair, pairs = unique_rows(baby, pattern)
    counts = np.bincount(pair)
    uses = masks.assign([(b, p, int(n)) for (b, p), n in zip(pairs, counts, strict=True)], shapes)
    spread = Spread(pair, {key: number for number, key in enumerate(pairs)}, uses)
    term, terms = unique_rows(baby[spread.product], spread.mask)
    row, rows = unique_rows(accumulator[spread.product], term)
    row_index = np.full((len(rows), columns * group), -1, dtype=np.int64)
    place = spread.column * group + column("channel")[spread.product]
    row_index[row, place] = column("weight")[spread.product]
    entries: list[list[tuple[int, int]]] = [[] for _ in giants]
    for row_number, (acc, term_number) in enumerate(rows):
        entries[acc].append((term_number, row_number))
    pre_rotations: dict[tuple[int, int], set[int]] = {}
    for number, ciphertext, pre, _ in babies:
        pre_rotations.setdefault((number, ciphertext), set()).add(pre)
    return Structure(
        pre_rotations={key: tuple(sorted(value)) for key, value in pre_rotations.items()},
        babies=tuple(babies),  # type: ignore[arg-type]
        masks=tuple(masks.patterns),
        terms=tuple(terms),  # type: ignore[arg-type]
        giants=tuple(giants),  # type: ignore[arg-type]
        entries=tuple(tuple(e) for e in entries),
        row_sources=tuple(babies[terms[t][0]][0] for _, t in rows),
        row_index=row_index,
        period=columns * target.group,
    )


def unique_rows(*columns: Int) -> tuple[Int, list[tuple[int, ...]]]:
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
