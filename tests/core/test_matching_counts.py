"""What a search executes is what its plan counts: guards of the hot path on any machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.matching import MatchParameters, MatchPlan, SealedBlock, gallery_parameters
from fhe_core.matching.plan import SWITCH_NTTS, SWITCH_PRODUCTS, TENSOR_PRODUCTS, Counts
from tests.core import tiny
from tests.core.matching_kit import make_sides

Words = NDArray[np.uint64]


class Counting:
    """The extension's functions, which count what their calls do, from the shapes of arguments."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.calls: list[str] = []
        self.switches = self.ntts = self.products = self.key_bytes = self.block_bytes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(_native, name)

    @property
    def counts(self) -> Counts:
        return Counts(self.switches, self.ntts, self.products, self.key_bytes + self.block_bytes)

    def _switch(self, times: int, key: Words) -> None:
        digits, _, rows, _ = key.shape
        self.switches += times
        # The digit: one inverse NTT, one forward for the other row; a division: both polynomials.
        self.ntts += times * (digits * rows + 2 * rows)
        self.products += times * digits * 2 * rows

    def expand_probe(
        self, context: Any, roots: Words, keys: Sequence[Words], moves: Any, powers: Sequence[int]
    ) -> _native.ProbeTiles:
        self.calls.append("expand_probe")
        probe = _native.expand_probe(context, roots, keys, moves, powers)
        nodes = len(roots)
        for key in keys:
            self._switch(nodes, key)
            self.products += 2 * nodes  # by a monomial
            self.key_bytes += key.nbytes
            nodes *= 2
        assert probe.features == nodes
        return probe

    def search(
        self, context: Any, probe: _native.ProbeTiles, blocks: Sequence[_native.BlockMemory]
    ) -> Words:
        self.calls.append("search")
        self.products += 3 * probe.features * len(blocks)
        self.block_bytes += sum(block.bytes for block in blocks)
        return _native.search(context, probe, blocks)

    def switch_to_bits(self, context: Any, products: Words, key: Words, bits: int) -> Any:
        self.calls.append("switch_to_bits")
        self._switch(len(products), key)
        self.ntts += 2 * len(products)  # results are coefficients
        return _native.switch_to_bits(context, products, key, bits)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    made = Counting()
    monkeypatch.setattr("fhe_core.matching.matcher._native", made)
    return made


SHAPES = [(6, 16, 2), (6, 64, 1), (8, 16, 4), (7, 8, 4), (6, 192, 3), (9, 4, 1)]


@pytest.mark.parametrize(("log_n", "features", "roots"), SHAPES)
def test_counts_are_those_of_a_run(
    counting: Counting, log_n: int, features: int, roots: int
) -> None:
    parameters = tiny.gallery(log_n, features, roots)
    plan, sides = MatchPlan(parameters), make_sides(parameters)
    block = sides.matcher.load(sides.sealer.seal_block(np.zeros((0, features))))
    constants = sides.matcher.expand(sides.sealer.seal_probe(np.zeros(features)))
    expanded = counting.counts
    assert expanded.key_switches == plan.expansion.key_switches
    assert expanded.ntts == plan.expansion.ntts
    assert expanded.products == plan.expansion.products
    relinearisation = plan.key_memory_bytes // len(plan.keys())
    assert expanded.bytes_read == plan.expansion.bytes_read - relinearisation
    for blocks in (1, 3):
        counting.clear()
        sides.matcher.search(constants, [block] * blocks, sides.masks(blocks))
        searched, each = counting.counts, plan.search
        assert searched == Counts(
            *(
                blocks * count
                for count in (each.key_switches, each.ntts, each.products, each.bytes_read)
            )
        )
        # Many blocks share one reading of the probe: never a call for each.
        assert counting.calls == ["search", "switch_to_bits"]


def test_a_probe_is_expanded_once_for_all_blocks(counting: Counting) -> None:
    sides = make_sides(tiny.gallery())
    features = sides.parameters.features
    blocks: list[SealedBlock] = [sides.sealer.seal_block(np.zeros((0, features)))] * 5
    sides.answer(sides.sealer.seal_probe(np.zeros(features)), blocks, ["0a" * 32] * 5)
    assert counting.calls == ["expand_probe", "search", "switch_to_bits"]


def test_the_plan_counts_one_digit_and_one_special_prime() -> None:
    """Of every key, at full size: what the constants of a key switch stand for."""
    parameters = gallery_parameters()
    keys = MatchPlan(parameters).keys()
    for key in keys:
        digits, rows, n = key.shape(parameters.parameters)
        assert (digits, rows, n) == (1, 2, parameters.templates)
    assert (SWITCH_NTTS, SWITCH_PRODUCTS, TENSOR_PRODUCTS) == (6, 4, 3)


def test_what_was_promised_of_a_full_block() -> None:
    plan = MatchPlan(gallery_parameters())
    templates = plan.parameters.templates
    assert plan.block_memory_bytes <= 3300 * templates
    assert plan.block_bytes <= 1700 * templates
    assert plan.result_bytes <= 8 * templates
    assert plan.key_bytes <= 4_000_000


def test_levels_and_blocks_grow_as_they_should() -> None:
    """A probe's cost follows the features, not the roots; a block's both."""
    wide: MatchParameters = tiny.gallery(8, 64, 1)
    split: MatchParameters = tiny.gallery(8, 64, 8)
    assert MatchPlan(wide).expansion.key_switches == 64 - 1
    assert MatchPlan(split).expansion.key_switches == 64 - 8
    assert len(MatchPlan(split).keys()) == 1 + math.log2(64 / 8)
    assert MatchPlan(wide).search == MatchPlan(split).search
