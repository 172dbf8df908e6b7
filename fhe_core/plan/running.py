"""The one loop that runs a plan, step by step, on whatever backend can do its steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from fhe_core.plan.errors import PlanError
from fhe_core.plan.plan import Plan, last_reads
from fhe_core.plan.steps import Step, step_writes

#: What a backend computes with: slots in the clear, a ciphertext, a handle of a foreign library.
V = TypeVar("V")

#: Called after every step with its number, its label and the seconds it took.
Progress = Callable[[int, str, float], None]
#: Called after every step with its number, the step, and all values that something still reads.
Observer = Callable[[int, Step, Mapping[str, V]], None]


class Backend(Protocol[V]):
    """Something that a plan can be run on."""

    def check(self, name: str, value: V) -> None:
        """Refuse an input or a result that is not what the plan says of that name."""

    def apply(self, number: int, step: Step, values: Mapping[str, V]) -> Sequence[V]:
        """What a step writes, in the order of its outputs, from the values that it reads."""


def run(
    plan: Plan,
    backend: Backend[V],
    inputs: Sequence[V],
    progress: Progress | None = None,
    observe: Observer[V] | None = None,
) -> list[V]:
    """Outputs of the plan, in its order; values that no later step reads are forgotten.

    Raises:
        PlanError: the number of inputs is wrong, or what the backend refuses.
    """
    if len(inputs) != len(plan.inputs):
        raise PlanError(f"the plan takes {len(plan.inputs)} inputs, got {len(inputs)}")
    values: dict[str, V] = {}
    for name, value in zip(plan.inputs, inputs, strict=True):
        backend.check(name, value)
        values[name] = value
    for number, (step, dead) in enumerate(zip(plan.steps, last_reads(plan), strict=True)):
        started = time.perf_counter()
        results = backend.apply(number, step, values)
        for name, result in zip(step_writes(step), results, strict=True):
            backend.check(name, result)
            values[name] = result
        elapsed = time.perf_counter() - started
        if observe is not None:
            observe(number, step, values)
        for name in dead:
            del values[name]
        if progress is not None:
            progress(number, plan.labels[number], elapsed)
    return [values[name] for name in plan.outputs]
