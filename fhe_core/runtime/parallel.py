"""Runs the independent steps of a plan side by side, one thread for each step.

A worker has an evaluator of one thread, with a context of its own; keys, plaintexts and ciphertexts
are shared, and nothing that is shared is ever changed. A step's result depends on what it reads
only, so that the results are those of native.run, bit for bit, however the steps are spread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from heapq import heapify, heappop, heappush
from queue import SimpleQueue

from fhe_core.ciphertext import Ciphertext
from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.plan import PlanError, Progress, step_reads, step_writes
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.native import apply_step, check_value
from fhe_core.runtime.packed import PackedPlan


def run(
    packed: PackedPlan,
    keys: EvaluationKeys,
    inputs: Sequence[Ciphertext],
    threads: int,
    progress: Progress | None = None,
) -> list[Ciphertext]:
    """Outputs of the plan, from ``threads`` steps at a time.

    Of the steps that could run, the earliest in the plan goes first, so that few values wait.
    ``progress`` is called in this thread, in the order in which steps end.

    Raises:
        ValueError: fewer than one thread.
        PlanError: an input does not have the level and scale that the plan says.
        MissingKeyError: an evaluation key is missing.
    """
    if threads < 1:
        raise ValueError(f"{threads} threads; there must be at least one")
    return _Run(packed, keys, inputs, threads, progress).outputs()


class _Run:
    """The state of one run; only the calling thread changes it."""

    def __init__(
        self,
        packed: PackedPlan,
        keys: EvaluationKeys,
        inputs: Sequence[Ciphertext],
        threads: int,
        progress: Progress | None,
    ) -> None:
        self.packed, self.plan = packed, packed.plan
        self.threads, self.progress = threads, progress
        if len(inputs) != len(self.plan.inputs):
            raise PlanError(f"the plan takes {len(self.plan.inputs)} ciphertexts")
        self.values: dict[str, Ciphertext] = {}
        for name, ciphertext in zip(self.plan.inputs, inputs, strict=True):
            self.store(name, ciphertext)
        reads = [set(step_reads(step)) for step in self.plan.steps]
        self.missing = [len(names - self.values.keys()) for names in reads]
        self.readers: dict[str, list[int]] = {}
        for number, names in enumerate(reads):
            for name in names:
                self.readers.setdefault(name, []).append(number)
        self.remaining = {name: len(numbers) for name, numbers in self.readers.items()}
        self.ready = [number for number, count in enumerate(self.missing) if not count]
        heapify(self.ready)
        self.evaluators: SimpleQueue[Evaluator] = SimpleQueue()
        for _ in range(threads):
            self.evaluators.put(Evaluator(keys.parameters, keys, 1))

    def outputs(self) -> list[Ciphertext]:
        running: dict[Future[tuple[list[Ciphertext], float]], int] = {}
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="plan")
        try:
            while self.ready or running:
                while self.ready and len(running) < self.threads:
                    number = heappop(self.ready)
                    running[pool.submit(self.work, number, self.operands(number))] = number
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    self.finish(running.pop(future), *future.result())
        finally:  # after an error or interruption, steps that run can only be awaited
            pool.shutdown(wait=True, cancel_futures=True)
        return [self.values[name] for name in self.plan.outputs]

    def operands(self, number: int) -> dict[str, Ciphertext]:
        return {name: self.values[name] for name in step_reads(self.plan.steps[number])}

    def work(self, number: int, values: dict[str, Ciphertext]) -> tuple[list[Ciphertext], float]:
        """In a thread of the pool: one step, and the seconds that it took."""
        evaluator = self.evaluators.get()
        started = time.perf_counter()
        try:
            results = apply_step(self.packed, evaluator, number, self.plan.steps[number], values)
        finally:
            self.evaluators.put(evaluator)
        return results, time.perf_counter() - started

    def finish(self, number: int, results: list[Ciphertext], seconds: float) -> None:
        """Store what a step wrote, forget what nobody will read again, find what can run now."""
        step = self.plan.steps[number]
        for name, result in zip(step_writes(step), results, strict=True):
            self.store(name, result)
            for reader in self.readers.get(name, ()):
                self.missing[reader] -= 1
                if not self.missing[reader]:
                    heappush(self.ready, reader)
        for name in set(step_reads(step)):
            self.remaining[name] -= 1
            if not self.remaining[name] and name not in self.plan.outputs:
                del self.values[name]
        if self.progress is not None:
            self.progress(number, self.plan.labels[number], seconds)

    def store(self, name: str, ciphertext: Ciphertext) -> None:
        value = self.plan.values[name]
        check_value(value, ciphertext)
        self.values[name] = ciphertext
