"""Which evaluation keys plans need: the client makes these, and a server asks for no other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from fhe_core.parameters import Parameters
from fhe_core.plan.plan import Plan, Value
from fhe_core.plan.steps import LinearTransform, Multiply, Rotate, Square, Step, step_rotations


@dataclass(frozen=True)
class KeyName:
    """One evaluation key: a rotation amount (0: relinearisation) and the tier it serves."""

    rotation: int
    tier: int


@dataclass(frozen=True)
class KeySpecification:
    """A key with the number of limbs it must cover, which decides its size."""

    name: KeyName
    limbs: int

    def shape(self, parameters: Parameters) -> tuple[int, int, int]:
        """(digits, limbs + specials, ring dimension) of each half of the key."""
        tier = parameters.tiers[self.name.tier]
        return (
            tier.digits(self.limbs),
            self.limbs + tier.special_limbs,
            parameters.ring_dimension,
        )


def step_limbs(step: Step, values: Mapping[str, Value]) -> int:
    """Limbs at which the step's key switching happens."""
    match step:
        case LinearTransform() | Multiply() | Rotate():
            return step.limbs
        case _:
            return values[step.source].limbs


def step_keys(step: Step, values: Mapping[str, Value], parameters: Parameters) -> Iterator[KeyName]:
    """Evaluation keys a step needs, with repetitions (one per key switch or inner product)."""
    tier = parameters.tier_index(step_limbs(step, values))
    for amount in step_rotations(step):
        if amount % parameters.slots:
            yield KeyName(amount % parameters.slots, tier)
    if isinstance(step, Square | Multiply):
        yield KeyName(0, tier)


def required_keys(plans: Iterable[Plan], parameters: Parameters) -> list[KeySpecification]:
    """Every evaluation key the plans need, with the most limbs it is used at, sorted."""
    limbs: dict[KeyName, int] = {}
    for plan in plans:
        for step in plan.steps:
            count = step_limbs(step, plan.values)
            for name in step_keys(step, plan.values, parameters):
                limbs[name] = max(count, limbs.get(name, 0))
    ordered = sorted(limbs, key=lambda name: (name.tier, name.rotation))
    return [KeySpecification(name, limbs[name]) for name in ordered]
