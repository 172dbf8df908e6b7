"""Empty and deleted positions: what stands there tells nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core.matching import Probe, Scores, masks_digest
from tests.core import tiny
from tests.core.matching_kit import Sides, make_sides

Float = NDArray[np.float64]
#: Ten deviations of the small ring's noise.
TOLERANCE = 5e-4


@pytest.fixture(scope="module")
def sides() -> Sides:
    return make_sides(tiny.gallery())


def looking(sides: Sides, answer: Scores, probe: Probe) -> Float:
    """What stands at all positions, for a client that would look where nobody lives."""
    every = sides.masks(len(answer.blocks))
    answer = replace(answer, masks=masks_digest(every))
    return sides.sealer.open_scores(answer, probe, answer.blocks, every)


def test_dead_positions_are_not_numbers(sides: Sides) -> None:
    n, features = sides.parameters.templates, sides.parameters.features
    vector = tiny.unit_vectors(1, features)[0]
    probe = sides.sealer.seal_probe(vector)
    block = sides.matcher.load(sides.sealer.seal_block(np.tile(vector, (n, 1))))
    live = np.arange(n) % 3 != 0
    answer = sides.matcher.answer(sides.matcher.expand(probe), [("0a" * 32, block, live)])
    (found,) = sides.sealer.open_scores(answer, probe, ["0a" * 32], [live])
    assert np.array_equal(np.isnan(found), ~live)
    assert np.max(np.abs(found[live] - 1)) < TOLERANCE
    (raw,) = looking(sides, answer, probe)
    assert np.sum(np.abs(raw[~live] - 1) < 0.01) < 8  # of 22; each by chance once in 120


def test_dead_positions_are_uniform(sides: Sides) -> None:
    """Opened by a client that would look, whatever the template was: chi-squared, 63 degrees."""
    p = sides.parameters
    n, features = p.templates, p.features
    vector = tiny.unit_vectors(1, features)[0]
    probe = sides.sealer.seal_probe(vector)
    constants = sides.matcher.expand(probe)
    dead = np.zeros(n, np.bool_)
    for templates in (np.tile(vector, (n, 1)), np.tile(-vector, (n, 1)), np.zeros((n, features))):
        block = sides.matcher.load(sides.sealer.seal_block(templates))
        blocks, names = [block] * 64, [f"{i:064x}" for i in range(64)]
        answer = sides.matcher.answer(
            constants, [(name, b, dead) for name, b in zip(names, blocks, strict=True)]
        )
        raw = looking(sides, answer, probe).ravel()
        share = raw * p.result_scale / 2**p.result_bits + 0.5  # uniform in [0, 1)
        counts = np.histogram(share, bins=64, range=(0, 1))[0]
        assert counts.sum() == raw.size == 64 * n
        expected = raw.size / 64
        assert 20 < np.sum((counts - expected) ** 2) / expected < 150  # beyond 1e-8 on both sides


def test_the_words_of_dead_positions_are_new_each_time(sides: Sides) -> None:
    p = sides.parameters
    probe = sides.sealer.seal_probe(tiny.unit_vectors(1, p.features)[0])
    block = sides.matcher.load(sides.sealer.seal_block(np.zeros((0, p.features))))
    live = np.arange(p.templates) < p.templates // 2
    constants = sides.matcher.expand(probe)
    a, b = (sides.matcher.search(constants, [block], [live])[0] for _ in range(2))
    same = np.all(a[0] == b[0], axis=-1)
    assert np.all(same[live])  # evaluation is deterministic
    assert np.sum(same[~live]) <= 1
    assert np.array_equal(a[1], b[1])
