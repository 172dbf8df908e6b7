"""Bookkeeping while a plan is being written: names, levels, exact scales, masks, tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler.convolution import (
    Source,
    Structure,
    build_structure,
    by_rows,
    channel_stride,
)
from fhe_core.compiler.layouts import Layout
from fhe_core.compiler.policy import Policy
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan, PlanError, Step, Value, steps

#: Of an output of a convolution: more are dearer than copies of its inputs (measured).
_MOST_GIANTS = 16
#: Fills a table [rows, period] of slot values from a network and its first lane.
Filler = Callable[[Any, int], NDArray[np.float64]]


@dataclass(frozen=True)
class Sums:
    """Which products a linear step sums; see the fields of `steps.LinearTransform` so called."""

    babies: Sequence[tuple[int, int]]
    terms: Sequence[tuple[int, int]]
    giants: Sequence[tuple[int, int]]
    entries: Sequence[Sequence[tuple[int, int]]]
    period: int


@dataclass(frozen=True)
class LinearTables:
    """What fills the tables of a linear step, from a network and its first lane.

    bias: fills one row for all outputs or one for each; None: nothing is added.
    """

    weights: Filler
    bias: Filler | None
    lane: int


class PlanBuilder:
    """Appends steps; every method returns the names of the ciphertexts it made."""

    def __init__(self, parameters: Parameters, policy: Policy) -> None:
        self.parameters = parameters
        self.policy = policy
        self.values: dict[str, Value] = {}
        self.steps: list[Step] = []
        self.labels: list[str] = []
        self.fillers: dict[str, tuple[Filler, int]] = {}
        self._masks: dict[tuple[tuple[int, int], ...], int] = {}

    def input(self, name: str, level: int, scale: float) -> str:
        return self._define(name, level, scale)

    def rescale_factor(self, level: int, count: int) -> float:
        """What rescaling by ``count`` levels from ``level`` divides by."""
        if count and not self.parameters.same_chain(level, level - count):
            raise PlanError(f"the modulus chain is too short: no limb left at '{self.label()}'")
        return self.parameters.rescale_factor(level, level - count)

    def scale_before_sum(self, level: int, scale: Callable[[int], float]) -> float:
        """Of what the head's matrix gives from ``level``: rescaled after it is summed (the sum, not
        its many parts), it gets the scale that ``scale`` says for its level."""
        rescales = self.policy.rescales
        after = level - rescales.linear
        return scale(after - rescales.embedding) * self.rescale_factor(after, rescales.embedding)

    def label(self) -> str:
        return self.labels[-1] if self.labels else "start"

    def mask(self, pattern: NDArray[np.bool_]) -> int:
        """Index of a mask given as a boolean vector [slots]."""
        edges = np.flatnonzero(np.diff(np.r_[False, pattern, False]))
        runs = tuple((int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True))
        return self._masks.setdefault(runs, len(self._masks))

    def square(
        self,
        label: str,
        sources: Sequence[str],
        filler: Filler,
        lane: int,
        *,
        rescale: int = 1,
    ) -> list[str]:
        """Squares, plus a table row for all of them (one offset serves every ciphertext)."""
        table = self._table(f"{label}.offset", filler, lane)
        return [
            self.square_one(label, source, f"{label}.{i}", table, rescale=rescale)
            for i, source in enumerate(sources)
        ]

    def square_one(
        self, label: str, source: str, output: str, table: str, *, rescale: int = 1
    ) -> str:
        value = self.values[source]
        scale = value.scale**2 / self.rescale_factor(value.level, rescale)
        self._step(label, steps.Square(source, output, rescale, table))
        return self._define(output, value.level - rescale, scale)

    def square_each(
        self, label: str, sources: Sequence[str], filler: Filler, *, rescale: int = 1
    ) -> list[str]:
        """As `square`, with a row of the table for every ciphertext."""

        def row(number: int) -> Filler:
            return lambda network, lane: filler(network, lane)[number : number + 1]

        return [
            self.square_one(
                label,
                source,
                f"{label}.{i}",
                self._table(f"{label}.{i}.offset", row(i), 0),
                rescale=rescale,
            )
            for i, source in enumerate(sources)
        ]

    def multiply(self, label: str, left: str, right: str, output: str, rescale: int) -> str:
        level = min(self.values[left].level, self.values[right].level)
        left, right = self._at(label, left, level), self._at(label, right, level)
        a, b = self.values[left], self.values[right]
        scale = a.scale * b.scale / self.rescale_factor(level, rescale)
        self._step(label, steps.Multiply(left, right, output, level, rescale))
        return self._define(output, level - rescale, scale)

    def affine(self, label: str, source: str, output: str, factor: float, filler: Filler) -> str:
        value = self.values[source]
        self._step(
            label, steps.Affine(source, output, factor, self._table(f"{label}.offset", filler, 0))
        )
        return self._define(output, value.level, value.scale / factor)

    def bottom(self, level: int) -> int:
        """The lowest level of the chain that it belongs to."""
        while self.parameters.same_chain(level, level - 1):
            level -= 1
        return level

    def switch_ring(self, label: str, source: str, output: str, level: int) -> str:
        value = self.values[source]
        self._step(label, steps.SwitchRing(source, output))
        return self._define(output, level, value.scale / 2)

    def lift_ring(self, label: str, source: str, output: str, level: int) -> str:
        self._step(label, steps.LiftRing(source, output))
        return self._define(output, level, self.values[source].scale)

    def drop_level(self, label: str, source: str, output: str, level: int) -> str:
        value = self.values[source]
        level = min(level, value.level)
        self._step(label, steps.DropLevel(source, output, level))
        factor = self.parameters.drop_factor(value.level, level)
        return self._define(output, level, value.scale * factor)

    def _at(self, label: str, name: str, level: int) -> str:
        """A ciphertext of which a step at ``level`` can read the first limbs: itself, or one that
        was dropped there because the level has sprouts of its own."""
        rows, wanted = (self.parameters.levels[x].rows for x in (self.values[name].level, level))
        if rows[: len(wanted)] == wanted:
            return name
        dropped = f"{name} at level {level}"
        if dropped not in self.values:
            self.drop_level(f"{label} drop", name, dropped, level)
        return dropped

    def fold(
        self, label: str, source: str, output: str, amounts: Sequence[int], *, rescale: int = 0
    ) -> str:
        value = self.values[source]
        scale = value.scale / self.rescale_factor(value.level, rescale)
        self._step(label, steps.FoldSum(source, output, tuple(amounts), rescale))
        return self._define(output, value.level - rescale, scale)

    def multiply_mask(
        self,
        label: str,
        source: str,
        output: str,
        pattern: NDArray[np.bool_],
        *,
        rescale: int = 1,
        log_mask_scale: float | None = None,
    ) -> str:
        """Mask; where that rescales, the scale stays exactly what it was, unless the mask's is
        given."""
        value = self.values[source]
        factor = self.rescale_factor(value.level, rescale)
        mask_scale = factor if rescale else 2.0**self.policy.log_pool_mask_scale
        if log_mask_scale is not None:
            mask_scale = 2.0**log_mask_scale
        self._step(
            label, steps.MultiplyPlain(source, output, self.mask(pattern), mask_scale, rescale)
        )
        return self._define(output, value.level - rescale, value.scale * mask_scale / factor)

    def rotate(self, label: str, source: str, level: int, amounts: Sequence[int]) -> list[str]:
        """Copies of a ciphertext, dropped to ``level`` and rotated; amount 0 is the source."""
        moving = [a for a in amounts if a]
        source = self._at(label, source, level)
        names = {a: f"{label}.{source}.r{a}" for a in moving}
        if moving:
            self._step(
                label, steps.Rotate(source, tuple(names[a] for a in moving), tuple(moving), level)
            )
            for a in moving:
                self._define(names[a], level, self.values[source].scale)
        return [names.get(a, source) for a in amounts]

    def _copies(
        self, label: str, source: str, level: int, amounts: Sequence[int], pitch: int
    ) -> list[str]:
        """Copies of a ciphertext, rotated by channels and then by rows, if these have a pitch."""
        if not pitch:
            return self.rotate(label, source, level, amounts)
        rows_of: dict[int, list[int]] = {}
        for amount in amounts:
            rows = round(amount / pitch) * pitch
            rows_of.setdefault(amount - rows, []).append(rows)
        shifted = self.rotate(label, source, level, list(rows_of))
        names: dict[int, str] = {}
        for (channels, wanted), copy in zip(rows_of.items(), shifted, strict=True):
            copies = self.rotate(f"{label} rows", copy, level, wanted)
            names |= {channels + row: name for row, name in zip(wanted, copies, strict=True)}
        return [names[amount] for amount in amounts]

    def convolution(
        self,
        label: str,
        tensors: Sequence[tuple[Source, Sequence[str]]],
        target: Layout,
        tables: Callable[[Structure], LinearTables],
        *,
        log_scale: float,
        rescale: int = 1,
        clean: bool = False,
        log_mask_scale: float | None = None,
    ) -> list[str]:
        """A linear step from tensors (with their ciphertexts) to a layout.

        ``tables(structure)`` says what fills its tables. clean: free slots of the layout get zeros;
        otherwise they may get anything of the size of the outputs. log_mask_scale: as for `linear`.
        """
        level = min(self.values[name].level for _, names in tensors for name in names)
        moves = any(source.kernel > 1 for source, _ in tensors)
        few = target.shape[1] <= self.policy.column_channels
        structure = build_structure(
            [source for source, _ in tensors],
            target,
            self.pre_steps([source.layout for source, _ in tensors], target),
            clean=clean,
            by_columns=moves and few,
        )
        digits = self.policy.row_digits
        if digits is not None and self.parameters.digits(level) >= digits:
            structure = by_rows(structure, tensors[0][0].layout)
        return self.structured(
            label,
            [names for _, names in tensors],
            structure,
            target.ciphertexts,
            tables(structure),
            log_scale=log_scale,
            rescale=rescale,
            log_mask_scale=log_mask_scale,
        )

    def structured(
        self,
        label: str,
        tensors: Sequence[Sequence[str]],
        structure: Structure,
        outputs: int,
        tables: LinearTables,
        *,
        log_scale: float,
        rescale: int = 1,
        log_mask_scale: float | None = None,
    ) -> list[str]:
        """A linear step of that structure, from the ciphertexts of every source."""
        level = min(self.values[name].level for names in tensors for name in names)
        inputs: list[str] = []
        input_of: dict[tuple[int, int, int], int] = {}
        for (number, ciphertext), amounts in sorted(structure.pre_rotations.items()):
            name = self._at(label, tensors[number][ciphertext], level)
            copies = self._copies(f"{label} pre-rotation", name, level, amounts, structure.pitch)
            for amount, copy in zip(amounts, copies, strict=True):
                if copy not in inputs:
                    inputs.append(copy)
                input_of[number, ciphertext, amount] = inputs.index(copy)
        slots = self.parameters.slots_at(level)
        masks = [self.mask(np.repeat(m, slots // m.size)) for m in structure.masks]
        return self.linear(
            label,
            inputs,
            [f"{label}.{i}" for i in range(outputs)],
            level,
            Sums(
                babies=[(input_of[n, c, pre], baby) for n, c, pre, baby in structure.babies],
                terms=[(b, masks[m] if m >= 0 else -1) for b, m in structure.terms],
                giants=structure.giants,
                entries=structure.entries,
                period=structure.period,
            ),
            tables,
            scale=2.0**log_scale,
            rescale=rescale,
            log_mask_scale=log_mask_scale,
        )

    def linear(
        self,
        label: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        level: int,
        sums: Sums,
        tables: LinearTables,
        *,
        scale: float,
        rescale: int = 1,
        log_mask_scale: float | None = None,
    ) -> list[str]:
        """A linear step; weight scales are solved so that the output scale is exact.

        log_mask_scale: default: the policy's for convolutions.
        """
        inputs = [self._at(label, name, level) for name in inputs]
        mask_scale = 1.0
        if any(m >= 0 for _, m in sums.terms):
            mask_scale = 2.0 ** (log_mask_scale or self._log_mask_scale(level))
        total = scale * self.rescale_factor(level, rescale)
        weight_scales = tuple(total / self.values[name].scale / mask_scale for name in inputs)
        self._step(
            label,
            steps.LinearTransform(
                inputs=tuple(inputs),
                outputs=tuple(outputs),
                level=level,
                weight_scales=weight_scales,
                babies=tuple(sums.babies),
                terms=tuple(sums.terms),
                giants=tuple(sums.giants),
                entries=tuple(tuple(e) for e in sums.entries),
                weights=self._table(f"{label}.weights", tables.weights, tables.lane),
                period=sums.period,
                mask_scale=mask_scale,
                bias=self._table(f"{label}.bias", tables.bias, tables.lane),
                rescale=rescale,
            ),
        )
        return [self._define(name, level - rescale, scale) for name in outputs]

    def _log_mask_scale(self, level: int) -> float:
        switch = self.policy.switch
        half = switch is not None and self.parameters.in_half(level)
        return switch.log_mask_scale if switch and half else self.policy.log_mask_scale

    def finish(
        self, name: str, inputs: Sequence[str], outputs: Sequence[str], metadata: dict[str, Any]
    ) -> Plan:
        return Plan(
            name=name,
            parameters_digest=self.parameters.digest,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            values=self.values,
            masks=tuple(self._masks),
            steps=tuple(self.steps),
            labels=tuple(self.labels),
            metadata=metadata,
        )

    def pre_steps(self, sources: Sequence[Layout], target: Layout) -> list[int]:
        """Pre-rotations for groups of C channels: about sqrt(C), at most the policy's, unless an
        output would then take more than 16 giant steps."""
        lanes = channel_stride(target)
        channels = [max(1, min(source.group, target.group) // lanes) for source in sources]
        most = max(self.policy.pre_rotations, max(channels) // _MOST_GIANTS)
        return [min(1 << (count.bit_length() // 2), count, most) for count in channels]

    def _table(self, name: str, filler: Filler | None, lane: int) -> str:
        if filler is None:
            return ""
        self.fillers[name] = (filler, lane)
        return name

    def _define(self, name: str, level: int, scale: float) -> str:
        if name in self.values:
            raise PlanError(f"ciphertext '{name}' is defined twice")
        self.values[name] = Value(name, level, scale)
        return name

    def _step(self, label: str, step: Step) -> None:
        self.labels.append(label)
        self.steps.append(step)
