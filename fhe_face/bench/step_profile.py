"""Measured times of a plan's steps beside the cost model's, so that it can be wrong in public."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from fhe_core.analysis.cost import Machine, StepCost, merged, step_costs
from fhe_core.ciphertext import Ciphertext
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan, required_keys
from fhe_core.runtime import native
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import PackedPlan
from fhe_core.secret.key import SecretKey
from fhe_face.bench.keys import evaluation_keys
from fhe_face.bench.subject import Subject
from fhe_face.plaintexts import plaintexts
from fhe_face.progress import Stage, silent

#: For which numbers of threads the model is asked what a plan would take.
SCALING_THREADS = (1, 2, 8, 32, 96)
#: A step waits for memory if its traffic takes nearly all of its time.
_NEARLY = 0.9


@dataclass(frozen=True)
class MeasuredStep:
    """A row of the profile: what the model counts, and what was measured (medians of the runs).

    Attributes:
        steps: how many steps of the plan the row stands for.
        cpu_seconds: of all threads.
    """

    cost: StepCost
    seconds: float
    cpu_seconds: float
    steps: int = 1

    @property
    def ratio(self) -> float | None:
        """Measured by estimated; None for steps that the model calls free."""
        estimate = self.cost.estimated_seconds
        return self.seconds / estimate if estimate else None

    def to_json(self) -> dict[str, Any]:
        work = self.cost.work
        return {
            "label": self.cost.label,
            "op": self.cost.op,
            "steps": self.steps,
            "level_in": self.cost.level_in,
            "level_out": self.cost.level_out,
            "measured_seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "estimated_seconds": self.cost.estimated_seconds,
            "ratio": self.ratio,
            "key_switches": work.key_switches,
            "inner_products": work.inner_products,
            "ntts": work.ntts,
            "plaintext_products": work.plaintext_products,
            "key_bytes": work.key_bytes,
            "bytes_read": work.bytes_read,
        }


@dataclass(frozen=True)
class Profile:
    """The steps of a plan, in order, and the whole run (medians of the runs)."""

    steps: tuple[MeasuredStep, ...]
    wall_seconds: float
    cpu_seconds: float
    runs: int
    facts: dict[str, Any]

    def merged(self) -> list[MeasuredStep]:
        """Steps in a row with the same label as one, as `fhe-face plan` shows them."""
        return [_merge(list(group)) for _, group in groupby(self.steps, lambda s: s.cost.label)]

    def total(self) -> MeasuredStep:
        """All steps as one."""
        row = _merge(self.steps)
        label = f"total of {row.steps} steps"
        return replace(row, cost=replace(row.cost, label=label, op="total"))

    def to_json(self) -> dict[str, Any]:
        total = self.total()
        return {
            **self.facts,
            "runs": self.runs,
            "wall_seconds": self.wall_seconds,
            "cpu_seconds": self.cpu_seconds,
            "estimated_seconds": total.cost.estimated_seconds,
            "steps": [step.to_json() for step in self.merged()],
            "totals": total.to_json(),
        }


def measure(subject: Subject, threads: int, repeat: int = 1, stage: Stage = silent) -> Profile:
    """One face, with fresh keys; one more run goes first, to warm up."""
    engine = subject.engine
    compiled = engine.compiled
    plan, parameters = compiled.plan, engine.parameters
    key = SecretKey.generate(parameters, threads)
    keys = evaluation_keys(key, required_keys([plan], parameters), stage)
    stage("encoding weights", 0, 0)
    packed = plaintexts(compiled, subject.network).packed
    stage("encoding weights", 1, 1)
    inputs = subject.encrypt(key, compiled, 0)
    evaluator = Evaluator(parameters, keys, threads)
    runs = [
        _run(packed, evaluator, inputs, stage, "warming up" if not number else f"run {number}")
        for number in range(repeat + 1)
    ][1:]
    costs = step_costs(plan, parameters, Machine(threads=threads))
    median = np.median([run.steps for run in runs], axis=0)  # [steps, 2]
    results = runs[-1].outputs
    accuracy = [subject.accuracy(key.decrypt(results[0]), 0)]
    facts = {
        **subject.plan_facts(plan),
        "faces": accuracy,
        "scaling": scaling(plan, parameters),
        "key_memory_bytes": keys.memory_bytes,
        "packed_weight_bytes": packed.memory_bytes,
    }
    return Profile(
        tuple(
            MeasuredStep(cost, float(wall), float(cpu))
            for cost, (wall, cpu) in zip(costs, median, strict=True)
        ),
        statistics.median(run.wall for run in runs),
        statistics.median(run.cpu for run in runs),
        repeat,
        facts,
    )


def scaling(plan: Plan, parameters: Parameters) -> list[dict[str, Any]]:
    """What the cost model says for other numbers of threads that share this machine's memory.

    ``bandwidth_bound_share``: of the estimated time, in steps that would wait for memory; where it
    is near one, more threads help no more.
    """
    found = []
    for threads in SCALING_THREADS:
        machine = Machine(threads=threads)
        costs = step_costs(plan, parameters, machine)
        streaming = [cost.bytes_read / machine.bytes_per_second for cost in costs]
        total = sum(cost.estimated_seconds for cost in costs)
        bound = sum(
            cost.estimated_seconds
            for cost, stream in zip(costs, streaming, strict=True)
            if stream > _NEARLY * cost.estimated_seconds
        )
        found.append(
            {
                "threads": threads,
                "estimated_seconds": total,
                "bandwidth_bound_share": bound / total,
            }
        )
    return found


@dataclass(frozen=True)
class _Run:
    """Seconds and processor seconds of every step, and of all."""

    steps: list[tuple[float, float]]
    wall: float
    cpu: float
    outputs: list[Ciphertext]


def _run(
    packed: PackedPlan,
    evaluator: Evaluator,
    inputs: Sequence[Ciphertext],
    stage: Stage,
    what: str,
) -> _Run:
    steps: list[tuple[float, float]] = []
    total = len(packed.plan.steps)
    wall, cpu = time.perf_counter(), time.process_time()
    before = cpu

    def progress(number: int, _label: str, seconds: float) -> None:
        nonlocal before
        now = time.process_time()
        steps.append((seconds, now - before))
        stage(what, number + 1, total)
        before = time.process_time()

    outputs = native.run(packed, evaluator, inputs, progress)
    return _Run(steps, time.perf_counter() - wall, time.process_time() - cpu, outputs)


def _merge(steps: Sequence[MeasuredStep]) -> MeasuredStep:
    return MeasuredStep(
        merged([step.cost for step in steps]),
        sum(step.seconds for step in steps),
        sum(step.cpu_seconds for step in steps),
        sum(step.steps for step in steps),
    )
