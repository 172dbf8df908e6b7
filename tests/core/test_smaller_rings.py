"""Plans that go on in the ring of half the degree: the same answers, in half as many slots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fhe_core.analysis.cost import step_costs
from fhe_core.analysis.precision import predict
from fhe_core.compiler import LEAN, SAFE, CompiledNetwork, compile_network
from fhe_core.compiler.architecture import architecture_of
from fhe_core.compiler.convolution import Source, build_structure, by_rows
from fhe_core.compiler.layouts import LayoutError, raster, rows_on_top
from fhe_core.compiler.policy import Policy, Switch
from fhe_core.parameters import Parameters, Specification, Tier, build
from fhe_core.plan import Plan, from_json, required_keys, steps
from fhe_core.runtime import cleartext, native
from fhe_core.runtime.calibration import calibrate, corrected
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import pack
from fhe_core.secret.key import SecretKey
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.reference import embed, squared_norm
from fhe_face.models.synthetic import random_fused
from tests.core import tiny

SWITCH = Switch(1, 43.0, 44.0, 43.0, 43.0, 19.0)
POLICY = replace(SAFE, switch=SWITCH)


def two_rings(log_ring_dimension: int = 11) -> Parameters:
    """A plain chain of 20 limbs; 13 of them in the ring of half the degree."""
    return build(
        Specification(
            name="insecure-two-rings",
            log_ring_dimension=log_ring_dimension,
            limb_bits=(50,) + (43,) * 19,
            special_bits=(50,) * 6,
            tiers=(Tier(20, 5, 5), Tier(14, 4, 4)),
            half_tiers=(Tier(13, 4, 4), Tier(12, 6, 6), Tier(5, 3, 3)),
            half_levels=tuple((limbs,) for limbs in range(1, 14)),
        )
    )


def compiled_for(network: FusedNetwork, policy: Policy = POLICY, views: int = 1) -> CompiledNetwork:
    return compile_network(architecture_of(network), two_rings(), policy, tiny.ROOT, views)


def switches(plan: Plan) -> list[steps.SwitchRing]:
    return [step for step in plan.steps if isinstance(step, steps.SwitchRing)]


def answer(network: FusedNetwork, image: tiny.Array) -> tiny.Array:
    raw = embed(network, image[None])
    return np.asarray((raw * tiny.ROOT.evaluate(squared_norm(raw))[:, None])[0])


@pytest.mark.parametrize("policy", [POLICY, replace(POLICY, pre_rotations=2, row_digits=3)])
@pytest.mark.parametrize("embedding", [8, 16])
def test_the_answer_is_the_same(embedding: int, policy: Policy) -> None:
    network = random_fused(3, embedding=embedding)
    compiled = compiled_for(network, policy)
    plan, tables, parameters = compiled.plan, compiled.tables(network), compiled.parameters
    (image,) = tiny.images_for(network, 1)
    rows = list(compiled.pack_image(image))
    slots, norm = cleartext.run(plan, tables, rows)
    assert slots.size == norm.size == parameters.ring_dimension
    assert np.max(np.abs(slots[:embedding] - answer(network, image))) < 1e-9
    assert np.allclose(norm, squared_norm(embed(network, image[None])))
    assert len(switches(plan)) == 2  # the block's tensor, and the one of its shortcut
    for step in switches(plan):
        before, after = (plan.values[name] for name in (step.source, step.output))
        own = [parameters.levels[value.level] for value in (before, after)]
        assert own[0].rows == own[1].rows
        assert own[0].ring_dimension == 2 * own[1].ring_dimension
        assert before.scale == 2 * after.scale
    assert from_json(plan.to_json()).digest == plan.digest
    precision = predict(plan, tables, parameters, rows)
    assert len(precision) == len(step_costs(plan, parameters)) == len(plan.steps)
    assert precision[-1].predicted_std < 1e-3 * np.linalg.norm(embed(network, image[None]))


def test_two_views_of_a_face() -> None:
    network = random_fused(3)
    compiled = compiled_for(network, views=2)
    images = tiny.images_for(network, 2)
    slots, _ = cleartext.run(
        compiled.plan, compiled.tables(network), list(compiled.pack_image(images))
    )
    raw = np.mean(embed(network, images), axis=0)
    wanted = raw * tiny.ROOT.evaluate(np.sum(raw**2))
    assert len(switches(compiled.plan)) == 4
    assert np.max(np.abs(slots[: wanted.size] - wanted)) < 1e-9


@pytest.mark.parametrize("row_digits", [None, 3])
def test_encrypted_with_corrected_biases(row_digits: int | None) -> None:
    """What rounding adds in the upper half comes down with the switch, and is taken off, too: all
    of it on the image that it was measured on."""
    network = random_fused(3)
    coarse = Switch(1, 43.0, 44.0, 43.0, 43.0, 12.0)
    policy = replace(POLICY, switch=coarse, log_mask_scale=12.0, row_digits=row_digits)
    compiled = compiled_for(network, policy)
    plan, tables, parameters = compiled.plan, compiled.tables(network), compiled.parameters
    key = SecretKey.generate(parameters)
    evaluator = Evaluator(parameters, tiny.make_keys(key, required_keys([plan], parameters)), 1)
    (image,) = tiny.images_for(network, 1)
    inputs = compiled.pack_image(image)
    plain = pack(plan, tables, parameters)
    better = corrected(plain, tables, calibrate(plain, tables, [list(inputs)]))
    wanted, errors = answer(network, image), []
    for packed in (plain, better):
        found, _ = native.run(packed, evaluator, tiny.encrypt_inputs(key, plan, inputs))
        errors.append(np.linalg.norm(key.decrypt(found)[: wanted.size] - wanted))
    assert errors[0] > 1e-4 * np.linalg.norm(wanted)
    assert errors[1] < errors[0] / 50


def test_parameters_without_such_a_ring_stay_in_theirs() -> None:
    network = random_fused(3)
    shape, chain = architecture_of(network), tiny.chain(11, 20)
    plan = compile_network(shape, chain, POLICY, tiny.ROOT).plan
    assert plan == compile_network(shape, chain, SAFE, tiny.ROOT).plan


@pytest.mark.parametrize("block", [0, 2])
def test_a_block_that_halves_no_map_first_stays_in_its_ring(block: int) -> None:
    """Block 0 has no stride, and there is no block 2."""
    network = random_fused(3)
    elsewhere = compiled_for(network, replace(POLICY, switch=replace(SWITCH, block=block)))
    assert not switches(elsewhere.plan)
    (image,) = tiny.images_for(network, 1)
    rows = list(elsewhere.pack_image(image))
    slots, _ = cleartext.run(elsewhere.plan, elsewhere.tables(network), rows)
    assert np.max(np.abs(slots[: network.embedding] - answer(network, image))) < 1e-9


def test_maps_of_two_ciphertexts_stay_in_their_ring() -> None:
    """Rows alternate between two ciphertexts there."""
    network = random_fused(3)
    slots = compiled_for(network).copies.layout
    used = slots.group * slots.shape[2] * slots.shape[3]
    parameters = two_rings(used.bit_length() - 2)
    plan = compile_network(architecture_of(network), parameters, POLICY, tiny.ROOT).plan
    assert not switches(plan)


def test_rows_on_top() -> None:
    layout = rows_on_top(raster(1024, 4, 4, 8))
    places = layout.positions()
    assert layout.shape == (4, 4, 8, 8)
    assert np.all(places[:, :, 0::2] < 512)
    assert np.array_equal(places[:, :, 1::2], places[:, :, 0::2] + 512)
    tensor = np.arange(np.prod(layout.shape)).reshape(layout.shape)
    assert np.array_equal(layout.unpack(layout.pack(tensor)), tensor)
    assert np.array_equal(raster(512, 4, 8, 4).positions(), _even(1024, 4, 8, 4))
    with pytest.raises(LayoutError, match="one ciphertext"):
        rows_on_top(raster(512, 4, 4, 8))
    with pytest.raises(LayoutError, match="even"):
        rows_on_top(raster(4, 1, 1, 1))


def _even(slots: int, lanes: int, channels: int, size: int) -> tiny.Array:
    """Where even rows of a map with twice the rows lie, and every second pixel of them."""
    twice = rows_on_top(raster(slots, lanes, channels // 2, 2 * size)).positions()
    first = twice[:, :1, 0::2, 0::2]
    return np.asarray(first + (np.arange(channels) * lanes)[None, :, None, None])


def test_rows_beforehand_take_fewer_rotations() -> None:
    layout = raster(512, 4, 8, 4)
    whole = build_structure([Source(layout, 3, 1, 1)], layout, [2])
    rows = by_rows(whole, layout)
    pitch = layout.slots // 4
    assert rows.pitch == pitch
    amounts = {(pre + baby) % 512 for _, _, pre, baby in rows.babies}
    assert amounts == {(pre + baby) % 512 for _, _, pre, baby in whole.babies}
    assert all(abs(baby) <= pitch // 2 for _, _, _, baby in rows.babies)
    assert len({b for *_, b in rows.babies}) < len({b for *_, b in whole.babies}) / 2


def test_only_steps_of_many_digits_go_by_rows() -> None:
    network = random_fused(3)
    counts = []
    for digits in (None, 4, 3, 1):
        plan = compiled_for(network, replace(POLICY, row_digits=digits)).plan
        counts.append(len(required_keys([plan], two_rings())))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
    assert LEAN.row_digits is not None
