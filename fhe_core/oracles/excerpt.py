"""A stretch of a plan as a plan of its own, on a chain of just the length it needs.

An oracle takes seconds and gigabytes per rotation key at a full chain; a block on its own limbs
only has the same slots, rotations, masks and weights.
"""

from __future__ import annotations

from dataclasses import replace

from fhe_core.parameters import Parameters
from fhe_core.plan import Plan, PlanError, Step, Value, step_reads, step_writes, steps


def excerpt(plan: Plan, prefix: str, parameters: Parameters) -> Plan:
    """The steps whose labels start with ``prefix``; its highest inputs get the top level.

    Scales of inputs and of linear steps stay; those of squares follow from the chain's primes.

    Raises:
        PlanError: no such steps, another sort of step among them, or a chain that is too short.
    """
    chosen = [
        step
        for step, label in zip(plan.steps, plan.labels, strict=True)
        if label.startswith(prefix)
    ]
    written = {name for step in chosen for name in step_writes(step)}
    read = {name for step in chosen for name in step_reads(step)}
    inputs = tuple(name for name in plan.values if name in read - written)
    outputs = tuple(name for name in plan.values if name in written - read)
    if not chosen:
        raise PlanError(f"no step of the plan starts with '{prefix}'")
    shift = max(plan.values[name].level for name in inputs) - parameters.top
    values = {name: _lowered(plan.values[name], shift) for name in inputs}
    moved_steps: list[Step] = []
    for step in chosen:
        moved, results = _moved(step, plan, shift, values, parameters)
        moved_steps.append(moved)
        values |= {value.name: value for value in results}
    return replace(
        plan,
        name=prefix,
        parameters_digest=parameters.digest,
        inputs=inputs,
        outputs=outputs,
        values=values,
        steps=tuple(moved_steps),
        labels=tuple(label for label in plan.labels if label.startswith(prefix)),
        metadata={},
    )


def limbs_needed(plan: Plan, prefix: str) -> int:
    """Limbs of a chain on which the excerpt's results keep two."""
    names = [
        name
        for step, label in zip(plan.steps, plan.labels, strict=True)
        if label.startswith(prefix)
        for name in (*step_reads(step), *step_writes(step))
    ]
    levels = [plan.values[name].level for name in names]
    return max(levels) - min(levels) + 2


def _lowered(value: Value, shift: int) -> Value:
    if value.level < shift:
        raise PlanError(f"the chain is too short for '{value.name}'")
    return replace(value, level=value.level - shift)


def _moved(
    step: Step, plan: Plan, shift: int, values: dict[str, Value], parameters: Parameters
) -> tuple[Step, list[Value]]:
    """A step on the new chain, and the values it writes."""
    results = [_lowered(plan.values[name], shift) for name in step_writes(step)]

    def rescale_factor(level: int, count: int) -> float:
        return parameters.rescale_factor(level, level - count)

    match step:
        case steps.Rotate():
            scale = values[step.source].scale
            return (
                replace(step, level=step.level - shift),
                [replace(value, scale=scale) for value in results],
            )
        case steps.Square():
            source = values[step.source]
            scale = source.scale**2 / rescale_factor(source.level, step.rescale)
            return step, [replace(value, scale=scale) for value in results]
        case steps.LinearTransform():
            level = step.level - shift
            total = results[0].scale * rescale_factor(level, step.rescale) / step.mask_scale
            scales = tuple(total / values[name].scale for name in step.inputs)
            return replace(step, level=level, weight_scales=scales), results
        case _:
            raise PlanError(f"a '{step.op}' step cannot be moved to another chain")
