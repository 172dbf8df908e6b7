"""Runs of a plan with every step's results in the clear: really encrypted, or simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core.analysis.precision import ErrorModel, StepPrecision, noise_of
from fhe_core.ciphertext import Ciphertext
from fhe_core.compiler import CompiledBatch
from fhe_core.parameters import Parameters
from fhe_core.plan import Observer, Plan, Step, required_keys, step_writes
from fhe_core.runtime import cleartext, native
from fhe_core.runtime.cleartext import Tables
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.sums import Slots
from fhe_core.secret.key import SecretKey
from fhe_face.bench.keys import evaluation_keys
from fhe_face.engine import Engine
from fhe_face.models.layers import FusedNetwork
from fhe_face.plaintexts import Plaintexts, plaintexts
from fhe_face.progress import Stage, silent

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Work:
    """A plan with its weights, and inputs for as many runs as wanted.

    Attributes:
        plaintexts: the same weights as servers have them, and means on calibration images.
        inputs: of each run, the slots of the plan's inputs.
        names: of each run, what is in it.
    """

    plan: Plan
    parameters: Parameters
    tables: Tables
    plaintexts: Plaintexts
    inputs: Sequence[Sequence[Slots]]
    names: Sequence[str]


#: Runs the inputs of one run, whose predicted errors are given, and shows each step's results.
Backend = Callable[[Sequence[Slots], Sequence[StepPrecision], Observer[Slots]], None]


def work_of(engine: Engine, network: FusedNetwork, images: Array, names: Sequence[str]) -> Work:
    """As many runs as the images (count, channels, size, size) need.

    One image at a time (and its mirror image, where the circuit averages both), or a batch where
    the circuit is for batches; room that is left in a batch is filled with its images again.
    """
    compiled = engine.of(engine.packings[0])
    size = compiled.capacity if isinstance(compiled, CompiledBatch) else 1
    inputs, labels = [], []
    for first in range(0, len(images), size):
        group = images[first : first + size]
        labels.append(names[first] if size == 1 else f"batch {first // size + 1}")
        if isinstance(compiled, CompiledBatch):
            inputs.append(list(compiled.pack_images(group)))
        else:
            (image,) = group
            views = [image, image[..., ::-1]][: compiled.views]
            inputs.append(list(compiled.pack_image(np.stack(views))))
    tables, encoded = compiled.tables(network), plaintexts(compiled, network)
    return Work(compiled.plan, engine.parameters, tables, encoded, inputs, labels)


def encrypted(work: Work, threads: int, stage: Stage = silent) -> Backend:
    """Under a fresh key that nothing else has: results are decrypted step by step, then dropped."""
    plan, parameters = work.plan, work.parameters
    key = SecretKey.generate(parameters, threads)
    keys = evaluation_keys(key, required_keys([plan], parameters), stage)
    evaluator = Evaluator(parameters, keys, threads)

    def run(
        inputs: Sequence[Slots], _rows: Sequence[StepPrecision], observe: Observer[Slots]
    ) -> None:
        def decrypted(number: int, step: Step, values: Mapping[str, Ciphertext]) -> None:
            own = {name: values[name] for name in step_writes(step)}
            observe(number, step, {n: key.at(c.level).decrypt(c) for n, c in own.items()})

        fresh = [
            evaluator.drop_to(key.encrypt(row, value.scale)[0], value.level)
            for row, value in zip(inputs, (plan.values[n] for n in plan.inputs), strict=True)
        ]
        native.run(work.plaintexts.packed, evaluator, fresh, observe=decrypted)

    return run


def simulated(work: Work, seed: int = 0) -> Backend:
    """In the clear, with the noise that the model says each step adds. No keys."""
    plan, model = work.plan, ErrorModel(work.parameters)
    generator = np.random.default_rng(seed)

    def noise(row: Slots, scale: float) -> Slots:
        deviation = np.sqrt(model.fresh(scale))
        return row + generator.normal(0.0, deviation, row.shape)

    def run(
        inputs: Sequence[Slots], rows: Sequence[StepPrecision], observe: Observer[Slots]
    ) -> None:
        fresh = [
            noise(row, plan.values[name].scale)
            for row, name in zip(inputs, plan.inputs, strict=True)
        ]
        own = int(generator.integers(2**32))
        cleartext.run(plan, work.tables, fresh, noise=noise_of(rows), observe=observe, seed=own)

    return run
