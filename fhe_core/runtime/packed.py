"""Plaintext tables of a plan, encoded once for the native backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native, encoding
from fhe_core.ciphertext import Words
from fhe_core.parameters import Parameters
from fhe_core.plan import (
    Affine,
    LinearTransform,
    MultiplyPlain,
    Plan,
    PlanError,
    Square,
)
from fhe_core.runtime.cleartext import Tables, mask_slots

#: The kernels take weights of at least this many coefficients.
MIN_PERIOD_COEFFICIENTS = 8


@dataclass(frozen=True, eq=False)
class Mask:
    """A plaintext of all slots, [limbs + specials, N] in NTT form."""

    rows: Words
    limbs: int


@dataclass(frozen=True, eq=False)
class PackedTransform:
    """Weights [count, 2 * period] as signed coefficients; terms and entries as the kernel wants."""

    weights: NDArray[np.int64]
    terms: tuple[tuple[int, Mask | None], ...]
    entries: tuple[NDArray[np.uint32], ...]


@dataclass(frozen=True, eq=False)
class PackedPlan:
    """Everything plain that a plan multiplies by or adds, keyed by step number."""

    plan: Plan
    transforms: Mapping[int, PackedTransform]
    masks: Mapping[int, Mask]
    additions: Mapping[int, NDArray[np.int64]]

    @property
    def memory_bytes(self) -> int:
        """Bytes of all distinct arrays."""
        arrays: dict[int, int] = {}
        for transform in self.transforms.values():
            arrays[id(transform.weights)] = transform.weights.nbytes
            for _, mask in transform.terms:
                if mask is not None:
                    arrays[id(mask.rows)] = mask.rows.nbytes
        for mask in self.masks.values():
            arrays[id(mask.rows)] = mask.rows.nbytes
        for addition in self.additions.values():
            arrays[id(addition)] = addition.nbytes
        return sum(arrays.values())


def pack(plan: Plan, tables: Tables, parameters: Parameters, threads: int) -> PackedPlan:
    """Encode all tables of a plan.

    Raises:
        PlanError: the plan was compiled for other parameters, or a table is missing.
    """
    if plan.parameters_digest != parameters.digest:
        raise PlanError(f"the plan was not compiled for parameters '{parameters.name}'")
    return _Packer(plan, tables, parameters, threads).run()


class _Packer:
    def __init__(self, plan: Plan, tables: Tables, parameters: Parameters, threads: int) -> None:
        self.plan, self.tables, self.parameters = plan, tables, parameters
        moduli = [*parameters.moduli, *parameters.specials]
        self.context = _native.Context(parameters.ring_dimension, moduli, threads)
        self.mask_limbs: dict[tuple[int, int, float], int] = {}
        self.masks: dict[tuple[int, int, float], Mask] = {}

    def run(self) -> PackedPlan:
        transforms: dict[int, PackedTransform] = {}
        masks: dict[int, Mask] = {}
        additions: dict[int, NDArray[np.int64]] = {}
        for step in self.plan.steps:
            if isinstance(step, LinearTransform):
                for mask in {m for _, m in step.terms if m >= 0}:
                    key = self.mask_key(mask, step)
                    self.mask_limbs[key] = max(step.limbs, self.mask_limbs.get(key, 0))
        for number, step in enumerate(self.plan.steps):
            match step:
                case LinearTransform():
                    transforms[number] = self.transform(step)
                    self.add_table(additions, number, step.bias, step.outputs[0])
                case Square():
                    self.add_table(additions, number, step.offset, step.output)
                case Affine():
                    self.add_table(additions, number, step.table, step.output)
                case MultiplyPlain():
                    limbs = self.plan.values[step.source].limbs
                    slots = mask_slots(self.plan, step.mask, self.parameters.slots)
                    masks[number] = self.encode_mask(slots, step.mask_scale, limbs, [])
                case _:
                    pass
        return PackedPlan(self.plan, transforms, masks, additions)

    def add_table(
        self, additions: dict[int, NDArray[np.int64]], number: int, table: str, output: str
    ) -> None:
        if table:
            scale = self.plan.values[output].scale
            additions[number] = self.periodic(self.table(table)[0], scale)

    def table(self, name: str) -> NDArray[np.float64]:
        if name not in self.tables:
            raise PlanError(f"the plan's table '{name}' is missing")
        return self.tables[name]

    def periodic(self, row: NDArray[np.float64], scale: float) -> NDArray[np.int64]:
        """All N coefficients of a periodic row."""
        n = self.parameters.ring_dimension
        out = np.zeros(n, dtype=np.int64)
        out[:: n // (2 * row.size)] = encoding.encode(row, 2 * row.size, scale)
        return out

    def mask_key(self, mask: int, step: LinearTransform) -> tuple[int, int, float]:
        return (mask, len(self.specials(step.limbs)), step.mask_scale)

    def specials(self, limbs: int) -> list[int]:
        tier = self.parameters.tiers[self.parameters.tier_index(limbs)]
        return self.parameters.special_rows(tier)

    def encode_mask(
        self, slots: NDArray[np.float64], scale: float, limbs: int, specials: list[int]
    ) -> Mask:
        coefficients = encoding.encode(slots, self.parameters.ring_dimension, scale)
        return Mask(self.context.embed_signed(coefficients, [*range(limbs), *specials]), limbs)

    def transform_mask(self, mask: int, step: LinearTransform) -> Mask | None:
        if mask < 0:
            return None
        key = self.mask_key(mask, step)
        if key not in self.masks:
            slots = mask_slots(self.plan, mask, self.parameters.slots)
            limbs = self.mask_limbs[key]
            self.masks[key] = self.encode_mask(
                slots, step.mask_scale, limbs, self.specials(step.limbs)
            )
        return self.masks[key]

    def transform(self, step: LinearTransform) -> PackedTransform:
        values = self.table(step.weights)
        scales = np.empty(values.shape[0])
        for entries in step.entries:
            for term, row in entries:
                baby, mask = step.terms[term]
                scale = step.weight_scales[step.babies[baby][0]]
                scales[row] = scale if mask >= 0 else scale * step.mask_scale
        if step.period == self.parameters.slots:
            return self.unrestricted(step, values, scales)
        size = 2 * step.period
        weights = np.rint(encoding.coefficients(values, size) * scales[:, None])
        if np.max(np.abs(weights)) >= encoding.MAX_COEFFICIENT:
            raise encoding.EncodingError(f"weights of '{step.weights}' are too large")
        return PackedTransform(
            weights.astype(np.int64),
            tuple((baby, self.transform_mask(mask, step)) for baby, mask in step.terms),
            tuple(np.array(e, dtype=np.uint32).reshape(-1, 2) for e in step.entries),
        )

    def unrestricted(
        self, step: LinearTransform, values: NDArray[np.float64], scales: NDArray[np.float64]
    ) -> PackedTransform:
        """Weights without a period become masks of their own, times the constant one."""
        terms: list[tuple[int, Mask | None]] = []
        accumulators: list[NDArray[np.uint32]] = []
        for entries in step.entries:
            numbers = []
            for term, row in entries:
                baby, mask = step.terms[term]
                if mask >= 0:
                    raise PlanError("weights without a period cannot be masked as well")
                numbers.append((len(terms), 0))
                terms.append(
                    (
                        baby,
                        self.encode_mask(
                            values[row], float(scales[row]), step.limbs, self.specials(step.limbs)
                        ),
                    )
                )
            accumulators.append(np.array(numbers, dtype=np.uint32))
        one = np.zeros((1, MIN_PERIOD_COEFFICIENTS), dtype=np.int64)
        one[0, 0] = 1
        return PackedTransform(one, tuple(terms), tuple(accumulators))
