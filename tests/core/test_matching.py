"""Sealing, searching and opening, on a small ring and once at full size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.matching import (
    CleartextMatcher,
    Matcher,
    MatchParameters,
    Probe,
    Scores,
    SealedBlock,
)
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from tests.core import tiny

Float = NDArray[np.float64]
#: Ten deviations of the small ring's noise.
TOLERANCE = 5e-4


@dataclass(frozen=True)
class Sides:
    """Both sides of one gallery."""

    parameters: MatchParameters
    sealer: Sealer
    keys: EvaluationKeys
    matcher: Matcher

    def masks(self, count: int) -> list[NDArray[np.bool_]]:
        return [np.ones(self.parameters.templates, np.bool_) for _ in range(count)]

    def answer(self, probe: Probe, blocks: list[SealedBlock], names: list[str]) -> Scores:
        live = self.masks(len(blocks))
        loaded = [self.matcher.load(block) for block in blocks]
        return self.matcher.answer(
            self.matcher.expand(probe), list(zip(names, loaded, live, strict=True))
        )


def make_sides(parameters: MatchParameters) -> Sides:
    key = SecretKey.generate(parameters.parameters)
    keys = tiny.gallery_keys(key, parameters)
    return Sides(parameters, Sealer(key, parameters), keys, Matcher(parameters, keys, 1))


@pytest.fixture(scope="module")
def sides() -> Sides:
    return make_sides(tiny.gallery())


@pytest.mark.parametrize(
    ("log_n", "features", "roots"),
    [(6, 16, 2), (6, 64, 1), (5, 64, 2), (8, 16, 4), (7, 8, 4), (6, 192, 3), (9, 4, 1)],
)
def test_scores_are_inner_products(log_n: int, features: int, roots: int) -> None:
    """Also where a root fills the whole ring, and where it takes two numbers only."""
    sides = make_sides(tiny.gallery(log_n, features, roots))
    n = sides.parameters.templates
    first, second = tiny.unit_vectors(n, features, 1), tiny.unit_vectors(n - 3, features, 2)
    vector = tiny.unit_vectors(1, features, 3)[0]
    probe = sides.sealer.seal_probe(vector)
    blocks = [sides.sealer.seal_block(first), sides.sealer.seal_block(second)]
    names = ["0a" * 32, "0b" * 32]
    scores = sides.answer(probe, blocks, names)
    found = sides.sealer.open_scores(scores, probe, names, sides.masks(2))
    assert found.shape == (2, n)
    assert np.max(np.abs(found[0] - first @ vector)) < TOLERANCE
    assert np.max(np.abs(found[1, : n - 3] - second @ vector)) < TOLERANCE
    assert np.max(np.abs(found[1, n - 3 :])) < TOLERANCE
    clear = CleartextMatcher(sides.parameters)
    expected = clear.search(
        clear.expand(vector), [clear.load(first), clear.load(second)], sides.masks(2)
    )
    assert np.allclose(expected[0], first @ vector, atol=1e-12)
    assert np.allclose(expected[1, : n - 3], second @ vector, atol=1e-12)
