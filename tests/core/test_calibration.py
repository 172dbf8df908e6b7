"""The mean effect of rounded plaintexts: measured on calibration images, taken off the biases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core import encoding
from fhe_core.compiler import BATCH, SAFE, compile_batch
from fhe_core.compiler.architecture import architecture_of
from fhe_core.plan import Step, step_writes, steps
from fhe_core.runtime import cleartext, native
from fhe_core.runtime.calibration import CalibrationError, calibrate, corrected, smallest_period
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import PackedPlan, pack
from fhe_face.models.layers import FusedNetwork
from tests.core import tiny

#: Coarse masks, so that their rounding stands far above all other errors.
COARSE = replace(SAFE, log_mask_scale=9.0)


def lifted(network: FusedNetwork) -> FusedNetwork:
    """The network with squares of about 2, as a trained one has them: their mean is most of them.
    Those of the random one lie around zero."""
    blocks = [
        replace(block, offset1=1 + 0 * block.offset1, offset2=1 + 0 * block.offset2)
        for block in network.blocks
    ]
    return replace(network, blocks=tuple(blocks))


class Coarse:
    """A small network with coarse masks: 2 * IMAGES images, half of them for calibration."""

    IMAGES = 6

    def __init__(self, world: tiny.World) -> None:
        self.world = world
        network = lifted(world.network)
        self.compiled = tiny.compile_for(network, world.parameters, COARSE)
        self.tables = self.compiled.tables(network)
        self.packed = pack(self.compiled.plan, self.tables, world.parameters)
        images = tiny.images_for(world.network, 2 * self.IMAGES, seed=5)
        slots = [list(self.compiled.pack_image(image)) for image in images]
        self.seen, self.unseen = slots[: self.IMAGES], slots[self.IMAGES :]

    def errors(self, packed: PackedPlan, images: Sequence[Sequence[tiny.Array]]) -> Errors:
        """What rounding alone does to every linear step: [images, outputs, slots] by number."""
        return errors(packed, self.tables, images)


Errors = dict[int, tiny.Array]


def errors(
    packed: PackedPlan, tables: cleartext.Tables, images: Sequence[Sequence[tiny.Array]]
) -> Errors:
    """Each step reads exact values and multiplies by decoded plaintexts: a slow, plain loop."""
    plan = packed.plan
    found: dict[int, list[tiny.Array]] = {}
    for inputs in images:

        def observe(number: int, step: Step, values: object) -> None:
            assert isinstance(values, dict)
            if isinstance(step, steps.LinearTransform):
                wanted = np.stack([values[name] for name in step_writes(step)])
                found.setdefault(number, []).append(rounded(packed, number, values) - wanted)

        cleartext.run(plan, tables, list(inputs), observe=observe)
    return {number: np.stack(images) for number, images in found.items()}


def rounded(packed: PackedPlan, number: int, values: dict[str, tiny.Array]) -> tiny.Array:
    step, transform = packed.plan.steps[number], packed.transforms[number]
    assert isinstance(step, steps.LinearTransform)
    outputs = np.zeros((len(step.outputs), values[step.inputs[0]].size))
    for (output, giant), entries in zip(step.giants, transform.entries, strict=True):
        total = np.zeros(outputs.shape[1])
        for term, row in entries:
            baby, mask = transform.terms[term]
            i, amount = step.babies[baby]
            scale = packed.plan.values[step.inputs[i]].scale
            weights = slots_of(transform.weights[row], total.size)
            product = np.roll(values[step.inputs[i]], -amount) * scale * weights
            total += product if mask < 0 else product * slots_of(transform.masks[mask], total.size)
        outputs[output] += np.roll(total, -giant)
    outputs /= step.weight_scales[0] * step.mask_scale * packed.plan.values[step.inputs[0]].scale
    addition = packed.additions[number]
    bias = np.stack([slots_of(row, outputs.shape[1]) for row in addition.coefficients])
    return outputs + bias * 2.0**addition.shift / packed.plan.values[step.outputs[0]].scale


def slots_of(coefficients: NDArray[np.int64], slots: int) -> tiny.Array:
    row = np.real(encoding.decode(coefficients.astype(np.float64), 1.0))
    return np.tile(row, slots // row.size)


@pytest.fixture(scope="module")
def coarse(world: tiny.World) -> Coarse:
    return Coarse(world)


def rms(values: tiny.Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def test_linear_steps_have_no_mean_error_on_calibration_images(coarse: Coarse) -> None:
    calibration = calibrate(coarse.packed, coarse.tables, coarse.seen)
    packed = corrected(coarse.packed, coarse.tables, calibration)
    before = coarse.errors(coarse.packed, coarse.seen)
    after = coarse.errors(packed, coarse.seen)
    assert set(after) == set(calibration.corrections)
    for number, error in after.items():
        scale = packed.plan.values[step_writes(packed.plan.steps[number])[0]].scale
        left = rms(error.mean(axis=0))
        assert left < 1e-3 * rms(before[number].mean(axis=0)) + 2.0**8 / scale
        assert rms(error) <= rms(before[number])


def test_images_that_were_not_seen_gain_as_well(coarse: Coarse) -> None:
    calibration = calibrate(coarse.packed, coarse.tables, coarse.seen)
    packed = corrected(coarse.packed, coarse.tables, calibration)
    before = coarse.errors(coarse.packed, coarse.unseen)
    after = coarse.errors(packed, coarse.unseen)
    labels = coarse.compiled.plan.labels
    convolutions = [n for n in before if " conv " in labels[n]]  # pixels vary around zero
    assert len(convolutions) == 4
    for number in convolutions:
        assert rms(after[number].mean(axis=0)) < 0.3 * rms(before[number].mean(axis=0))
        assert rms(after[number]) < 0.5 * rms(before[number])


def test_ciphertexts_lose_the_mean_error(coarse: Coarse, world: tiny.World) -> None:
    """On real ciphertexts, and with a key for the same plan: the last linear step's results."""
    calibration = calibrate(coarse.packed, coarse.tables, coarse.seen)
    last = max(calibration.corrections)
    output = step_writes(coarse.packed.plan.steps[last])[0]
    plan = replace(coarse.packed.plan, outputs=(output,))
    evaluator = Evaluator(world.parameters, world.keys, 1)

    def error(packed: PackedPlan, image: Sequence[tiny.Array]) -> tiny.Array:
        fresh = tiny.encrypt_inputs(world.key, plan, np.stack(image))
        (got,) = native.run(replace(packed, plan=plan), evaluator, fresh)
        (wanted,) = cleartext.run(plan, coarse.tables, list(image))
        return np.real(world.key.decrypt(got)) - wanted

    packed = corrected(coarse.packed, coarse.tables, calibration)
    before = np.mean([error(coarse.packed, image) for image in coarse.seen], axis=0)
    after = np.mean([error(packed, image) for image in coarse.seen], axis=0)
    assert rms(after) < 0.5 * rms(before)


def test_diverging_images_are_left_out(coarse: Coarse) -> None:
    wild = [1e6 * row for row in coarse.seen[0]]
    endless = [1e200 * row for row in coarse.seen[0]]
    with_wild = calibrate(coarse.packed, coarse.tables, [*coarse.seen[:3], wild, endless])
    without = calibrate(coarse.packed, coarse.tables, coarse.seen[:3])
    for number, rows in without.corrections.items():
        assert np.array_equal(with_wild.corrections[number], rows)
    with pytest.raises(CalibrationError, match="diverges"):
        calibrate(coarse.packed, coarse.tables, [coarse.seen[0], endless, endless])


def test_the_same_images_give_the_same_bits(coarse: Coarse) -> None:
    packs = [
        corrected(c, coarse.tables, calibrate(c, coarse.tables, coarse.seen[:2]))
        for c in (coarse.packed, pack(coarse.compiled.plan, coarse.tables, coarse.world.parameters))
    ]
    for number, addition in packs[0].additions.items():
        assert np.array_equal(addition.coefficients, packs[1].additions[number].coefficients)


def test_a_batch_repeats_its_corrections_with_every_image(world: tiny.World) -> None:
    policy = replace(BATCH, log_mask_scale=9.0)
    parameters = world.parameters
    compiled = compile_batch(architecture_of(world.network), parameters, policy, tiny.ROOT, 8)
    tables = compiled.tables(world.network)
    packed = pack(compiled.plan, tables, parameters)
    images = tiny.images_for(world.network, 3, seed=6)
    whole = [list(compiled.pack_images(image[None])) for image in images]
    calibration = calibrate(packed, tables, whole)
    period = {rows.shape[1] for rows in calibration.corrections.values()}
    assert period == {smallest_period(np.stack(whole[0]))}
    assert period.pop() * compiled.grid.blocks == parameters.slots


def test_the_smallest_period() -> None:
    assert smallest_period(np.ones((2, 8))) == 1
    assert smallest_period(np.tile([1.0, 2.0], (3, 4))) == 2
    assert smallest_period(np.arange(8.0)[None]) == 8
    assert smallest_period(np.array([[1.0, np.nan, 1.0, np.nan]])) == 2
