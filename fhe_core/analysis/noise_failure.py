"""How far every value of a plan stays from its modulus, and how likely noise carries it across.

A coefficient of scale * message + noise must stay below half the modulus. It is a mean of the
slots times roots of unity, so it is never larger than the largest slot. The noise of a slot is
taken as Gaussian with the deviation that ``fhe_core.analysis.precision`` predicts; as that is an
average over slots, all of it is assumed to lie in the worst one. A network that diverges on a face
is another matter: then the *message* leaves the modulus (``fhe_face.client.health``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fhe_core.analysis.precision import StepPrecision
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan, step_writes


@dataclass(frozen=True)
class Headroom:
    """``bits``: log2 of half the modulus over the largest message; ``log2_failure``: of the
    probability that any coefficient leaves the modulus through noise.
    """

    label: str
    bits: float
    log2_failure: float


def log2_erfc(x: float) -> float:
    """log2 of erfc(x), at most 1; beyond the range of floats by its upper bound exp(-x^2)."""
    if x < 20:
        return math.log2(math.erfc(x))
    return -(x**2) / math.log(2)


def headroom_of(
    label: str, log2_modulus: float, scale: float, magnitude: float, deviation: float, slots: int
) -> Headroom:
    """For one value.

    magnitude: largest absolute slot; deviation: of a slot's noise, as the root of its mean square
    over all slots.
    """
    log2_half = log2_modulus - 1 - math.log2(scale)  # in units of slots
    half = 2.0 ** min(log2_half, 400.0)  # a float, and so is its square
    bits = log2_half - math.log2(magnitude) if magnitude > 0 else math.inf
    if half <= magnitude:
        return Headroom(label, bits, 0.0)
    worst = deviation * math.sqrt(slots)
    if worst == 0:
        return Headroom(label, bits, -math.inf)
    tail = log2_erfc((half - magnitude) / (math.sqrt(2) * worst))
    return Headroom(label, bits, min(0.0, math.log2(slots) + tail))


def headrooms(
    plan: Plan, rows: Sequence[StepPrecision], parameters: Parameters, inherited: float = 0.0
) -> list[Headroom]:
    """One for each step, the tightest of its results; rows: the prediction for this plan.

    inherited: deviation of the noise that the plan's inputs bring beyond fresh encryptions, as it
    arrives in every result.
    """
    found = []
    for label, step, row in zip(plan.labels, plan.steps, rows, strict=True):
        deviation = math.hypot(row.predicted_std, inherited)
        results = []
        for name in step_writes(step):
            value = plan.values[name]
            log2_modulus = parameters.log2_modulus(value.level)
            results.append(
                headroom_of(
                    label,
                    log2_modulus,
                    value.scale,
                    row.magnitude,
                    deviation,
                    parameters.slots_at(value.level),
                )
            )
        found.append(min(results, key=lambda h: (h.bits, h.log2_failure)))
    return found
