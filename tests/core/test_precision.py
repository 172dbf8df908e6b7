"""The precision model against errors measured by decrypting every step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fhe_core import encoding
from fhe_core.analysis.precision import (
    ErrorModel,
    StepPrecision,
    noise_of,
    predict,
    rounded_terms,
    statistics,
)
from fhe_core.parameters import Parameters, presets
from fhe_core.plan import PlanError, step_writes
from fhe_core.runtime import cleartext, native
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import pack
from tests.core import tiny
from tests.oracles import primitives

IMAGES = 4


def errors_of_every_step(world: tiny.World, image: tiny.Array) -> list[tiny.Array]:
    """Real slot errors of every step's results, found by decrypting them all."""
    plan = world.compiled.plan
    slots = world.compiled.pack_image(image)
    clear: dict[str, tiny.Array] = {}

    def observe(_number: int, _step: object, values: object) -> None:
        assert isinstance(values, dict)
        clear.update(values)

    cleartext.run(plan, world.tables, list(slots), observe=observe)
    names = [name for name in plan.values if name not in plan.inputs]
    whole = replace(plan, outputs=tuple(names))  # an output is not forgotten
    ciphertexts = native.run(
        pack(whole, world.tables, world.parameters),
        Evaluator(world.parameters, world.keys, 1),
        tiny.encrypt_inputs(world.key, plan, slots),
    )
    results = dict(zip(names, ciphertexts, strict=True))
    return [
        np.stack([world.key.decrypt(results[n]) - clear[n] for n in step_writes(step)])
        for step in plan.steps
    ]


def predictions(world: tiny.World, image: tiny.Array) -> list[StepPrecision]:
    slots = list(world.compiled.pack_image(image))
    return predict(world.compiled.plan, world.tables, world.parameters, slots)


def test_predictions_are_within_a_factor_of_four(world: tiny.World) -> None:
    """Root mean squares over several images: a squared norm has one error for all its slots."""
    images = tiny.images_for(world.network, IMAGES, seed=8)
    measured = [errors_of_every_step(world, image) for image in images]
    predicted = [predictions(world, image) for image in images]
    for number, label in enumerate(world.compiled.plan.labels):
        actual = math.sqrt(np.mean([np.mean(m[number] ** 2) for m in measured]))
        model = math.sqrt(np.mean([p[number].predicted_std ** 2 for p in predicted]))
        assert model / 4 < actual < model * 4, (label, actual, model)


def test_early_steps_are_predicted_closely(world: tiny.World) -> None:
    """Up to the last matrix errors of different slots are independent, and the model is sharp."""
    measured = errors_of_every_step(world, world.images[0])
    for row, error in zip(predictions(world, world.images[0]), measured, strict=True):
        if row.op == "fold-sum":
            break
        assert np.sqrt(np.mean(error**2)) == pytest.approx(row.predicted_std, rel=0.2), row.label


def test_rows_describe_their_steps(world: tiny.World) -> None:
    plan = world.compiled.plan
    rows = predictions(world, world.images[0])
    assert [row.label for row in rows] == list(plan.labels)
    assert [tuple(row.added_std) for row in rows] == [step_writes(s) for s in plan.steps]
    for row in rows:
        expected = math.log2(row.magnitude / row.predicted_std)
        assert row.precision_bits == pytest.approx(expected)
        assert all(std <= row.predicted_std * 1.001 for std in row.added_std.values())
    assert math.isnan(StepPrecision("", "", 0.0, 0.0, {}, 0.0).precision_bits)


def test_simulated_noise_has_the_predicted_effect(world: tiny.World) -> None:
    """A cleartext run with each step's own noise ends with the predicted error."""
    plan, rows = world.compiled.plan, predictions(world, world.images[0])
    slots = list(world.compiled.pack_image(world.images[0]))
    model = ErrorModel(world.parameters)
    exact = cleartext.run(plan, world.tables, slots)[0]
    generator = np.random.default_rng(0)
    errors = []
    for seed in range(5):
        fresh = math.sqrt(model.fresh(tiny.SCALE))
        noisy = [s + generator.normal(0, fresh, s.shape) for s in slots]
        result = cleartext.run(plan, world.tables, noisy, noise=noise_of(rows), seed=seed)
        errors.append(result[0] - exact)
    actual = float(np.sqrt(np.mean(np.square(errors))))
    predicted = next(r for r in rows if r.label == "normalise").predicted_std
    assert predicted / 4 < actual < predicted * 4


def test_another_parameter_set_is_refused(world: tiny.World, short: Parameters) -> None:
    slots = list(world.compiled.pack_image(world.images[0]))
    with pytest.raises(PlanError, match="insecure-short"):
        predict(world.compiled.plan, world.tables, short, slots)
    with pytest.raises(ValueError, match="inputs"):
        predict(world.compiled.plan, world.tables, world.parameters, slots[1:])


@pytest.mark.parametrize("period", [4, 16, 128])
def test_encoding_error(short: Parameters, period: int) -> None:
    generator = np.random.default_rng(period)
    errors = []
    scale = 2.0**20
    for _ in range(50):
        row = np.tile(generator.uniform(-1, 1, period), short.slots // period)
        coefficients = encoding.encode(row, short.ring_dimension, scale)
        error = encoding.decode(coefficients.astype(np.float64), scale) - row
        errors.append(error)
    predicted = math.sqrt(ErrorModel(short).encoding(period, scale))
    assert np.std(errors) == pytest.approx(predicted, rel=0.25)


def test_only_what_is_rounded_counts() -> None:
    mask, scale = np.zeros(64), 2.0**20
    assert rounded_terms(mask, scale) == 0
    assert rounded_terms(mask + 1, scale) == 0
    mask[::16] = 1
    assert rounded_terms(mask, scale) == 15  # the first coefficient is a sixteenth of the scale
    mask[8::16] = 1
    mask[::16] = 0
    assert 0 < rounded_terms(mask, scale) <= 16
    mask[1] = 1
    assert 32 < rounded_terms(mask, scale) <= 64
    assert rounded_terms(mask, 2.0**60) == 0  # nothing that doubles could tell


@pytest.mark.parametrize("shape", [(0, 32), (8, 32), (8, 16), (3, 7)])
def test_masks_are_as_imprecise_as_predicted(short: Parameters, shape: tuple[int, int]) -> None:
    mask = np.zeros(short.slots)
    mask.reshape(-1, 64)[:, slice(*shape)] = 1
    coefficients = encoding.encode(mask, short.ring_dimension, 2.0**19)
    error = encoding.decode(coefficients.astype(np.float64), 2.0**19) - mask
    terms = rounded_terms(mask, 2.0**19)
    predicted = math.sqrt(ErrorModel(short).encoding(terms, 2.0**19))
    assert np.sqrt(np.mean(error**2)) == pytest.approx(predicted, rel=0.5)


def test_design_note_figures() -> None:
    """About 2 N / sqrt(18) / scale after a rescale: 2^14.9 at N = 2^16."""
    model = ErrorModel(presets.load("safe"))
    assert math.log2(math.sqrt(model.rounding(0, 1.0))) == pytest.approx(
        17 - math.log2(18) / 2, abs=0.01
    )
    for limbs in (29, 18, 10, 3):
        assert model.switching(limbs - 1, 1.0) < 2.0**22 * model.rounding(limbs - 1, 1.0)


def test_statistics() -> None:
    result = statistics(np.array([0.5, -0.25, 2.0**-10, 0.0]))
    assert result.worst_bits == 1.0
    assert result.best_bits == math.inf
    assert result.mean_bits == pytest.approx(-math.log2((0.75 + 2.0**-10) / 4))
    assert result.standard_deviation == pytest.approx(np.std([0.5, -0.25, 2.0**-10, 0.0]))
    for bad in ([], [math.nan], [math.inf, 1.0]):
        with pytest.raises(ValueError, match="finite"):
            statistics(np.array(bad))


def test_every_primitive_is_predicted() -> None:
    """Each sort of step on its own, where nothing hides a term that the model lacks."""
    bench = primitives.make()
    plan = replace(bench.plan, outputs=tuple(bench.plan.values))
    clear = cleartext.run(plan, bench.tables, bench.values)
    native_values, predicted = bench.native(), bench.predicted(ErrorModel(bench.parameters))
    for name, slots in zip(plan.outputs, clear, strict=True):
        actual = float(np.sqrt(np.mean((native_values[name] - slots) ** 2)))
        assert predicted[name] / 4 < actual < predicted[name] * 4, (name, actual, predicted[name])
