"""The cleartext backend: runs any plan slot by slot in numpy, exactly as the ciphertexts would.

With ``noise`` it adds the errors that the precision model predicts, so that their effect on the
result can be measured without encryption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fhe_core import plan as plans
from fhe_core.plan import Observer, Plan, Step, step_writes, steps
from fhe_core.runtime.sums import Entries, Slots, Terms, weighted_sums

Tables = Mapping[str, Slots]
#: Given a step and one of its results, the standard deviation of the slot error to add.
Noise = Callable[[Step, str], float]


@dataclass(frozen=True, eq=False)
class CleartextBackend:
    """A plan, its tables, and the errors that are added to every result."""

    plan: Plan
    tables: Tables
    noise: Noise | None
    generator: np.random.Generator

    def check(self, _name: str, _value: Slots) -> None:
        """Slots in the clear have no level and no scale."""

    def apply(self, _number: int, step: Step, values: Mapping[str, Slots]) -> list[Slots]:
        """What one step writes, from the values that it reads."""
        results = _apply(self.plan, self.tables, step, values)
        if self.noise is None:
            return results
        return [
            _disturbed(result, self.noise(step, name), self.generator)
            for name, result in zip(step_writes(step), results, strict=True)
        ]


def run(
    plan: Plan,
    tables: Tables,
    inputs: Sequence[Slots],
    *,
    noise: Noise | None = None,
    observe: Observer[Slots] | None = None,
    seed: int = 0,
) -> list[Slots]:
    """Outputs of the plan, each [slots]. Overflow gives inf or NaN, without warnings.

    Raises:
        PlanError: the number of inputs is wrong.
    """
    backend = CleartextBackend(plan, tables, noise, np.random.default_rng(seed))
    with np.errstate(all="ignore"):
        return plans.run(plan, backend, inputs, observe=observe)


def _disturbed(slots: Slots, deviation: float, generator: np.random.Generator) -> Slots:
    return slots + generator.normal(0.0, deviation, slots.shape)


def mask_slots(plan: Plan, mask: int, slots: int) -> Slots:
    """A mask as 0/1 slot values."""
    out = np.zeros(slots)
    for start, stop in plan.masks[mask]:
        out[start:stop] = 1.0
    return out


def _apply(plan: Plan, tables: Tables, step: Step, values: Mapping[str, Slots]) -> list[Slots]:
    match step:
        case steps.Rotate():
            source = values[step.source]
            return [np.roll(source, -amount) for amount in step.amounts]
        case steps.FoldSum():
            total = values[step.source]
            for amount in step.amounts:
                total = total + np.roll(total, -amount)
            return [total]
        case steps.LinearTransform():
            return _linear(plan, tables, step, values)
        case steps.Square():
            return [_plus(values[step.source] ** 2, tables, step.offset)]
        case steps.Multiply():
            return [values[step.left] * values[step.right]]
        case steps.MultiplyPlain():
            source = values[step.source]
            return [source * mask_slots(plan, step.mask, source.size)]
        case steps.Affine():
            return [_plus(values[step.source] * step.factor, tables, step.table)]
        case steps.DropLevel():
            return [values[step.source]]
        case steps.SwitchRing():
            lower, upper = np.split(values[step.source], 2)
            return [lower + upper]
        case steps.LiftRing():
            return [np.tile(values[step.source], 2)]


def _plus(slots: Slots, tables: Tables, table: str, number: int = 0) -> Slots:
    """With a table's only row, or with the one of that number."""
    if not table:
        return slots
    rows = tables[table]
    row = rows[number if len(rows) > 1 else 0]
    total: Slots = slots + np.tile(row, slots.size // row.size)
    return total


def _linear(
    plan: Plan, tables: Tables, step: steps.LinearTransform, values: Mapping[str, Slots]
) -> list[Slots]:
    inputs = [values[name] for name in step.inputs]
    masks = {m: mask_slots(plan, m, inputs[0].size) for _, m in step.terms if m >= 0}
    terms = Terms(inputs, step.babies, masks, step.terms)
    outputs = linear_sums(step, step.entries, tables[step.weights], terms)
    return [_plus(total, tables, step.bias, number) for number, total in enumerate(outputs)]


def linear_sums(
    step: steps.LinearTransform, entries: Entries, weights: Slots, terms: Terms
) -> list[Slots]:
    """What a linear step sums for every output [slots], before its bias.

    entries: per accumulator, (term, weight row) pairs, of ``terms`` and ``weights``
    [rows, period]; they may be others than the step's own.
    """
    totals = weighted_sums(entries, weights, terms)
    outputs = [np.zeros(totals.shape[1], dtype=totals.dtype) for _ in step.outputs]
    for (output, amount), total in zip(step.giants, totals, strict=True):
        outputs[output] += np.roll(total, -amount)
    return outputs
