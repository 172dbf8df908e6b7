"""From a convolution between two layouts of a batch to rotations, masks and periodic weights.

Channels go across ciphertexts, so that a convolution is one rotation per tap of every input and no
rotation of sums. Products of one rotation share one mask: the positions where any of them is
wanted. Zero padding, and gaps that hold nothing, come out of that. Where channels share a gap, a
rotation may serve some of them only; such terms are added up before they meet their weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler.convolution import (
    Int,
    PixelGroups,
    Source,
    Structure,
    group_pixels,
    unique_rows,
)
from fhe_core.compiler.grids import Grid
from fhe_core.compiler.layouts import Layout, LayoutError


@dataclass(frozen=True)
class _Products:
    """Products of one source, by output channel, input channel and pixel group."""

    output: Int  # output ciphertext
    source: Int  # input ciphertext
    amount: Int  # rotation
    weight: Int  # index into weight.reshape(lanes, -1)
    pattern: Int  # which row of ``patterns``
    patterns: NDArray[np.bool_]  # [patterns, positions of a block]: where the outputs lie


def build_spread(sources: Sequence[Source], target: Layout, grid: Grid) -> Structure:
    """All products of all sources, grouped into terms and weight rows.

    Raises:
        LayoutError: products that share a rotation need different masks.
    """
    period = grid.period(target)
    found = [_enumerate(source, target, grid) for source in sources]
    which = np.concatenate([np.full(p.weight.size, i) for i, p in enumerate(found)])

    def column(name: str) -> Int:
        return np.concatenate([getattr(p, name) for p in found])

    shift, shifts = unique_rows(column("amount"), which)
    wanted = _union(found, shift, len(shifts))
    numbers, masks = _numbered(wanted)
    # Amounts outermost: consecutive baby steps share a key.
    baby, babies = unique_rows(column("amount"), which, column("source"))
    term, terms = unique_rows(baby, numbers[shift])
    residues = period // grid.lanes
    everywhere = np.ones((1, residues), dtype=bool)
    occupied = [*everywhere, *_residues(np.array(masks), residues)] if masks else [*everywhere]
    groups = _merged([babies[b][1:] for b, _ in terms], [occupied[m] for _, m in terms])
    group = np.empty(len(terms), dtype=np.int64)
    for number, members in enumerate(groups):
        group[members] = number
    row, rows = unique_rows(column("output"), group[term])
    index = np.full((len(rows), residues), -1, dtype=np.int64)
    start = 0
    for products in found:
        stop = start + products.weight.size
        cells = _residues(products.patterns, residues)
        _require_same(products, shift[start:stop], wanted, cells)
        for number, cell in enumerate(cells):
            chosen = np.flatnonzero(products.pattern == number)
            index[row[start:stop][chosen, None], np.flatnonzero(cell)] = products.weight[
                chosen, None
            ]
        start = stop
    entries: list[list[tuple[int, int]]] = [[] for _ in range(target.ciphertexts)]
    for number, (output, own) in enumerate(rows):
        entries[output] += [(member, number) for member in groups[own]]
    inputs = sorted({(source, ciphertext) for _, source, ciphertext in babies})
    return Structure(
        pre_rotations=dict.fromkeys(inputs, (0,)),
        babies=tuple((source, ciphertext, 0, amount) for amount, source, ciphertext in babies),
        masks=tuple(grid.everywhere(mask) for mask in masks),
        terms=tuple((b, m - 1) for b, m in terms),
        giants=tuple((output, 0) for output in range(target.ciphertexts)),
        entries=tuple(tuple(e) for e in entries),
        row_sources=tuple(babies[terms[groups[own][0]][0]][1] for _, own in rows),
        row_index=index,
        period=period,
    )


def _enumerate(source: Source, target: Layout, grid: Grid) -> _Products:
    groups: PixelGroups = group_pixels(source, target)
    channels_out, channels_in = target.shape[1], source.layout.shape[1]
    co = np.arange(channels_out)[:, None, None]
    ci = co if source.diagonal else np.arange(channels_in)[None, :, None]
    into = co if source.diagonal else co * channels_in + ci
    weight = into * source.kernel**2 + groups.tap
    source_ct, source_slot = source.layout.axis_positions("channel")
    target_ct, target_slot = target.axis_positions("channel")
    # An output channel moves the positions of a group by its place in the gap.
    place, places = unique_rows(target_slot)
    pattern = np.arange(groups.tap.size) * len(places) + place[co]
    positions = groups.patterns[:, : grid.block // grid.lanes]
    patterns = np.stack([np.roll(p, s // grid.lanes) for p in positions for (s,) in places])
    columns = np.broadcast_arrays(
        groups.target_ct + target_ct[co],
        groups.source_ct + source_ct[ci],
        (groups.distance + source_slot[ci] - target_slot[co]) % grid.slots,
        weight,
        pattern,
    )
    flat = [column.ravel() for column in columns]
    output, source_number, amount, weights, numbers = flat
    return _Products(output, source_number, amount, weights, numbers, patterns)


def _union(found: Sequence[_Products], shift: Int, count: int) -> NDArray[np.bool_]:
    """Per shift, the positions where any of its products is wanted."""
    size = found[0].patterns.shape[1]
    wanted = np.zeros((count, size), dtype=bool)
    start = 0
    for products in found:
        stop = start + products.weight.size
        _, pairs = unique_rows(shift[start:stop], products.pattern)
        for number, pattern in pairs:
            wanted[number] |= products.patterns[pattern]
        start = stop
    return wanted


def _numbered(wanted: NDArray[np.bool_]) -> tuple[Int, list[NDArray[np.bool_]]]:
    """Number of each mask among the distinct ones, from 1; 0: no mask, all positions."""
    masks: list[NDArray[np.bool_]] = []
    known = {np.ones(wanted.shape[1], dtype=bool).tobytes(): 0}
    for mask in wanted:
        if mask.tobytes() not in known:
            masks.append(mask)
            known[mask.tobytes()] = len(masks)
    return np.array([known[mask.tobytes()] for mask in wanted], dtype=np.int64), masks


def _merged(
    inputs: Sequence[tuple[int, ...]], cells: Sequence[NDArray[np.bool_]]
) -> list[list[int]]:
    """Terms of one input whose positions never meet modulo the period, together: their sum takes
    one weight row. First fit.

    inputs, cells: of every term, cells [residues].
    """
    groups: list[list[int]] = []
    own: dict[tuple[int, ...], list[int]] = {}
    taken: list[NDArray[np.bool_]] = []
    for term, (source, cell) in enumerate(zip(inputs, cells, strict=True)):
        known = own.setdefault(source, [])
        found = next((g for g in known if not np.any(taken[g] & cell)), None)
        if found is None:
            known.append(len(groups))
            groups.append([term])
            taken.append(cell)
        else:
            groups[found].append(term)
            taken[found] = taken[found] | cell
    return groups


def _residues(patterns: NDArray[np.bool_], residues: int) -> NDArray[np.bool_]:
    """[patterns, residues]: positions modulo the period that a pattern occupies."""
    return np.asarray(patterns.reshape(len(patterns), -1, residues).any(axis=1))


def _require_same(
    products: _Products, shift: Int, wanted: NDArray[np.bool_], cells: NDArray[np.bool_]
) -> None:
    """A shared mask must keep, of a product's residues, exactly the positions it wants."""
    _, pairs = unique_rows(shift, products.pattern)
    for number, pattern in pairs:
        spread = np.tile(cells[pattern], wanted.shape[1] // cells.shape[1])
        if not np.array_equal(wanted[number] & spread, products.patterns[pattern]):
            raise LayoutError("products that share a rotation need masks of their own")
