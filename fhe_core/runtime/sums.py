"""Weighted sums of rotated and masked slots in the clear, in blocks that stay in the cache.

Weights repeat with a period, so for every position in it the sums are a matrix product: of the
weights there, [accumulators, terms], and the terms, [terms, slots / period].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Slots = NDArray[np.float64]
#: Per accumulator, (term, weight row) pairs.
Entries = Sequence[Sequence[tuple[int, int]] | NDArray[Any]]

#: Values of terms that are worked on at once: 2 MiB.
_BLOCK: Final = 1 << 18


@dataclass(frozen=True, eq=False)
class Terms:
    """Products of rotated inputs and masks, which need not exist all at the same time.

    Attributes:
        inputs: [slots] each.
        babies: (input, amount): it is rotated by so many slots.
        masks: [slots] by number.
        terms: (baby, mask or -1).
    """

    inputs: Sequence[Slots]
    babies: Sequence[tuple[int, int]]
    masks: Mapping[int, Slots]
    terms: Sequence[tuple[int, int]]


def weighted_sums(entries: Entries, weights: Slots, terms: Terms) -> Slots:
    """Sums over (term, weight row) pairs, [accumulators, slots]; weights: [rows, period]."""
    slots, period = terms.inputs[0].size, weights.shape[1]
    order = sorted(range(len(terms.terms)), key=lambda term: terms.terms[term][::-1])
    runs = list(_runs([terms.terms[term] for term in order]))
    matrices = _matrices(entries, weights, np.argsort(order))
    babies = _rotated(terms, period)
    masks = {mask: _by_position(row, period) for mask, row in terms.masks.items()}
    columns = slots // period
    width = min(columns, max(1, _BLOCK // len(order)))
    height = min(period, max(1, _BLOCK // (len(order) * width)))
    block, totals = np.empty((height, len(order), width)), np.empty((period, len(entries), columns))
    for low in range(0, period, height):
        for left in range(0, columns, width):
            rows, part = slice(low, low + height), slice(left, left + width)
            sums = totals[rows, :, part]
            filled = block[: len(sums), :, : sums.shape[2]]
            for own, baby, mask in runs:
                source = babies[rows, baby, part]
                if mask < 0:
                    filled[:, own] = source
                else:
                    np.multiply(source, masks[mask][rows, None, part], out=filled[:, own])
            np.matmul(matrices[rows], filled, out=sums)
    return np.asarray(np.moveaxis(totals, 0, 2)).reshape(len(entries), slots)


def _runs(terms: Sequence[tuple[int, int]]) -> Iterator[tuple[slice, slice, int]]:
    """Neighbours in a sorted list that have one mask and babies one after the other: their places,
    their babies, their mask."""
    first = 0
    for end in range(1, len(terms) + 1):
        baby, mask = terms[first]
        if end == len(terms) or terms[end] != (baby + end - first, mask):
            yield slice(first, end), slice(baby, baby + end - first), mask
            first = end


def _matrices(entries: Entries, weights: Slots, places: NDArray[np.intp]) -> Slots:
    """[period, accumulators, terms]; places: of every term."""
    matrices = np.zeros((weights.shape[1], len(entries), len(places)))
    for number, pairs in enumerate(entries):
        chosen = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
        np.add.at(matrices[:, number].T, places[chosen[:, 0]], weights[chosen[:, 1]])
    return matrices


def _rotated(terms: Terms, period: int) -> Slots:
    """[period, babies, slots / period]: what a rotation moves stays in one piece nearly always."""
    columns = terms.inputs[0].size // period
    rows = [_by_position(row, period) for row in terms.inputs]
    twice = [np.concatenate([row, row], axis=1) for row in rows]
    out = np.empty((period, len(terms.babies), columns))
    for baby, (number, amount) in enumerate(terms.babies):
        across, down = divmod(amount % (columns * period), period)
        out[: period - down, baby] = twice[number][down:, across : across + columns]
        out[period - down :, baby] = twice[number][:down, across + 1 : across + 1 + columns]
    return out


def _by_position(row: Slots, period: int) -> Slots:
    """[period, slots / period] of [slots]."""
    return np.ascontiguousarray(row.reshape(-1, period).T)
