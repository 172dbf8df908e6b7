"""The cost model: counts against an instrumented run, and the full-size plan as a guard."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core import _native
from fhe_core.analysis.cost import Machine, StepCost, Work, plain_products, step_costs, totals
from fhe_core.compiler import LEAN, SAFE, compile_network
from fhe_core.compiler.architecture import Architecture, BlockShape
from fhe_core.compiler.policy import RAW
from fhe_core.normalisation import Normalisation
from fhe_core.parameters import presets
from fhe_core.plan import required_keys, step_rotations
from fhe_core.runtime import native
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import pack
from tests.core import tiny

Words = NDArray[np.uint64]


class Counting:
    """A context that counts what its calls do, from the shapes of their arguments."""

    def __init__(self, context: _native.Context) -> None:
        self.context = context
        self.clear()

    def clear(self) -> None:
        self.ntts = self.switches = self.inner_products = self.short = self.products = 0
        self.keys = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.context, name)

    def embed_signed(self, coefficients: NDArray[np.int64], rows: list[int]) -> Words:
        self.ntts += len(rows)
        return self.context.embed_signed(coefficients, rows)

    def add_plain(self, a: Words, coefficients: NDArray[np.int64], rows: list[int]) -> Words:
        self.ntts += a.shape[1]
        return self.context.add_plain(a, coefficients, rows)

    def multiply_plain(self, a: Words, coefficients: NDArray[np.int64], rows: list[int]) -> Words:
        self.ntts += a.shape[1]
        return self.context.multiply_plain(a, coefficients, rows)

    def extend(self, c: Words, *how: Any) -> Words:
        digits = self.context.extend(c, *how)
        own, extended = c.shape[0], digits.shape[0] * digits.shape[1] - c.shape[0]
        self.ntts += own + extended
        return digits

    def divide_and_round(self, x: Words, rows: list[int], wanted: list[int], *how: Any) -> Words:
        self.ntts += x.shape[0] * (len(set(rows) - set(wanted)) + len(wanted))
        return self.context.divide_and_round(x, rows, wanted, *how)

    def switch_key(self, digits: Words, *rest: Any) -> Words:
        self.switches += 1
        self.keys += 16 * digits.size
        return self.context.switch_key(digits, *rest)

    def accumulate(
        self,
        transform: _native.Transform,
        inputs: list[tuple[Words, Words]],
        babies: list[Any],
        own: list[int],
        specials: list[int],
        p_mod_q: list[int],
        digit_limbs: int,
    ) -> list[Words]:
        limbs = len(own)
        rows = limbs + len(specials)
        for _, permutation, _, _ in babies:
            if permutation is not None:
                self.inner_products += 1
        read = {id(key): inputs[number][1].size for number, _, key, _ in babies if key is not None}
        self.keys += 16 * sum(read.values())  # a key serves all inputs at once
        terms, weights = transform.terms, transform.weights
        self.ntts += len(transform.masks) * rows
        alive = [rows if babies[baby][1] is not None else limbs for baby, _ in terms]
        summed = [[(int(term), int(row)) for term, row in o] for o in transform.outputs]
        masked, sums = plain_products([mask for _, mask in terms], alive, summed)
        self.products += 2 * (masked + sums)
        self.short += weights.shape[1] * sums
        rest = (own, specials, p_mod_q, digit_limbs)
        return self.context.accumulate(transform, inputs, babies, *rest)


def test_counts_are_those_of_a_run(world: tiny.World) -> None:
    plan, parameters = world.compiled.plan, world.parameters
    evaluator = Evaluator(parameters, world.keys, 1)
    counting = Counting(evaluator.context)
    evaluator.context = counting  # type: ignore[assignment]
    measured: list[tuple[int, ...]] = []

    def progress(_number: int, _label: str, _seconds: float) -> None:
        c = counting
        measured.append((c.ntts, c.switches, c.inner_products, c.short, c.products, c.keys))
        counting.clear()

    inputs = tiny.encrypt_inputs(world.key, plan, world.compiled.pack_image(world.images[0]))
    native.run(pack(plan, world.tables, parameters), evaluator, inputs, progress)
    costs = step_costs(plan, parameters)
    for cost, got in zip(costs, measured, strict=True):
        work = cost.work
        products = 0 if cost.op == "multiply-plain" else work.plaintext_products
        counted = (
            work.ntts,
            work.key_switches,
            work.inner_products,
            work.short_ntt_values,
            products,
            work.key_bytes,
        )
        assert counted == got, cost.label


def test_masks_multiply_whichever_is_fewer() -> None:
    """Mask 0: six terms, two sums (masked after); mask 1: two terms, two sums (before)."""
    masks = [0] * 6 + [1, 1, -1]
    rows = [9, 9, 9, 9, 9, 7, 9, 7, 9]

    def masked(*sums: list[int]) -> int:
        own = [[(term, term) for term in terms] for terms in sums]  # a weight row for each
        return plain_products(masks, rows, own)[0]

    assert masked([0, 1, 2, 6, 8], [3, 4, 5, 7]) == (9 + 9) + (9 + 7)
    assert masked([0, 6], [5, 7]) == (9 + 7) + (9 + 7)
    assert plain_products([-1], [9], [[(0, 0)]]) == (0, 9)


def test_terms_that_always_go_together_are_added_up_first() -> None:
    """Terms 0 and 2 have one weight row in every sum; term 1 has another in the second sum."""
    masks, rows = [0, 0, 1, 0, 0, 0], [9, 9, 7, 9, 9, 9]
    sums = [[(0, 0), (1, 0), (2, 0)], [(0, 1), (1, 2), (2, 1)]]
    # Mask 0 has five terms and multiplies them, though there are only two sums: one is shared.
    assert plain_products(masks, rows, sums) == (5 * 9 + 7, 2 * (9 + 9))


def test_rows_describe_their_steps(world: tiny.World) -> None:
    plan = world.compiled.plan
    costs = step_costs(plan, world.parameters)
    assert [c.label for c in costs] == list(plan.labels)
    assert [c.op for c in costs] == [step.op for step in plan.steps]
    assert all(0 <= c.level_out <= c.level_in <= 16 for c in costs)
    assert all(5 < c.log_scale < 90 for c in costs)
    for cost, step in zip(costs, plan.steps, strict=True):
        rotations = sum(1 for amount in step_rotations(step) if amount)
        squares = 1 if cost.op in ("square", "multiply") else 0
        assert cost.key_switches + cost.inner_products == rotations + squares
        assert cost.bytes_read >= cost.work.key_bytes
        assert (cost.estimated_seconds > 0) == (cost.op != "drop-level")


def test_totals_are_sums(world: tiny.World) -> None:
    costs = step_costs(world.compiled.plan, world.parameters)
    total = totals(costs)
    assert total.steps == len(costs)
    assert total.work.ntts == sum(c.ntts for c in costs)
    assert total.work.plaintext_products == sum(c.plaintext_products for c in costs)
    assert total.estimated_seconds == pytest.approx(sum(c.estimated_seconds for c in costs))
    assert totals([]).work == Work()


def test_a_faster_machine_takes_less_time(world: tiny.World) -> None:
    def seconds(machine: Machine) -> float:
        costs: list[StepCost] = step_costs(world.compiled.plan, world.parameters, machine)
        return totals(costs).estimated_seconds

    slow = seconds(Machine(threads=1))
    assert seconds(Machine(threads=2)) < slow
    assert seconds(Machine(threads=1, ntt_seconds=1e-3)) > slow
    assert seconds(Machine(threads=1, bytes_per_second=1e6)) > slow
    assert seconds(Machine(threads=10**6)) == pytest.approx(
        sum(c.bytes_read for c in step_costs(world.compiled.plan, world.parameters))
        / Machine().bytes_per_second,
        rel=1e-3,
    )


CRYPTOFACENET4 = Architecture(
    input_size=64,
    patch_size=32,
    patches=4,
    image_channels=3,
    stem_kernel=3,
    stem_outputs=16,
    blocks=(
        BlockShape(16, 16, 16, 3, 1, False),
        BlockShape(16, 32, 32, 3, 2, True),
        BlockShape(32, 32, 32, 3, 1, False),
        BlockShape(32, 64, 64, 3, 2, True),
        BlockShape(64, 64, 64, 3, 1, False),
    ),
    embedding=256,
)


ROOT = Normalisation.from_powers((1.057367e-08, -4.753845e-05, 7.176193e-02), (100.0, 3000.0))


#: Preset and policy by name; key switches, hoisted inner products, NTTs, key bytes and plaintext
#: products of one face; keys and their bytes.
#: A change must be explained where it is made, and in benchmarks/RESULTS.md with its gain.
FULL_SIZE = {
    # The amounts of the head's folds one by one: seven keys less. Products share masks where free
    # slots may hold anything: fewer of them, and of the masks' transforms. The head's diagonals are
    # added up once they are masked: fewer products with ones. The stem reads the image's channels
    # from copies, by rotations of pixels and one of a sum: 8 key switches and 1,178 NTTs less.
    "safe": (SAFE, (165, 502, 19_342, 18_055_430_144, 367_706), (92, 2_697_986_048)),
    # Rescales of 61 and 62 bits: fewer primes at every level. One digit from block 1 on: more rows
    # to sum, but fewer transforms and a quarter less of keys. Inputs in two copies instead of four:
    # half the inner products and six keys less, for twice the giant steps. From block 1's second
    # convolution on in the ring of half the degree, where a transform is of half as many values.
    # No more than 16 giant steps for an output: four copies of inputs of 64 channels. In block 0
    # weights change along the rows of pixels: three fifths of the products, a third of the masks.
    # The stem as above; what it asks of keys is in none of the rows that others lack.
    "lean": (LEAN, (213, 343, 17_128, 9_067_560_960, 248_378), (86, 1_165_492_224)),
    # Nothing behind the embedding: two limbs less at every level. One digit for most keys, so that
    # no step rotates by rows; two thirds of the transforms and of the keys that are read.
    "raw": (RAW, (181, 359, 11_550, 5_616_173_056, 246_098), (107, 895_483_904)),
}


@pytest.mark.parametrize("name", list(FULL_SIZE))
def test_full_size(name: str) -> None:
    """Counts, not times, so that a regression of the hot path fails on any machine."""
    policy, counts, keys = FULL_SIZE[name]
    parameters = presets.load(name)
    normalisation = None if name == "raw" else ROOT
    plan = compile_network(CRYPTOFACENET4, parameters, policy, normalisation).plan
    w = totals(step_costs(plan, parameters)).work
    assert (w.key_switches, w.inner_products, w.ntts, w.key_bytes, w.plaintext_products) == counts
    needed = required_keys([plan], parameters)
    sizes = [8 * math.prod(key.shape(parameters)) for key in needed]
    assert (len(sizes), sum(sizes)) == keys


def test_keys_of_the_default_preset_fit_an_upload() -> None:
    assert FULL_SIZE["lean"][-1][1] <= 2e9
