"""Thresholds as plans of the engine: designs, their parameters, and the steps to a sign."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from benchmarks.threshold.signs import Stage, compose
from fhe_core.compiler import SAFE
from fhe_core.compiler.builder import PlanBuilder
from fhe_core.normalisation import Factor, Normalisation
from fhe_core.parameters import Parameters, Specification, Tier, build
from fhe_core.plan import Plan

#: Of a period that the kernels take.
_CONSTANT = 8
Tables = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Design:
    """A threshold and the chain that it is evaluated in.

    Attributes:
        threshold, band: scores further than ``band`` from the threshold get a sign.
        degrees: of the composition.
        base: sizes of the limbs that the result has, in bits.
        rescales: sizes of the limbs that every rescale takes off, in the order in which they
            happen: the score's first, then those of the stages.
        result_bits: log2 of the scale of the result.
        digit_limbs, special_bits: see ``Tier`` and ``Specification``.
    """

    name: str
    threshold: float
    band: float
    degrees: tuple[int, ...]
    base: tuple[int, ...]
    rescales: tuple[tuple[int, ...], ...]
    result_bits: float
    digit_limbs: int
    special_bits: tuple[int, ...]

    @property
    def reach(self) -> float:
        """The largest distance of a cosine from the threshold, by which distances are divided."""
        return 1 + abs(self.threshold)

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        return compose(self.band / self.reach, self.degrees)

    def parameters(self, log_ring_dimension: int = 15) -> Parameters:
        """The chain, at any ring dimension; below 2^12 they are for tests only and say so."""
        name = f"threshold-{self.name}"
        small = log_ring_dimension < 15
        steps = (self.base, *reversed(self.rescales))
        limbs = tuple(bits for step in steps for bits in step)
        counts = accumulate(len(step) for step in steps)
        return build(
            Specification(
                f"insecure-{name}" if small else name,
                log_ring_dimension,
                limbs,
                self.special_bits,
                (Tier(len(limbs), self.digit_limbs, len(self.special_bits)),),
                levels=tuple((count,) for count in counts),
            )
        )


@dataclass(frozen=True, eq=False)
class Circuit:
    """A plan from scores to ``sign`` times p((score - t) / reach), and its tables."""

    plan: Plan
    tables: Tables
    sign: int

    @property
    def score_scale(self) -> float:
        return self.plan.values[self.plan.inputs[0]].scale


def compile_threshold(design: Design, parameters: Parameters) -> Circuit:
    """From scores, rescaled once since they were a product, to p((score - t) / reach) at level 0.

    The scale of the scores is the one that leads to the design's for the result.
    """

    level = parameters.top - 1 - sum(stage.levels for stage in design.stages)
    log_scale = design.result_bits
    for stage in reversed(design.stages):
        level += stage.levels
        log_scale = _source_scale(parameters, stage, level, log_scale)
    writer, reach = _Writer(PlanBuilder(parameters, SAFE), {}), design.reach
    name = writer.builder.input("score", level, 2.0**log_scale / reach)
    name = writer.line("distance", name, 1 / reach, -design.threshold / reach)
    for number, stage in enumerate(design.stages, 1):
        last = number == len(design.stages)
        name = writer.stage(f"stage {number}", name, stage, "sign" if last else f"stage {number}")
    plan = writer.builder.finish("threshold", ["score"], ["sign"], {})
    sign = math.prod(stage.product.sign for stage in design.stages)
    return Circuit(plan, writer.tables, sign)


def _source_scale(parameters: Parameters, stage: Stage, level: int, wanted: float) -> float:
    """log2 of the scale of x for which p(x) gets that of ``wanted``: its scale is that of x to the
    power of the degree, up to a factor."""

    def result(log_scale: float) -> float:
        writer = _Writer(PlanBuilder(parameters, SAFE), {})
        name = writer.stage("", writer.builder.input("x", level, 2.0**log_scale), stage, "p(x)")
        return math.log2(writer.builder.values[name].scale)

    start = math.log2(parameters.rescale_factor(level, level - 1))
    return start + (wanted - result(start)) / stage.degree


@dataclass(frozen=True, eq=False)
class _Writer:
    builder: PlanBuilder
    tables: Tables

    def line(self, name: str, source: str, factor: float, constant: float) -> str:
        self.tables[f"{name}.offset"] = np.full((1, _CONSTANT), constant)
        return self.builder.affine(name, source, name, factor, _no_network)

    def square(self, name: str, source: str, offset: float) -> str:
        table = f"{name}.offset" if offset else ""
        if table:
            self.tables[table] = np.full((1, _CONSTANT), offset)
        return self.builder.square_one(name, source, name, table)

    def stage(self, label: str, source: str, stage: Stage, output: str) -> str:
        """x q(x²): the factors of q from x², then a tree of products of the least depth."""
        squared = self.square(f"{label}: square", source, 0.0)
        product = stage.product
        leaves = [source] + [
            self.factor(f"{label}: factor {number}", squared, factor, stage.inverse_root)
            for number, factor in enumerate(product.factors, 1)
        ]
        return self.multiplied(label, leaves, output)

    def factor(self, name: str, squared: str, factor: Factor, q: Normalisation) -> str:
        low, high = q.interval
        stretch = 2 / (high - low)
        centre = -(low + high) / (high - low) - factor.centre
        line = self.line(f"{name}: line", squared, factor.gain * stretch, factor.gain * centre)
        return self.square(name, line, factor.offset) if factor.squared else line

    def multiplied(self, label: str, leaves: Sequence[str], output: str) -> str:
        waiting, values = list(leaves), self.builder.values
        for number in range(len(leaves) - 1):
            waiting.sort(key=lambda name: -values[name].level)  # stable
            left, right, *waiting = waiting
            name = f"{label}: product {number}" if waiting else output
            waiting.append(self.builder.multiply(name, left, right, name, 1))
        return waiting[0]


def _no_network(_network: object, _lane: int) -> NDArray[np.float64]:
    raise AssertionError("the tables of a threshold do not depend on a network")
