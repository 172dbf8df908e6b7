"""Times of the primitive operations at two levels, beside a memory copy and, where it can run,
beside OpenFHE."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.parameters import Parameters
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from fhe_face.bench.keys import evaluation_keys
from fhe_face.bench.timing import Job, copying, ratio, side_by_side
from fhe_face.progress import Stage, silent

COPY = "copy of the ciphertext"
LOG_SCALE = 43
ROTATION = 1


@dataclass(frozen=True)
class Operation:
    """One operation at one level.

    Attributes:
        seconds: the median.
        copies: in units of a copy of the ciphertext, timed in the same rounds.
        openfhe_seconds, openfhe_ratio: OpenFHE's time, and in units of ours; None without it.
    """

    name: str
    limbs: int
    seconds: float
    fastest: float
    copies: float
    openfhe_seconds: float | None = None

    @property
    def openfhe_ratio(self) -> float | None:
        """How many times as long as ours OpenFHE takes."""
        return None if self.openfhe_seconds is None else self.openfhe_seconds / self.seconds

    def to_json(self) -> dict[str, Any]:
        return {
            "operation": self.name,
            "limbs": self.limbs,
            "seconds": self.seconds,
            "fastest_seconds": self.fastest,
            "ratio_memcpy": self.copies,
            "openfhe_seconds": self.openfhe_seconds,
            "ratio_openfhe": self.openfhe_ratio,
        }


def default_levels(parameters: Parameters) -> tuple[int, int]:
    """The top, and half way down."""
    return parameters.top, parameters.top // 2


def measure(
    parameters: Parameters,
    levels: Sequence[int],
    threads: int = 1,
    rounds: int = 7,
    openfhe: Mapping[int, Mapping[str, float]] | None = None,
    stage: Stage = silent,
    only: Sequence[str] = (),
) -> list[Operation]:
    """Every operation, or those named, at every level.

    openfhe: its seconds by number of limbs and operation.
    """
    bench = Bench(parameters, levels, threads, stage)
    found = []
    for number, level in enumerate(levels):
        stage("measuring operations", number, len(levels))
        jobs, limbs = bench.jobs(level), parameters.levels[level].limbs
        if only:
            jobs = {name: job for name, job in jobs.items() if name in (COPY, *only)}
        seconds = side_by_side(jobs, rounds)
        theirs = (openfhe or {}).get(limbs, {})
        found += [
            Operation(
                name,
                limbs,
                statistics.median(seconds[name]),
                min(seconds[name]),
                ratio(seconds[name], seconds[COPY]),
                theirs.get(name),
            )
            for name in jobs
        ]
    stage("measuring operations", len(levels), len(levels))
    return found


class Bench:
    """A key pair, a fresh ciphertext, and the operations on it."""

    def __init__(
        self,
        parameters: Parameters,
        levels: Sequence[int],
        threads: int,
        stage: Stage = silent,
    ) -> None:
        self.key = SecretKey.generate(parameters, threads)
        self.keys: EvaluationKeys = evaluation_keys(self.key, _wanted(parameters, levels), stage)
        self.evaluator = Evaluator(parameters, self.keys, threads)
        self.scale = 2.0**LOG_SCALE
        self.slots = np.random.default_rng(0).uniform(-1, 1, parameters.slots)
        self.fresh, _ = self.key.encrypt(self.slots, self.scale)

    def jobs(self, level: int) -> dict[str, Job]:
        """Operations on a ciphertext at that level, by name."""
        evaluator, top = self.evaluator, self.evaluator.parameters.top
        ciphertext = self.fresh.drop_to(level, evaluator.parameters)
        rows = evaluator.rows(level)
        digits = evaluator.decompose(ciphertext.residues[1], level)
        coefficients = np.random.default_rng(1).integers(-(2**20), 2**20, self.slots.size)
        plain = evaluator.context.embed_signed(coefficients, rows)

        def hoisted() -> object:
            switched = evaluator.switch(digits, level, ROTATION, ciphertext.residues[:1])
            return evaluator.mod_down(switched, level)

        def plaintext_product() -> object:
            return [evaluator.context.multiply(p, plain, rows) for p in ciphertext.residues]

        jobs: dict[str, Job] = {
            COPY: copying(ciphertext.residues.nbytes),
            "rotation": partial(evaluator.rotate_many, ciphertext, [ROTATION]),
            "decompose": partial(evaluator.decompose, ciphertext.residues[1], level),
            "hoisted rotation": hoisted,
            "multiply + relinearise": partial(evaluator.multiply, ciphertext, ciphertext, 0),
            "multiply + relinearise + rescale": partial(
                evaluator.multiply, ciphertext, ciphertext, 1
            ),
            "plaintext product": plaintext_product,
            "plaintext to residues": partial(evaluator.context.embed_signed, coefficients, rows),
            "rescale": partial(evaluator.rescale, ciphertext, 1),
            "decrypt": partial(self.key.decrypt, ciphertext),
        }
        if level == top:  # fresh ciphertexts are at the top
            jobs["encrypt"] = partial(self.key.encrypt, self.slots, self.scale)
        return jobs


def _wanted(parameters: Parameters, levels: Sequence[int]) -> list[KeySpecification]:
    """Keys for one rotation and for products, at every level."""
    found: dict[KeyName, set[int]] = {}
    for level in levels:
        for rotation in (0, ROTATION):
            found.setdefault(KeyName(rotation, parameters.levels[level].tier), set()).add(level)
    return [KeySpecification(name, tuple(sorted(own))) for name, own in found.items()]
