"""Runs of a plan with every step's results in the clear: really encrypted, or simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.analysis.precision import ErrorModel, StepPrecision, noise_of
from fhe_core.ciphertext import Ciphertext
from fhe_core.compiler import CompiledBatch, CompiledNetwork
from fhe_core.parameters import Parameters
from fhe_core.plan import Observer, Plan, PlanError, Step, required_keys, step_writes
from fhe_core.runtime import cleartext, native
from fhe_core.runtime.cleartext import Slots, Tables
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from fhe_face.bench.keys import evaluation_keys
from fhe_face.engine import Engine
from fhe_face.models.layers import FusedNetwork
from fhe_face.places import Packing
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


def work_of(
    engine: Engine, network: FusedNetwork, images: Array, names: Sequence[str], pair: bool = False
) -> Work:
    """As many runs as the images (count, channels, size, size) need.

    One image at a time (and its mirror image, where the circuit averages both); two of them with
    ``pair``; a batch where the circuit is for batches. Room that is left in the last run is filled
    with the first images again.

    Raises:
        PlanError: the circuit has no room for two faces.
    """
    compiled = _compiled(engine, pair)
    size = compiled.capacity if isinstance(compiled, CompiledBatch) else 2 if pair else 1
    inputs, labels = [], []
    for first in range(0, len(images), size):
        group = images[first : first + size]
        labels.append(_label(names, first, size))
        if isinstance(compiled, CompiledBatch):
            inputs.append(list(compiled.pack_images(group)))
        elif pair:
            both = (group[0], group[-1] if len(group) > 1 else images[0])
            inputs.append([row for one in both for row in engine.compiled.pack_image(one)])
        else:
            image = group[0]
            views = compiled.parts.views
            mirrored = np.stack([image, image[..., ::-1]]) if views > 1 else image
            inputs.append(list(compiled.pack_image(mirrored)))
    tables, encoded = compiled.tables(network), plaintexts(compiled, network)
    return Work(compiled.plan, engine.parameters, tables, encoded, inputs, labels)


def _label(names: Sequence[str], first: int, size: int) -> str:
    if size > 2:
        return f"batch {first // size + 1}"
    return " and ".join(names[first : first + size])


def _compiled(engine: Engine, pair: bool) -> CompiledNetwork | CompiledBatch:
    if not pair:
        return engine.of(engine.packings[0])
    if Packing.PAIR not in engine.packings:
        raise PlanError("this circuit has no room for two faces")
    return engine.pair


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
            observe(number, step, {n: key.decrypt(values[n]) for n in step_writes(step)})

        fresh = [
            key.encrypt(row, value.scale)[0].drop_to(value.limbs)
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
        error: NDArray[Any] = generator.normal(0.0, deviation, row.shape)
        if np.iscomplexobj(row):
            error = error + 1j * generator.normal(0.0, deviation, row.shape)
        disturbed: Slots = row + error
        return disturbed

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
