"""Runs a plan with the operations of a foreign library.

The library has primes of its own, so that scales differ from the plan's in the last digits. Every
value keeps its exact scale here, and the weights of a linear step are encoded so that it ends at
the plan's scale again.

It has one ring, too. That of half the degree lies in it, as the elements whose slots repeat after
half of them: a switch adds both halves, everything goes on as in the smaller ring, and a lift is
nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core import plan as plans
from fhe_core.oracles.chain import Levels
from fhe_core.oracles.interface import Library, OracleError, Slots
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan, PlanError, Step, steps

Tables = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Held:
    """A ciphertext of the library and its exact scale."""

    handle: Any
    scale: float


@dataclass
class Runner:
    """One plan, its tables, and what the library did for it.

    Attributes:
        levels: of the plan, in the library's chain.
        counts: operations by name.
    """

    foreign: Library
    plan: Plan
    tables: Tables
    levels: Levels
    counts: Counter[str] = field(default_factory=Counter)

    def run(self, inputs: Sequence[Slots]) -> list[NDArray[np.float64]]:
        """Decrypted slots of the plan's outputs: their real parts, in the ring of half the degree
        half of them.

        Raises:
            OracleError: the library has other slots or too few limbs, or the inputs do not fit.
        """
        results = self.evaluate(self.encrypt(inputs))
        self.counts["decrypt"] += len(results)
        return [
            self.foreign.decrypt(result.handle, result.scale).real[: self.slots(name)]
            for name, result in zip(self.plan.outputs, results, strict=True)
        ]

    def slots(self, name: str) -> int:
        """Of that value in its ring."""
        half = self.plan.values[name].level < self.levels.halves
        return self.foreign.slots // 2 if half else self.foreign.slots

    def limbs_of(self, level: int) -> int:
        """In the library."""
        return self.levels.limbs[level]

    def encrypt(self, inputs: Sequence[Slots]) -> dict[str, Held]:
        """Fresh ciphertexts of the plan's inputs, by name; errors as of :meth:`run`."""
        plan, library = self.plan, self.foreign
        if len(inputs) != len(plan.inputs) or any(x.shape != (library.slots,) for x in inputs):
            raise OracleError(
                f"the plan takes {len(plan.inputs)} inputs of {library.slots} slots each"
            )
        most = max(self.limbs_of(value.level) for value in plan.values.values())
        if most > len(library.moduli):
            raise OracleError(f"the plan needs {most} limbs, the library has {len(library.moduli)}")
        self.counts["encrypt"] += len(inputs)
        held: dict[str, Held] = {}
        for name, values in zip(plan.inputs, inputs, strict=True):
            limbs, scale = self.limbs_of(plan.values[name].level), plan.values[name].scale
            held[name] = Held(library.drop_to(library.encrypt(values, scale), limbs), scale)
        return held

    def evaluate(self, inputs: Mapping[str, Held]) -> list[Held]:
        """The plan's outputs, encrypted."""
        return plans.run(self.plan, self, [inputs[name] for name in self.plan.inputs])

    def check(self, name: str, value: Held) -> None:
        """OracleError where a result does not have the limbs that the plan says."""
        if self.foreign.limbs(value.handle) != self.limbs_of(self.plan.values[name].level):
            raise OracleError(f"'{name}' came out with a wrong number of limbs")

    def apply(self, _number: int, step: Step, held: Mapping[str, Held]) -> list[Held]:
        """What one step writes."""
        match step:
            case steps.Rotate():
                source = held[step.source]
                low = self.foreign.drop_to(source.handle, self.limbs_of(step.level))
                return [Held(h, source.scale) for h in self.rotate(low, step.amounts)]
            case steps.FoldSum():
                total = held[step.source]
                for amount in step.amounts:
                    (moved,) = self.rotate(total.handle, [amount])
                    total = Held(self.add(total.handle, moved), total.scale)
                level = self.plan.values[step.source].level
                return [self.rescale(total, level, step.rescale)]
            case steps.LinearTransform():
                return self.linear(step, held)
            case steps.Square():
                source = held[step.source]
                level = self.plan.values[step.source].level
                product = self.multiply(source, source, level, step.rescale)
                return [self.plus(product, step.offset)]
            case steps.Multiply():
                left, right = (
                    Held(
                        self.foreign.drop_to(held[n].handle, self.limbs_of(step.level)),
                        held[n].scale,
                    )
                    for n in (step.left, step.right)
                )
                return [self.multiply(left, right, step.level, step.rescale)]
            case steps.MultiplyPlain():
                source = held[step.source]
                level, mask = self.plan.values[step.source].level, self.mask(step.mask, step.source)
                product = self.multiply_plain(source.handle, mask, step.mask_scale)
                masked = Held(product, source.scale * step.mask_scale)
                return [self.rescale(masked, level, step.rescale)]
            case steps.Affine():
                source = held[step.source]
                return [self.plus(Held(source.handle, source.scale / step.factor), step.table)]
            case steps.DropLevel():
                source = held[step.source]
                return [
                    Held(
                        self.foreign.drop_to(source.handle, self.limbs_of(step.level)), source.scale
                    )
                ]
            case steps.SwitchRing():
                source = held[step.source]
                (moved,) = self.rotate(source.handle, [self.foreign.slots // 2])
                return [Held(self.add(source.handle, moved), source.scale)]
            case steps.LiftRing():
                return [held[step.source]]

    def linear(self, step: steps.LinearTransform, held: Mapping[str, Held]) -> list[Held]:
        """Baby steps, masks, weights, sums, giant steps, one rescale; a term at a time."""
        library, weights = self.foreign, self.tables[step.weights]
        wanted = self.plan.values[step.outputs[0]].scale
        total_scale = wanted * self.rescale_factor(step.level, step.rescale)
        users: dict[int, list[tuple[int, int]]] = {}
        for accumulator, entries in enumerate(step.entries):
            for term, row in entries:
                users.setdefault(term, []).append((accumulator, row))
        sums: dict[int, Any] = {}
        for number, name in enumerate(step.inputs):
            source = held[name]
            low = library.drop_to(source.handle, self.limbs_of(step.level))
            own = [b for b, (i, _) in enumerate(step.babies) if i == number]
            moved = self.rotate(low, [step.babies[b][1] for b in own])
            for baby, rotated in zip(own, moved, strict=True):
                for term, (of, mask) in enumerate(step.terms):
                    if of != baby or term not in users:
                        continue
                    masked, scale = rotated, total_scale / source.scale
                    if mask >= 0:
                        slots = self.mask(mask, name)
                        masked = self.multiply_plain(rotated, slots, step.mask_scale)
                        scale /= step.mask_scale
                    for accumulator, row in users[term]:
                        product = self.multiply_plain(masked, weights[row], scale)
                        if accumulator in sums:
                            product = self.add(sums[accumulator], product)
                        sums[accumulator] = product
        outputs: dict[int, Any] = {}
        for accumulator, (output, amount) in enumerate(step.giants):
            (moved_sum,) = self.rotate(sums.pop(accumulator), [amount])
            if output in outputs:
                moved_sum = self.add(outputs[output], moved_sum)
            outputs[output] = moved_sum
        return [
            self.plus(
                self.rescale(Held(outputs[o], total_scale), step.level, step.rescale), step.bias
            )
            for o in range(len(step.outputs))
        ]

    def mask(self, mask: int, name: str) -> Slots:
        """0/1 slot values, for the value of that name."""
        out = np.zeros(self.slots(name))
        for start, stop in self.plan.masks[mask]:
            out[start:stop] = 1.0
        return out

    def plus(self, a: Held, table: str) -> Held:
        if not table:
            return a
        self.counts["add plain"] += 1
        return Held(self.foreign.add_plain(a.handle, self.tables[table][0], a.scale), a.scale)

    def add(self, a: Any, b: Any) -> Any:
        self.counts["add"] += 1
        return self.foreign.add(a, b)

    def multiply_plain(self, handle: Any, values: Slots, scale: float) -> Any:
        self.counts["plaintext product"] += 1
        return self.foreign.multiply_plain(handle, values, scale)

    def multiply(self, a: Held, b: Held, level: int, rescale: int) -> Held:
        self.counts["multiply + relinearise"] += 1
        product = Held(self.foreign.multiply(a.handle, b.handle), a.scale * b.scale)
        return self.rescale(product, level, rescale)

    def rotate(self, handle: Any, amounts: Iterable[int]) -> list[Any]:
        """Rotations by amounts in any order; several of one ciphertext are hoisted."""
        turns = [amount % self.foreign.slots for amount in amounts]
        moving = sorted({turn for turn in turns if turn})
        if len(moving) == 1:
            self.counts["rotate"] += 1
            results = [self.foreign.rotate(handle, moving[0])]
        else:
            self.counts["rotate (hoisted)"] += len(moving)
            results = self.foreign.rotate_hoisted(handle, moving) if moving else []
        found = dict(zip(moving, results, strict=True))
        return [found.get(turn, handle) for turn in turns]

    def rescale(self, a: Held, level: int, count: int) -> Held:
        """From a level of the plan down by so many."""
        for limb in reversed(self.divided(level, count)):
            a = Held(self.foreign.rescale(a.handle), a.scale / self.foreign.moduli[limb])
            self.counts["rescale"] += 1
        return a

    def rescale_factor(self, level: int, count: int) -> float:
        """What `rescale` divides by."""
        return math.prod(float(self.foreign.moduli[limb]) for limb in self.divided(level, count))

    def divided(self, level: int, count: int) -> range:
        """The library's limbs that `rescale` takes off."""
        return range(self.limbs_of(level - count), self.limbs_of(level))


def checked(plan: Plan, parameters: Parameters, every_value: bool) -> Plan:
    """The plan, or one whose outputs are the values of all its steps.

    Raises:
        PlanError: it was compiled for other parameters.
    """
    if plan.parameters_digest != parameters.digest:
        raise PlanError(f"the plan was not compiled for parameters '{parameters.name}'")
    return replace(plan, outputs=tuple(plan.values)) if every_value else plan


def rotations(plan: Plan, slots: int) -> list[int]:
    """Every amount by which the runner rotates, in [1, slots): giant steps go all the way at once,
    not by Horner's scheme as in the native backend.
    """
    amounts: set[int] = set()
    for step in plan.steps:
        match step:
            case steps.Rotate() | steps.FoldSum():
                amounts.update(amount % slots for amount in step.amounts)
            case steps.LinearTransform():
                amounts.update(amount % slots for _, amount in (*step.babies, *step.giants))
            case steps.SwitchRing():
                amounts.add(slots // 2)
            case _:
                pass
    return sorted(amounts - {0})


def multiplies(plan: Plan) -> bool:
    return any(isinstance(step, steps.Square | steps.Multiply) for step in plan.steps)
