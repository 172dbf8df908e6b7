"""How much room results have, and what that says of a squared norm that wrapped around."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.divergence.statistics import log2_within
from fhe_core.analysis.precision import ErrorModel
from fhe_core.plan import Plan, PlanError, steps
from fhe_face.circuit import Circuit, normalisation_of
from fhe_face.client.health import SPREAD_SHARE
from fhe_face.engine import DEFAULT_PACKINGS, Engine, compile_engine
from fhe_face.places import Packing


@dataclass(frozen=True)
class Room:
    """Of one result: log2 of Q / scale, the distance between values that cannot be told apart."""

    circuit: str
    plan: str
    result: str
    limbs: int
    log_scale: float
    log_distance: float


@dataclass(frozen=True)
class Constant:
    """A squared norm near Q / scale: it wraps around by the same amount in every slot.

    landing: log2 of the share of values that lie in the interval after it. deviation: of a slot
    from the mean, from the last rescale of the embedding alone. spread: log2 of the probability
    that no slot is further than the check allows, for the largest value of the interval.
    """

    circuit: str
    plan: str
    landing: float
    deviation: float
    spread: float


def engines() -> Iterator[tuple[str, Engine]]:
    """The circuits of faces of 64 pixels with the default normalisation, by name."""
    batch = (Packing.BATCH,)
    kinds = (("", 1, DEFAULT_PACKINGS), (" flip", 2, DEFAULT_PACKINGS), (" batch", 1, batch))
    for preset in ("lean", "safe"):
        for label, views, packings in kinds:
            engine = compile_engine(Circuit(preset, normalisation_of(None), views=views), packings)
            try:
                engine.plans()
            except PlanError:
                continue
            yield preset + label, engine


def rooms(name: str, engine: Engine) -> list[Room]:
    """All results of the engine's plans."""
    found = []
    for plan in engine.plans():
        for output in plan.outputs:
            value = plan.values[output]
            log_q = engine.parameters.log2_modulus(value.level)
            log_scale = math.log2(value.scale)
            found.append(
                Room(
                    name,
                    plan.name,
                    output,
                    engine.parameters.levels[value.level].limbs,
                    log_scale,
                    log_q - log_scale,
                )
            )
    return found


def constant(name: str, engine: Engine, plan: Plan) -> Constant:
    """Of an embedding plan."""
    low, high = engine.circuit.normalisation.interval
    distance = 2.0 ** next(
        r.log_distance
        for r in rooms(name, engine)
        if r.plan == plan.name and r.result == plan.outputs[1]
    )
    squares = [s for s in plan.steps if isinstance(s, steps.Square) and "embedding" in s.output]
    value = plan.values[squares[0].source]
    slots = engine.parameters.slots_at(value.level)  # results repeat them
    noise = math.sqrt(ErrorModel(engine.parameters).rounding(value.level, value.scale))
    # A sum of 2 e_i n_i over a period has the deviation 2 |e| n, and |e|^2 is the distance.
    deviation = 2 * math.sqrt(distance) * noise
    windows = slots // int(plan.metadata["period"]) - 1
    return Constant(
        name,
        plan.name,
        math.log2((high - low) / distance),
        deviation,
        windows * log2_within(SPREAD_SHARE * high, deviation),
    )
