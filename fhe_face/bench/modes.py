"""The same face, three ways: patches one after another, on threads, and side by side in slots."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.ciphertext import Ciphertext
from fhe_core.compiler import CompiledNetwork, compile_network
from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.plan import Progress, required_keys
from fhe_core.runtime import native, parallel
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import PackedPlan
from fhe_core.secret.key import SecretKey
from fhe_face.bench.keys import evaluation_keys
from fhe_face.bench.subject import Subject
from fhe_face.plaintexts import plaintexts
from fhe_face.progress import Stage, silent

SEQUENTIAL, PARALLEL, PACKED = "sequential", "parallel", "packed"
Runner = Callable[[Progress], list[Ciphertext]]


@dataclass(frozen=True, eq=False)
class Mode:
    """One way to compute one embedding.

    Attributes:
        seconds: every run.
        speedup: how many times as fast as ``sequential``.
        embedding: decrypted.
        ciphertext: residues of the result, to compare bit for bit.
    """

    mode: str
    threads: int
    seconds: list[float]
    speedup: float
    embedding: NDArray[np.float64]
    ciphertext: NDArray[np.uint64]
    accuracy: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "mode": self.mode,
            "threads": self.threads,
            "seconds": statistics.median(self.seconds),
            "runs": self.seconds,
            "speedup": self.speedup,
            **self.accuracy,
        }


def measure(
    subject: Subject, threads: int = 2, repeat: int = 1, stage: Stage = silent
) -> list[Mode]:
    """Sequential, parallel, packed on one thread, packed on ``threads``: in this order.

    Plans with different lanes need different keys. They are made one after the other and freed in
    between, so that the memory of one set is enough. Sequential and parallel share keys and input.
    """
    alone = compile_with(subject, 1)
    found = _measure_plan(subject, alone, True, threads, repeat, stage)
    found += _measure_plan(subject, subject.engine.compiled, False, threads, repeat, stage)
    first = statistics.median(found[0].seconds)
    return [replace(mode, speedup=first / statistics.median(mode.seconds)) for mode in found]


def _measure_plan(
    subject: Subject,
    compiled: CompiledNetwork,
    alone: bool,
    threads: int,
    repeat: int,
    stage: Stage,
) -> list[Mode]:
    """The modes of one plan. Its keys are gone when this returns."""
    found = []
    for name, count, key, runner in ways(subject, compiled, alone, threads, stage):
        seconds: list[float] = []
        for number in range(repeat):
            what = f"{name}, threads: {count}" + (f", run {number + 1}" if repeat > 1 else "")
            progress = _Counter(stage, what, len(compiled.plan.steps))
            started = time.perf_counter()
            outputs = runner(progress)
            seconds.append(time.perf_counter() - started)
        embedding = np.real(key.decrypt(outputs[0]))
        accuracy = subject.accuracy(embedding, 0)
        embedding = embedding[: subject.network.embedding]
        # A copy: the result itself would keep the evaluator's idle buffers alive.
        residues = np.array(outputs[0].residues)
        found.append(Mode(name, count, seconds, 1.0, embedding, residues, accuracy))
    return found


def compile_with(subject: Subject, lanes: int) -> CompiledNetwork:
    """The plan with another number of patches in one ciphertext."""
    engine = subject.engine
    return compile_network(
        engine.compiled.architecture,
        engine.parameters,
        engine.policy,
        engine.circuit.normalisation,
        lanes=lanes,
    )


def ways(
    subject: Subject, compiled: CompiledNetwork, alone: bool, threads: int, stage: Stage
) -> Iterator[tuple[str, int, SecretKey, Runner]]:
    """Modes that share a plan: name, threads, the key that decrypts, and what runs it.

    Keys live as long as the iterator.
    """
    parameters = subject.engine.parameters
    key = SecretKey.generate(parameters, threads)
    keys = evaluation_keys(key, required_keys([compiled.plan], parameters), stage)
    packed = plaintexts(compiled, subject.network).packed
    inputs = subject.encrypt(key, compiled, 0)
    yield (SEQUENTIAL if alone else PACKED), 1, key, _native(packed, keys, inputs, 1)
    if alone:
        yield (
            PARALLEL,
            threads,
            key,
            lambda progress: parallel.run(packed, keys, inputs, threads, progress),
        )
    elif threads > 1:
        yield PACKED, threads, key, _native(packed, keys, inputs, threads)


def _native(
    packed: PackedPlan, keys: EvaluationKeys, inputs: list[Ciphertext], threads: int
) -> Runner:
    evaluator = Evaluator(keys.parameters, keys, threads)
    return lambda progress: native.run(packed, evaluator, inputs, progress)


class _Counter:
    """Progress that counts steps: threads end them in any order."""

    def __init__(self, stage: Stage, what: str, total: int) -> None:
        self.stage, self.what, self.total, self.done = stage, what, total, 0

    def __call__(self, _number: int, _label: str, _seconds: float) -> None:
        self.done += 1
        self.stage(self.what, self.done, self.total)


def agreement(found: Sequence[Mode]) -> dict[str, Any]:
    """Whether the modes gave the same answer.

    Sequential and parallel run the same plan on the same input, so that even the ciphertexts are
    equal; packed has a plan, a key and an input of its own, and agrees up to its noise.
    """
    first = found[0]
    return {
        "sequential_is_parallel": all(
            np.array_equal(mode.ciphertext, first.ciphertext)
            for mode in found
            if mode.mode in (SEQUENTIAL, PARALLEL)
        ),
        "largest_difference": max(
            float(np.max(np.abs(mode.embedding - first.embedding))) for mode in found
        ),
    }
