"""Sums of weighted, masked, rotated slots, beside a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core.runtime import sums
from fhe_core.runtime.sums import Entries, Slots, Terms, weighted_sums

SLOTS = 64


def plain(entries: Entries, weights: Slots, terms: Terms) -> Slots:
    found = np.zeros((len(entries), SLOTS))
    for number, pairs in enumerate(entries):
        for term, row in pairs:
            baby, mask = terms.terms[term]
            source, amount = terms.babies[baby]
            product = np.roll(terms.inputs[source], -amount)
            if mask >= 0:
                product = product * terms.masks[mask]
            found[number] += product * np.tile(weights[row], SLOTS // weights.shape[1])
    return found


def example(period: int) -> tuple[list[list[tuple[int, int]]], Slots, Terms]:
    """Terms out of order, one of them twice in a sum, babies that wrap around, an empty sum."""
    random = np.random.default_rng(period)
    inputs = list(random.normal(size=(2, SLOTS)))
    babies = [(0, 0), (0, 1), (1, -3), (1, 17), (0, SLOTS - 1), (1, SLOTS), (0, 8)]
    masks = {3: random.integers(0, 2, SLOTS).astype(np.float64), 7: random.normal(size=SLOTS)}
    choices = [-1, 3, 7]
    terms = [(int(b), choices[int(m)]) for b, m in random.integers(0, (7, 3), (23, 2))]
    entries = [
        [(int(t), int(w)) for t, w in random.integers(0, (23, 5), (count, 2))]
        for count in (30, 0, 1, 7)
    ]
    entries[3] += entries[3][:2]
    return entries, random.normal(size=(5, period)), Terms(inputs, babies, masks, terms)


@pytest.mark.parametrize("block", [1, 50, 200, 1 << 18])
@pytest.mark.parametrize("period", [1, 4, 16, SLOTS])
def test_sums_are_those_of_a_plain_loop(
    period: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many values are worked on at once: also when the last block is not full."""
    monkeypatch.setattr(sums, "_BLOCK", block)
    entries, weights, terms = example(period)
    found = weighted_sums(entries, weights, terms)
    assert found.shape == (4, SLOTS)
    assert np.allclose(found, plain(entries, weights, terms), rtol=1e-12, atol=1e-12)
    assert not found[1].any()


def test_what_is_not_finite_is_told() -> None:
    """A network that diverges must be seen to."""
    entries, weights, terms = example(4)
    terms.inputs[0][5] = np.inf
    with np.errstate(all="ignore"):
        assert not np.isfinite(weighted_sums(entries, weights, terms)).all()
