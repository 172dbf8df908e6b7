"""Which evaluation keys plans need: the client makes these, and a server asks for no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fhe_core.parameters import Parameters
from fhe_core.plan.errors import PlanError
from fhe_core.plan.plan import Plan, Value
from fhe_core.plan.steps import (
    LiftRing,
    LinearTransform,
    Multiply,
    Rotate,
    Square,
    Step,
    SwitchRing,
    step_rotations,
)


@dataclass(frozen=True)
class KeyName:
    """One evaluation key: a rotation amount and the tier it serves.

    0 stands for relinearisation; ``Parameters.ring_switch`` and ``ring_lift`` say what stands for
    the keys that lead to a ring of half or twice the degree.
    """

    rotation: int
    tier: int


@dataclass(frozen=True)
class KeySpecification:
    """A key with the levels that it serves, ascending: it has their primes and no others."""

    name: KeyName
    levels: tuple[int, ...]

    def rows(self, parameters: Parameters) -> tuple[int, ...]:
        """Of every digit: the primes of all its levels, then the tier's special primes."""
        return parameters.key_rows(self.name.tier, self.levels)

    def serves(self, other: KeySpecification) -> bool:
        """Whether it can be used wherever the other one can."""
        return self.name == other.name and set(self.levels) >= set(other.levels)

    def shape(self, parameters: Parameters) -> tuple[int, int, int]:
        """(digits, rows, ring dimension) of each half of the key."""
        digits = max(parameters.digits(level) for level in self.levels)
        ring_dimension = parameters.levels[self.levels[0]].ring_dimension
        return digits, len(self.rows(parameters)), ring_dimension


def step_level(step: Step, values: Mapping[str, Value]) -> int:
    """The level at which the step's key switching happens."""
    match step:
        case LinearTransform() | Multiply() | Rotate():
            return step.level
        case SwitchRing() | LiftRing():
            return values[step.output].level
        case _:
            return values[step.source].level


def step_keys(step: Step, values: Mapping[str, Value], parameters: Parameters) -> Iterator[KeyName]:
    """Evaluation keys a step needs, with repetitions (one per key switch or inner product).

    Raises:
        PlanError: the parameters have no such level.
    """
    level = step_level(step, values)
    if not 0 <= level <= parameters.top:
        raise PlanError(f"a step at level {level}, but the highest level is {parameters.top}")
    tier, slots = parameters.levels[level].tier, parameters.slots_at(level)
    for amount in step_rotations(step):
        if amount % slots:
            yield KeyName(amount % slots, tier)
    if isinstance(step, SwitchRing):
        yield from (KeyName(half, tier) for half in parameters.ring_switch(level))
    if isinstance(step, LiftRing):
        yield KeyName(parameters.ring_lift(level), tier)
    if isinstance(step, Square | Multiply):
        yield KeyName(0, tier)


def required_keys(plans: Iterable[Plan], parameters: Parameters) -> list[KeySpecification]:
    """Every evaluation key the plans need, with the levels it is used at, sorted.

    Raises:
        PlanError: a step switches keys where the parameters have none, or rings that they lack.
    """
    levels: dict[KeyName, set[int]] = {}
    for plan in plans:
        for step in plan.steps:
            level = step_level(step, plan.values)
            for name in step_keys(step, plan.values, parameters):
                if not name.rotation < parameters.rotations_at(level):
                    raise PlanError(f"there is no key for a step at level {level}")
                levels.setdefault(name, set()).add(level)
    ordered = sorted(levels, key=lambda name: (name.tier, name.rotation))
    return [KeySpecification(name, tuple(sorted(levels[name]))) for name in ordered]
