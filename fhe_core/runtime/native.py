"""The native backend: runs a packed plan on ciphertexts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from fhe_core import plan
from fhe_core.ciphertext import Ciphertext, Words
from fhe_core.plan import Observer, PlanError, Progress, Step, Value, steps
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import Addition, PackedPlan

#: Relative difference up to which two scales are the same number.
SCALE_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class NativeBackend:
    """A packed plan and the evaluator that its steps run on."""

    packed: PackedPlan
    evaluator: Evaluator

    def check(self, name: str, value: Ciphertext) -> None:
        """PlanError where a ciphertext does not have the level and scale that the plan says."""
        wanted = self.packed.plan.values[name]
        check_value(wanted, value)

    def apply(
        self, number: int, step: Step, values: Mapping[str, Ciphertext]
    ) -> Sequence[Ciphertext]:
        """What one step writes, from the values that it reads."""
        return apply_step(self.packed, self.evaluator, number, step, values)


def run(
    packed: PackedPlan,
    evaluator: Evaluator,
    inputs: Sequence[Ciphertext],
    progress: Progress | None = None,
    observe: Observer[Ciphertext] | None = None,
) -> list[Ciphertext]:
    """Outputs of the plan.

    Raises:
        PlanError: an input does not have the level and scale that the plan says.
        MissingKeyError: an evaluation key is missing.
    """
    return plan.run(packed.plan, NativeBackend(packed, evaluator), inputs, progress, observe)


def check_value(wanted: Value, found: Ciphertext) -> None:
    """PlanError where a ciphertext does not have the level and scale that the plan says."""
    if found.level != wanted.level or abs(found.scale / wanted.scale - 1) > SCALE_TOLERANCE:
        raise PlanError(
            f"'{wanted.name}' must be at level {wanted.level} and scale "
            f"2^{np.log2(wanted.scale):.3f}, got level {found.level} and "
            f"2^{np.log2(found.scale):.3f}"
        )


def apply_step(
    packed: PackedPlan,
    evaluator: Evaluator,
    number: int,
    step: Step,
    values: Mapping[str, Ciphertext],
) -> list[Ciphertext]:
    """What one step writes, from the values that it reads."""
    match step:
        case steps.Rotate():
            source = values[step.source].first(step.level, evaluator.parameters)
            return evaluator.rotate_many(source, step.amounts)
        case steps.FoldSum():
            total = values[step.source]
            for amounts in step.pairs():
                total = evaluator.add(total, evaluator.rotated_sum(total, amounts))
            return [evaluator.rescale(total, step.rescale)]
        case steps.LinearTransform():
            results = _linear(packed, evaluator, number, step, values)
        case steps.Square():
            source = values[step.source]
            results = [evaluator.multiply(source, source, step.rescale)]
        case steps.Multiply():
            left, right = (
                values[n].drop_to(step.level, evaluator.parameters) for n in (step.left, step.right)
            )
            results = [evaluator.multiply(left, right, step.rescale)]
        case steps.MultiplyPlain():
            results = [
                evaluator.multiply_plain(
                    values[step.source], packed.masks[number], step.mask_scale, step.rescale
                )
            ]
        case steps.Affine():
            source = values[step.source]
            results = [replace(source, scale=source.scale / step.factor)]
        case steps.DropLevel():
            results = [evaluator.drop_to(values[step.source], step.level)]
        case steps.SwitchRing():
            wanted = packed.plan.values[step.output]
            results = [evaluator.switch_ring(values[step.source], wanted.level)]
        case steps.LiftRing():
            wanted = packed.plan.values[step.output]
            results = [evaluator.lift_ring(values[step.source], wanted.level)]
    if number in packed.additions:
        return _plus(evaluator, results, packed.additions[number])
    return results


def _plus(
    evaluator: Evaluator, results: Sequence[Ciphertext], addition: Addition
) -> list[Ciphertext]:
    """Sums with a row of coefficients each, or with the same one."""
    rows = addition.coefficients
    own = rows if len(rows) > 1 else [rows[0]] * len(results)
    return [
        evaluator.add_plain(result, row, addition.shift)
        for result, row in zip(results, own, strict=True)
    ]


def _linear(
    packed: PackedPlan,
    evaluator: Evaluator,
    number: int,
    step: steps.LinearTransform,
    values: Mapping[str, Ciphertext],
) -> list[Ciphertext]:
    """Double hoisting: sums stay in the basis QP until the one division per output."""
    transform, level = packed.transforms[number], step.level
    slots = evaluator.parameters.slots_at(level)
    step_babies = [(i, amount % slots) for i, amount in step.babies]
    rotated = {i for i, amount in step_babies if amount}
    nothing = np.empty(0, dtype=np.uint64)
    inputs: list[tuple[Words, Words]] = []
    for i, name in enumerate(step.inputs):
        residues = values[name].first(level, evaluator.parameters).residues
        digits = evaluator.decompose(residues[1], level).extended if i in rotated else nothing
        inputs.append((residues, digits))
    babies: list[tuple[int, NDArray[np.uint32] | None, Words | None, Sequence[int]]] = []
    for i, amount in step_babies:
        if amount:
            key = evaluator.keys.get(amount, level)
            babies.append((i, evaluator.permutation(amount, level), key.data, key.rows))
        else:
            babies.append((i, None, None, ()))
    sums = evaluator.at(level).accumulate(
        transform.native,
        inputs,
        babies,
        evaluator.rows(level),
        evaluator.specials(level),
        evaluator.p_mod_q(level),
        evaluator.tier(level).digit_limbs,
    )
    del inputs, digits
    scale = packed.plan.values[step.outputs[0]].scale
    results: list[Ciphertext] = []
    left: dict[int, Words] = dict(enumerate(sums))
    del sums
    for chain in step.horner():  # each sum is read once, and its memory serves the results
        total = left.pop(chain[0][0])
        for (_, rotation), following in zip_longest(chain, chain[1:]):
            base = None if following is None else left.pop(following[0])
            if rotation % slots:
                total = evaluator.rotate_extended(total, level, rotation % slots, base)
        down = evaluator.mod_down(total, level, step.rescale)
        results.append(Ciphertext(down, scale, level - step.rescale))
    return results
