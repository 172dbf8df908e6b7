"""How to compute n faces: one at a time, or in batches. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from fhe_core.errors import Failure
from fhe_face.places import Packing, Run, numbered

#: Time of a run, in times of one face, however full it is: a batch took 65 to 70 s of processor
#: time in a fresh process where a face took 4.7 to 5.1 s (Zen 4); the cost model says 11.
COST: Mapping[Packing, float] = MappingProxyType({Packing.ALONE: 1.0, Packing.BATCH: 13.0})
#: Peak memory of a server that computes so, in bytes (benchmarks/RESULTS.md, rounded up).
MEMORY: Mapping[Packing, int] = MappingProxyType({Packing.ALONE: 7 << 30, Packing.BATCH: 12 << 30})


class PlanningError(Failure, ValueError):
    """Faces that cannot be computed in any allowed way; the text says what would be right."""

    code = "planning"


def plan_runs(
    faces: int,
    packings: Collection[Packing],
    capacity: int,
    memory: int | None = None,
) -> tuple[Run, ...]:
    """The cheapest runs for so many faces.

    packings: what the keys are for; capacity: faces of a batch; memory: of the server, in bytes
    (None: enough). What needs more memory is left out as long as something else is left.

    Raises:
        PlanningError: no face, or keys for nothing.
    """
    if faces < 1:
        raise PlanningError("no face: a bundle holds at least one")
    allowed = [packing for packing in Packing if packing in packings]
    if not allowed:
        raise PlanningError("keys for neither single faces nor batches")
    if memory is not None:
        fitting = [packing for packing in allowed if MEMORY[packing] <= memory]
        allowed = fitting or [min(allowed, key=lambda packing: MEMORY[packing])]
    groups: list[tuple[Packing, int]] = []
    left = faces
    while left and Packing.BATCH in allowed:
        count = min(left, capacity)
        if Packing.ALONE in allowed and COST[Packing.BATCH] >= count * COST[Packing.ALONE]:
            break
        groups.append((Packing.BATCH, count))
        left -= count
    return numbered(groups + [(Packing.ALONE, 1)] * left)


def cost(runs: Collection[Run]) -> float:
    """Time of runs, in times of one face."""
    return sum(COST[run.packing] for run in runs)
