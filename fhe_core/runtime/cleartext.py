"""The cleartext backend: runs any plan slot by slot in numpy, exactly as the ciphertexts would.

With ``noise`` it adds the errors that the precision model predicts, so that their effect on the
result can be measured without encryption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.plan import (
    Affine,
    DropLevel,
    FoldSum,
    Join,
    LinearTransform,
    Multiply,
    MultiplyPlain,
    Part,
    Plan,
    Rotate,
    Square,
    SquareParts,
    Step,
    last_reads,
    step_writes,
)

#: Real, or complex where two vectors run side by side.
Slots = NDArray[Any]
Tables = Mapping[str, NDArray[Any]]
#: Given a step and one of its results, the standard deviation of the slot error to add.
Noise = Callable[[Step, str], float]
Observer = Callable[[int, Step, Mapping[str, Slots]], None]


def run(
    plan: Plan,
    tables: Tables,
    inputs: Sequence[Slots],
    *,
    noise: Noise | None = None,
    observe: Observer | None = None,
    seed: int = 0,
) -> list[Slots]:
    """Outputs of the plan, each [slots]. Overflow gives inf or NaN, without warnings.

    Raises:
        ValueError: the number of inputs is wrong.
    """
    if len(inputs) != len(plan.inputs):
        raise ValueError(f"the plan takes {len(plan.inputs)} inputs, got {len(inputs)}")
    values: dict[str, Slots] = dict(zip(plan.inputs, inputs, strict=True))
    generator = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        for number, (step, dead) in enumerate(zip(plan.steps, last_reads(plan), strict=True)):
            values.update(_apply(plan, tables, step, values))
            if noise is not None:
                for name in step_writes(step):
                    values[name] = _disturbed(values[name], noise(step, name), generator)
            if observe is not None:
                observe(number, step, values)
            for name in dead:
                del values[name]
    return [values[name] for name in plan.outputs]


def _disturbed(slots: Slots, deviation: float, generator: np.random.Generator) -> Slots:
    error: Slots = generator.normal(0.0, deviation, slots.shape)
    if np.iscomplexobj(slots):
        error = error + 1j * generator.normal(0.0, deviation, slots.shape)
    return slots + error


def mask_slots(plan: Plan, mask: int, slots: int) -> Slots:
    """A mask as 0/1 slot values."""
    out = np.zeros(slots)
    for start, stop in plan.masks[mask]:
        out[start:stop] = 1.0
    return out


def _apply(plan: Plan, tables: Tables, step: Step, values: Mapping[str, Slots]) -> dict[str, Slots]:
    match step:
        case Rotate():
            source = values[step.source]
            return {
                name: np.roll(source, -amount)
                for name, amount in zip(step.outputs, step.amounts, strict=True)
            }
        case FoldSum():
            total = values[step.source]
            for amount in step.amounts:
                total = total + np.roll(total, -amount)
            return {step.output: total}
        case LinearTransform():
            return _linear(plan, tables, step, values)
        case Square():
            return {step.output: _plus(values[step.source] ** 2, tables, step.offset)}
        case SquareParts():
            source = values[step.source]
            squares = source.real**2 + 1j * source.imag**2
            return {step.output: _plus(squares, tables, step.offset)}
        case Join():
            return {step.output: values[step.left] + 1j * values[step.right]}
        case Part():
            source = values[step.source]
            return dict(zip(step.outputs, (source.real, source.imag), strict=True))
        case Multiply():
            return {step.output: values[step.left] * values[step.right]}
        case MultiplyPlain():
            source = values[step.source]
            return {step.output: source * mask_slots(plan, step.mask, source.size)}
        case Affine():
            return {step.output: _plus(values[step.source] * step.factor, tables, step.table)}
        case DropLevel():
            return {step.output: values[step.source]}


def _plus(slots: Slots, tables: Tables, table: str, number: int = 0) -> Slots:
    """With a table's only row, or with the one of that number."""
    if not table:
        return slots
    rows = tables[table]
    row = rows[number if len(rows) > 1 else 0]
    total: Slots = slots + np.tile(row, slots.size // row.size)
    return total


def _linear(
    plan: Plan, tables: Tables, step: LinearTransform, values: Mapping[str, Slots]
) -> dict[str, Slots]:
    weights = tables[step.weights]
    rotated = [np.roll(values[step.inputs[i]], -amount) for i, amount in step.babies]
    slots = rotated[0].size
    terms = [
        rotated[baby] * mask_slots(plan, mask, slots) if mask >= 0 else rotated[baby]
        for baby, mask in step.terms
    ]
    totals = weighted_sums(step.entries, weights, np.stack(terms))
    outputs = [np.zeros(slots, dtype=totals.dtype) for _ in step.outputs]
    for (output, amount), total in zip(step.giants, totals, strict=True):
        outputs[output] += np.roll(total, -amount)
    return {
        name: _plus(total, tables, step.bias, number)
        for number, (name, total) in enumerate(zip(step.outputs, outputs, strict=True))
    }


def weighted_sums(
    entries: Sequence[Sequence[tuple[int, int]]], weights: Slots, terms: Slots
) -> Slots:
    """Sums over (term, weight row) pairs, [accumulators, slots].

    weights: [rows, period]; terms: [terms, slots]. One matrix product per position in the period.
    """
    (count, slots), period = terms.shape, weights.shape[1]
    matrices = np.zeros((period, len(entries), count), dtype=weights.dtype)
    for number, pairs in enumerate(entries):
        chosen = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
        np.add.at(matrices[:, number].T, chosen[:, 0], weights[chosen[:, 1]])
    columns = np.moveaxis(terms.reshape(count, -1, period), 2, 0)
    totals = matrices @ columns
    return np.asarray(np.moveaxis(totals, 0, 2)).reshape(len(entries), slots)
