"""The cost model: exact operation counts per step of a plan, and an estimated time.

The counts follow runtime/native.py, runtime/evaluator.py and cpp/ring. For a ciphertext with L
limbs, whose tier has K special primes and cuts it into D digits, with R = L + K:

===================  ==========================================================================
decompose            D R limb NTTs: L inverse, the rest forward (own limbs of a digit are known)
key inner product    none; 2 D R limb products; reads 2 D R limbs of the key and D R of the digits
mod-down             2 R limb NTTs, with or without rescaling (one division does both)
rescale alone        2 L limb NTTs, and two for every sprout that the lower level adds
rotation, product    decompose + inner product + mod-down: one *key switch*
rotations of one     one decompose; an inner product and a mod-down each, so each counts as a key
ciphertext           switch
fold                 two amounts at a time: one decompose, three inner products, one mod-down
switch of the ring   in the smaller ring: two decompose, two inner products, one mod-down; 2 L limb
                     NTTs of the larger one, which count as many, and 3 L of the smaller one
linear step          a decompose per input that has a rotated baby step, an *inner product* per
                     rotated baby step (babies of one rotation read its key once), a key switch per
                     giant step (the mod-down comes first, of one polynomial), a mod-down per
                     output
bias, offset         one limb NTT per limb of every output, shorter where values repeat
masks                one limb NTT per row for every mask of a step, of the diagonals too
periodic weights     a short NTT of ``period`` values per product and row, on top of ``ntts``
mask products        of terms before the sum, or of sums, per mask whichever is cheaper; terms that
                     all sums take with the same weights are added up before, and weighted once
===================  ==========================================================================

A limb NTT transforms N residues modulo one prime. Limb products are multiply-accumulates of N
residues: mask and weight products are ``plaintext_products``; those of inner products and basis
conversions are ``key_products``. ``bytes_read`` counts every operand each time a step streams it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

from fhe_core.parameters import Parameters
from fhe_core.plan import Plan, Step, step_level, step_writes, steps
from fhe_core.runtime.packed import MIN_PERIOD_COEFFICIENTS

WORD_BYTES = 8


@dataclass(frozen=True)
class Machine:
    """Times of one core on limbs of 65,536 residues, and the memory that all threads share.

    The defaults were fitted to the processor time of the steps of one face on two cores of an AMD
    EPYC (family 25, model 17: Zen 4, AVX-512 IFMA), by least squares: they reproduce steps of more
    than 50 ms to 7 % but the stem (14 %) and the head's matrix (24 %), and their sum to 1 %. An
    operation's time holds what goes with it: a transform's also the copies and base conversions.
    The bandwidth is the one at which two threads take the time that was measured, to 4 %.

    Attributes:
        ntt_seconds: one limb NTT of data that is not in the cache.
        key_product_seconds: one limb product of a basis conversion or inner product.
        plaintext_product_seconds: one limb product of the fused transform, whose tiles are cached.
        bytes_per_second: streaming keys and masks from memory.
    """

    ntt_seconds: float = 1.95e-4
    key_product_seconds: float = 2.0e-5
    plaintext_product_seconds: float = 5.6e-6
    bytes_per_second: float = 3.8e10
    threads: int = 2

    def seconds(self, work: Work, ring_dimension: int) -> float:
        """Arithmetic spread over the threads, or memory traffic if that takes longer."""
        share = ring_dimension / 65536
        ntt = self.ntt_seconds * share * math.log2(ring_dimension) / 16
        arithmetic = (
            (work.ntts + work.short_ntt_values / ring_dimension) * ntt
            + work.key_products * self.key_product_seconds * share
            + work.plaintext_products * self.plaintext_product_seconds * share
        )
        return max(arithmetic / self.threads, work.bytes_read / self.bytes_per_second)


@dataclass(frozen=True)
class Work:
    """Operations of a step or of a whole plan; see the module's text.

    Attributes:
        key_switches: full ones: decompose, inner product, mod-down.
        inner_products: hoisted baby steps, an inner product only.
        ntts: limb NTTs of length N.
        short_ntt_values: residues that go through the short NTTs of periodic weights.
        plaintext_products, key_products: limb multiply-accumulates.
        key_bytes: evaluation keys streamed.
        bytes_read: keys, digits, masks, weights and ciphertexts streamed.
    """

    key_switches: int = 0
    inner_products: int = 0
    ntts: int = 0
    short_ntt_values: int = 0
    plaintext_products: int = 0
    key_products: int = 0
    key_bytes: int = 0
    bytes_read: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Work)))

    def __mul__(self, times: int) -> Work:
        return Work(*(times * getattr(self, f.name) for f in fields(Work)))


@dataclass(frozen=True)
class StepCost:
    """One row of the plan's table; level_in is where the key switching happens."""

    label: str
    op: str
    level_in: int
    level_out: int
    log_scale: float
    work: Work
    estimated_seconds: float

    @property
    def levels(self) -> str:
        """Such as "27>26", or one number where the level stays."""
        before, after = self.level_in, self.level_out
        return f"{before}" if before == after else f"{before}>{after}"

    @property
    def key_switches(self) -> int:
        return self.work.key_switches

    @property
    def inner_products(self) -> int:
        return self.work.inner_products

    @property
    def ntts(self) -> int:
        return self.work.ntts

    @property
    def plaintext_products(self) -> int:
        return self.work.plaintext_products

    @property
    def bytes_read(self) -> int:
        return self.work.bytes_read


@dataclass(frozen=True)
class Totals:
    """Sums over a plan."""

    steps: int
    work: Work
    estimated_seconds: float


def step_costs(
    plan: Plan, parameters: Parameters, machine: Machine | None = None
) -> list[StepCost]:
    """Counts and estimated time of every step.

    Raises:
        IndexError: the plan is for a longer chain.
    """
    machine = machine or Machine()
    costs = []
    for step, label in zip(plan.steps, plan.labels, strict=True):
        level = step_level(step, plan.values)
        counter = _Counter(plan, parameters, level)
        parts = list(counter.parts(step))
        output = plan.values[step_writes(step)[0]]
        costs.append(
            StepCost(
                label,
                step.op,
                level,
                output.level,
                math.log2(output.scale),
                sum(parts, Work()),
                math.fsum(machine.seconds(part, counter.n) for part in parts),
            )
        )
    return costs


def merged(costs: Sequence[StepCost]) -> StepCost:
    """Consecutive steps as one row: from the first one's level to the last one's."""
    return replace(
        costs[-1],
        level_in=costs[0].level_in,
        work=sum((cost.work for cost in costs), Work()),
        estimated_seconds=sum(cost.estimated_seconds for cost in costs),
    )


def totals(costs: Iterable[StepCost]) -> Totals:
    """Sums of all steps."""
    rows = list(costs)
    work = sum((row.work for row in rows), Work())
    return Totals(len(rows), work, math.fsum(row.estimated_seconds for row in rows))


class _Counter:
    """Counts at one level."""

    def __init__(self, plan: Plan, parameters: Parameters, level: int) -> None:
        self.plan, self.parameters, self.level = plan, parameters, level
        self.limbs = self.limbs_at(level)
        self.n = parameters.levels[level].ring_dimension
        self.limb_bytes = WORD_BYTES * self.n
        tier = parameters.tiers[parameters.levels[level].tier]
        self.digit_sizes = [len(digit) for digit in parameters.digit_moduli(level)]
        self.digits = len(self.digit_sizes)
        self.rows = self.limbs + tier.special_limbs

    def parts(self, step: Step) -> Iterator[Work]:
        """What the step is made of."""
        match step:
            case steps.Rotate():
                yield self.decompose
                yield self.inner_product * len(step.amounts)
                yield self.mod_down() * len(step.amounts) + Work(key_switches=len(step.amounts))
            case steps.FoldSum():
                for pair in step.pairs():
                    yield self.decompose + self.mod_down() + Work(key_switches=len(pair))
                    yield self.inner_product * len(pair)
                if step.rescale:
                    yield self.division(self.limbs, step.rescale)
            case steps.LinearTransform():
                yield from self.linear(step)
                yield self.addition(step.bias, step.outputs[0]) * len(step.outputs)
            case steps.Square():
                yield from self.product(step.rescale, operands=1)
                yield self.addition(step.offset, step.output)
            case steps.Multiply():
                yield from self.product(step.rescale, operands=2)
            case steps.MultiplyPlain():
                yield Work(
                    ntts=self.limbs,
                    plaintext_products=2 * self.limbs,
                    bytes_read=3 * self.limbs * self.limb_bytes,
                )
                if step.rescale:
                    yield self.division(self.limbs, step.rescale)
            case steps.Affine():
                yield self.addition(step.table, step.output)
            case steps.SwitchRing():
                yield self.decompose * 2 + self.inner_product * 2 + Work(key_switches=2)
                yield Work(ntts=7 * self.limbs) + self.mod_down()
            case steps.LiftRing():
                yield Work(ntts=3 * self.limbs)
                yield from self.key_switches(1)
            case steps.DropLevel():
                if not set(self.rows_at(step.level)) <= set(self.rows_at(self.level)):
                    yield self.division(self.limbs, self.level - step.level)

    @property
    def decompose(self) -> Work:
        extended = sum((self.rows - size) * size for size in self.digit_sizes)
        return Work(
            ntts=self.digits * self.rows,
            key_products=extended,
            bytes_read=self.limbs * self.limb_bytes,
        )

    @property
    def inner_product(self) -> Work:
        return self.inner_products(1, 1)

    def inner_products(self, count: int, keys: int) -> Work:
        """So many, with so many different keys; those with the same key follow one another."""
        key = 2 * self.digits * self.rows * self.limb_bytes
        return Work(
            key_products=2 * count * self.digits * self.rows,
            key_bytes=keys * key,
            bytes_read=keys * key + count * self.digits * self.rows * self.limb_bytes,
        )

    def key_switches(self, count: int, rescale: int = 0, down: int = 2) -> Iterator[Work]:
        """``down``: how many polynomials each divides by the special primes."""
        yield Work(key_switches=count) + self.decompose * count
        yield self.inner_product * count
        yield self.mod_down(rescale, down) * count

    def limbs_at(self, level: int) -> int:
        return self.parameters.levels[level].limbs

    def rows_at(self, level: int) -> tuple[int, ...]:
        return self.parameters.levels[level].rows

    def division(self, rows: int, rescale: int, polynomials: int = 2) -> Work:
        """Polynomials divided by all primes but those of the level that ``rescale`` leads to."""
        own, wanted = self.rows_at(self.level), self.rows_at(self.level - rescale)
        dropped = rows - sum(row in own for row in wanted)
        each = Work(
            ntts=dropped + len(wanted),
            key_products=dropped * len(wanted),
            bytes_read=rows * self.limb_bytes,
        )
        return each * polynomials

    def mod_down(self, rescale: int = 0, polynomials: int = 2) -> Work:
        return self.division(self.rows, rescale, polynomials)

    def product(self, rescale: int, operands: int) -> Iterator[Work]:
        yield Work(
            key_products=4 * self.limbs,  # the tensor product
            bytes_read=2 * operands * self.limbs * self.limb_bytes,
        )
        yield from self.key_switches(1, rescale)

    def addition(self, table: str, output: str) -> Work:
        return Work(ntts=self.limbs_at(self.plan.values[output].level)) if table else Work()

    def linear(self, step: steps.LinearTransform) -> Iterator[Work]:
        rotated = {i for i, amount in step.babies if amount}
        yield self.decompose * len(rotated)
        babies = sum(1 for _, amount in step.babies if amount)
        keys = len({amount % self.n for _, amount in step.babies if amount})
        yield self.inner_products(babies, keys) + Work(inner_products=babies)
        identities = len(step.babies) - babies
        yield Work(bytes_read=2 * (identities + babies) * self.limbs * self.limb_bytes)
        yield from self.plain(step)
        giants = sum(1 for _, amount in step.giants if amount)
        yield from self.key_switches(giants, down=1)  # the accumulator's, before the switch
        yield self.mod_down(step.rescale) * len(step.outputs)

    def plain(self, step: steps.LinearTransform) -> Iterator[Work]:
        """Masks and weights. P times an identity baby step vanishes modulo the special primes."""
        term_rows = [self.rows if step.babies[b][1] else self.limbs for b, _ in step.terms]
        if step.period == self.n:  # weights without a period are masks, times the constant one
            used = [[term_rows[term] for term, _ in entries] for entries in step.entries]
            masks, masked = sum(map(len, used)), sum(map(sum, used))
            sums, period = sum(max(rows, default=0) for rows in used), MIN_PERIOD_COEFFICIENTS
        else:
            masks = len({mask for _, mask in step.terms if mask >= 0})
            masked, sums = plain_products([mask for _, mask in step.terms], term_rows, step.entries)
            period = max(step.period, MIN_PERIOD_COEFFICIENTS)
        values = sums * period
        yield Work(short_ntt_values=values, bytes_read=values * WORD_BYTES)
        yield Work(ntts=masks * self.rows, bytes_read=masks * self.rows * self.limb_bytes)
        yield Work(plaintext_products=2 * (masked + sums), bytes_read=masked * self.limb_bytes)


def plain_products(
    masks: Sequence[int],
    term_rows: Sequence[int],
    outputs: Sequence[Sequence[tuple[int, int]]],
) -> tuple[int, int]:
    """Limb products with masks and with weights, of one polynomial, as cpp/ring/sums.cpp arranges
    them.

    masks: the mask of each term, or -1; term_rows: limbs of each term; outputs: (term, weight row)
    pairs of each sum.
    """
    taken: dict[int, list[tuple[int, int]]] = {}
    for number, entries in enumerate(outputs):
        for term, weight in entries:
            taken.setdefault(term, []).append((number, weight))
    alike: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for term, pairs in taken.items():
        if masks[term] >= 0:
            alike.setdefault(tuple(pairs), []).append(term)
    groups = [terms for terms in alike.values() if len(terms) > 1]
    early = {masks[term] for terms in groups for term in terms}
    spared = {term for terms in groups for term in terms}
    for terms in groups:  # added up first: the longest one stands for all
        spared.remove(max(terms, key=lambda term: term_rows[term]))
    weighted = sum(
        term_rows[term] for entries in outputs for term, _ in entries if term not in spared
    )
    masked = 0
    for mask in {mask for mask in masks if mask >= 0}:
        own = [term for term, m in enumerate(masks) if m == mask]
        sums = [
            max((term_rows[t] for t, _ in entries if masks[t] == mask), default=0)
            for entries in outputs
        ]
        after = mask not in early and 8 * sum(1 for rows in sums if rows) < 5 * len(own)
        masked += sum(sums) if after else sum(term_rows[term] for term in own)
    return masked, weighted
