"""Plaintext tables of a plan as integer polynomials, encoded once for the native backend.

Everything stays in signed coefficients: weights have ``period`` of them, masks N. The kernels form
residues when they need them. Those of masks are kept, as far as `MAX_KEPT_BYTES` go: first of the
masks that most steps use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native, encoding
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan, PlanError, step_level, step_writes, steps
from fhe_core.runtime.cleartext import Tables, mask_slots
from fhe_core.runtime.sums import Slots

Signed = NDArray[np.int64]

#: The kernels take weights of at least this many coefficients.
MIN_PERIOD_COEFFICIENTS = 8
#: ... and masks whose coefficients are below this.
MAX_MASK_COEFFICIENT = 2**50
#: Residues of masks that a plan keeps. They save transforms, a twentieth of the time of a face.
MAX_KEPT_BYTES = 256 << 20


@dataclass(frozen=True, eq=False)
class PackedTransform:
    """A linear step's plaintexts as the kernel wants them.

    Attributes:
        weights: [count, period] coefficients.
        masks: coefficients [N] each.
        terms: (baby, mask or -1).
        entries: per accumulator, (term, weight) pairs [entries, 2].
        kept: those of the masks whose residues are kept.
    """

    weights: Signed
    masks: tuple[Signed, ...]
    terms: tuple[tuple[int, int], ...]
    entries: tuple[NDArray[np.uint32], ...]
    kept: tuple[_native.Kept, ...] = ()

    @cached_property
    def native(self) -> _native.Transform:
        """The same, checked by the extension once for all runs."""
        return _native.Transform(self.masks, self.terms, self.entries, self.weights, self.kept)


@dataclass(frozen=True, eq=False)
class Addition:
    """Plaintexts to add: signed coefficients in X^(N / columns) times 2**shift, one row for every
    result or one for all of them."""

    coefficients: Signed
    shift: int


@dataclass(frozen=True, eq=False)
class PackedPlan:
    """Everything plain that a plan multiplies by or adds, keyed by step number."""

    plan: Plan
    transforms: Mapping[int, PackedTransform]
    masks: Mapping[int, Signed]
    additions: Mapping[int, Addition]

    @property
    def memory_bytes(self) -> int:
        """Bytes of all distinct arrays."""
        return memory_bytes([self])


def memory_bytes(plans: Iterable[PackedPlan]) -> int:
    """Bytes of all distinct arrays of several plans, and of the residues that were kept so far."""
    arrays: list[NDArray[Any] | _native.Kept] = []
    for plan in plans:
        arrays += [*plan.masks.values(), *(a.coefficients for a in plan.additions.values())]
        for transform in plan.transforms.values():
            arrays += [transform.weights, *transform.masks, *transform.entries, *transform.kept]
    return sum({id(array): array.nbytes for array in arrays}.values())


def pack(plan: Plan, tables: Tables, parameters: Parameters) -> PackedPlan:
    """Encode all tables of a plan.

    Raises:
        PlanError: the plan was compiled for other parameters, or a table is missing.
        EncodingError: a value is too large for its scale.
    """
    if plan.parameters_digest != parameters.digest:
        raise PlanError(f"the plan was not compiled for parameters '{parameters.name}'")
    return _Packer(plan, tables, parameters).run()


def with_biases(packed: PackedPlan, biases: Mapping[int, Slots]) -> PackedPlan:
    """The same plan with other biases, rows [outputs, period] by the number of their linear step.

    Raises:
        EncodingError: a value is too large for its scale.
    """
    additions = dict(packed.additions)
    for number, rows in biases.items():
        output = step_writes(packed.plan.steps[number])[0]
        additions[number] = _addition(rows, packed.plan.values[output].scale)
    return replace(packed, additions=additions)


def _addition(rows: Slots, scale: float) -> Addition:
    return Addition(*encoding.encode_wide(rows, rows.shape[1], scale))


class _Packer:
    def __init__(self, plan: Plan, tables: Tables, parameters: Parameters) -> None:
        self.plan, self.tables, self.parameters = plan, tables, parameters
        self.masks: dict[tuple[int, float, int], Signed] = {}

    def run(self) -> PackedPlan:
        transforms: dict[int, PackedTransform] = {}
        masks: dict[int, Signed] = {}
        additions: dict[int, Addition] = {}
        for number, step in enumerate(self.plan.steps):
            match step:
                case steps.LinearTransform():
                    transforms[number] = self.transform(step)
                    self.add_table(additions, number, step.bias, step.outputs[0])
                case steps.Square():
                    self.add_table(additions, number, step.offset, step.output)
                case steps.Affine():
                    self.add_table(additions, number, step.table, step.output)
                case steps.MultiplyPlain():
                    slots = self.parameters.slots_at(step_level(step, self.plan.values))
                    masks[number] = self.mask(step.mask, step.mask_scale, slots)
                case _:
                    pass
        return PackedPlan(self.plan, self.keep(transforms), masks, additions)

    def keep(self, transforms: Mapping[int, PackedTransform]) -> dict[int, PackedTransform]:
        """With residues kept of the masks that most steps use, as far as there is room."""
        masks = {id(mask): mask for transform in transforms.values() for mask in transform.masks}
        uses = Counter(id(mask) for transform in transforms.values() for mask in transform.masks)
        rows: dict[int, set[int]] = {key: set() for key in masks}
        for number, transform in transforms.items():
            for mask in transform.masks:
                rows[id(mask)].update(self.basis(self.plan.steps[number]))
        room, kept = MAX_KEPT_BYTES, {}
        for key, _ in uses.most_common():
            size = len(rows[key]) * masks[key].nbytes
            if size <= room:
                room -= size
                kept[key] = _native.Kept(masks[key])
        return {
            number: replace(t, kept=tuple(kept[id(m)] for m in t.masks if id(m) in kept))
            for number, t in transforms.items()
        }

    def basis(self, step: steps.Step) -> list[int]:
        """Rows of the basis QP of a linear step."""
        if not isinstance(step, steps.LinearTransform):
            return []
        level = self.parameters.levels[step.level]
        return [*level.rows, *self.parameters.special_rows(self.parameters.tiers[level.tier])]

    def add_table(
        self, additions: dict[int, Addition], number: int, table: str, output: str
    ) -> None:
        if table:
            scale = self.plan.values[output].scale
            additions[number] = _addition(self.table(table), scale)

    def table(self, name: str) -> Slots:
        if name not in self.tables:
            raise PlanError(f"the plan's table '{name}' is missing")
        return self.tables[name]

    def mask(self, mask: int, scale: float, slots: int) -> Signed:
        key = mask, scale, slots
        if key not in self.masks:
            self.masks[key] = self.unrestricted(mask_slots(self.plan, mask, slots), scale)
        return self.masks[key]

    def unrestricted(self, slots: Slots, scale: float) -> Signed:
        coefficients = encoding.encode(slots, slots.size, scale)
        if np.max(np.abs(coefficients)) >= MAX_MASK_COEFFICIENT:
            raise encoding.EncodingError("a mask is too large for its scale")
        return coefficients

    def transform(self, step: steps.LinearTransform) -> PackedTransform:
        values = self.table(step.weights)
        scales = np.empty(values.shape[0])
        for entries in step.entries:
            for term, row in entries:
                baby, mask = step.terms[term]
                scale = step.weight_scales[step.babies[baby][0]]
                scales[row] = scale if mask >= 0 else scale * step.mask_scale
        slots = self.parameters.slots_at(step.level)
        if step.period == slots:
            return self.without_period(step, values, scales)
        period = max(step.period, MIN_PERIOD_COEFFICIENTS)
        values = np.tile(values, (1, period // step.period))
        weights = np.rint(encoding.coefficients(values, period) * scales[:, None])
        if np.max(np.abs(weights)) >= encoding.MAX_COEFFICIENT:
            raise encoding.EncodingError(f"weights of '{step.weights}' are too large")
        used = sorted({mask for _, mask in step.terms if mask >= 0})
        number = {mask: i for i, mask in enumerate(used)} | {-1: -1}
        return PackedTransform(
            weights.astype(np.int64),
            tuple(self.mask(mask, step.mask_scale, slots) for mask in used),
            tuple((baby, number[mask]) for baby, mask in step.terms),
            tuple(np.array(e, dtype=np.uint32).reshape(-1, 2) for e in step.entries),
        )

    def without_period(
        self, step: steps.LinearTransform, values: Slots, scales: NDArray[np.float64]
    ) -> PackedTransform:
        """Weights without a period become masks of their own, times the constant one."""
        if any(mask >= 0 for _, mask in step.terms):
            raise PlanError("weights without a period cannot be masked as well")
        masks: list[Signed] = []
        terms: list[tuple[int, int]] = []
        accumulators: list[NDArray[np.uint32]] = []
        for entries in step.entries:
            accumulators.append(
                np.array([(len(terms) + i, 0) for i in range(len(entries))], dtype=np.uint32)
            )
            for term, row in entries:
                terms.append((step.terms[term][0], len(masks)))
                masks.append(self.unrestricted(values[row], float(scales[row])))
        one = np.zeros((1, MIN_PERIOD_COEFFICIENTS), dtype=np.int64)
        one[0, 0] = 1
        return PackedTransform(one, tuple(masks), tuple(terms), tuple(accumulators))
