"""A plan: a flat list of typed steps with exact levels and scales.

It is all that compiler and runtime share. A plan holds structure only (rotations, masks, where each
weight goes), never the values of weights: a client needs it to know which keys to make, and every
model of the same architecture shares it. Values are in static single assignment: a step names the
ciphertexts it reads and writes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from fhe_core.plan.errors import PlanError
from fhe_core.plan.steps import LinearTransform, Step, step_reads, step_writes


@dataclass(frozen=True)
class Value:
    """A ciphertext during the run: its level (of ``Parameters.levels``) and exact scale."""

    name: str
    level: int
    scale: float


@dataclass(frozen=True)
class Plan:
    """Steps with everything needed to check and run them.

    Attributes:
        name: what the plan computes.
        parameters_digest: the parameter set it was compiled for.
        inputs, outputs: names of ciphertexts that come in and go out, in order.
        values: every ciphertext by name, with level and scale.
        masks: slot patterns, each a tuple of (start, stop) runs of slots that are one.
        steps: in execution order.
        labels: one human-readable label per step.
        metadata: layouts and other facts that client and server must agree on; JSON-ready.
    """

    name: str
    parameters_digest: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[str, Value]
    masks: tuple[tuple[tuple[int, int], ...], ...]
    steps: tuple[Step, ...]
    labels: tuple[str, ...]
    metadata: Mapping[str, Any]

    def to_json(self) -> str:
        """Canonical text; scales as exact hexadecimal floats."""
        document = {
            "name": self.name,
            "parameters": self.parameters_digest,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "values": [[v.name, v.level, v.scale.hex()] for v in self.values.values()],
            "masks": self.masks,
            "steps": [_step_to_json(step) for step in self.steps],
            "labels": self.labels,
            "metadata": self.metadata,
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of the canonical text; of a plan for batches it takes 40 ms, once."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def check_order(plan: Plan) -> None:
    """Every step reads what was written before, writes something new, and rotates by something.

    Raises:
        PlanError: one does not.
    """
    known = set(plan.inputs)
    if not known <= plan.values.keys():
        raise PlanError("an input has no value")
    for step in plan.steps:
        if not known.issuperset(step_reads(step)):
            raise PlanError(f"a '{step.op}' step reads a ciphertext that is not there yet")
        written = set(step_writes(step))
        if known & written or not written <= plan.values.keys():
            raise PlanError(f"a '{step.op}' step writes a ciphertext twice, or one without a value")
        if isinstance(step, LinearTransform) and len(step.giants) != len(set(step.giants)):
            raise PlanError("two sums of one output have no rotation between them")
        known |= written
    if not known.issuperset(plan.outputs):
        raise PlanError("an output is never written")


def last_reads(plan: Plan) -> list[tuple[str, ...]]:
    """For each step, the values that no later step reads and that are not outputs."""
    remaining: dict[str, int] = {}
    for i, step in enumerate(plan.steps):
        for name in step_reads(step):
            remaining[name] = i
    dead: list[list[str]] = [[] for _ in plan.steps]
    for name, i in remaining.items():
        if name not in plan.outputs:
            dead[i].append(name)
    return [tuple(names) for names in dead]


def _step_to_json(step: Step) -> dict[str, Any]:
    document: dict[str, Any] = {"op": step.op}
    for item in fields(step):
        value = getattr(step, item.name)
        if isinstance(value, float):
            value = value.hex()
        elif item.name.endswith("scales"):
            value = [scale.hex() for scale in value]
        document[item.name] = value
    return document
