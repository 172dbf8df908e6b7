"""Devices that encrypt without the secret: their key, the switch to their owner's, its noise."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fhe_core import _native
from fhe_core.analysis.precision import DeviceErrorModel, ErrorModel, predict
from fhe_core.formats.devices import switching_bytes
from fhe_core.keys.evaluation import DeviceKey, device_specification, expand_key
from fhe_core.parameters import Parameters, presets
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from tests.core import tiny

SCALE = 2.0**40


def key_for(owner: SecretKey, device: SecretKey) -> DeviceKey:
    """In memory."""
    specification, seed = device_specification(owner.parameters), os.urandom(32)
    bodies = owner.device_key(device, seed, 1)
    key = expand_key(owner.parameters, specification, bodies, seed, 1)
    return DeviceKey(owner.parameters, device.key_id, owner.key_id, key)


@pytest.fixture(scope="module")
def device(short: Parameters) -> SecretKey:
    return SecretKey.generate(short)


@pytest.fixture(scope="module")
def evaluator(short: Parameters, short_key: SecretKey) -> Evaluator:
    return Evaluator(short, tiny.make_keys(short_key, []), 1)


# --- the switch -----------------------------------------------------------------------------------


def test_a_devices_ciphertext_is_its_owners_after_the_switch(
    short: Parameters, short_key: SecretKey, device: SecretKey, evaluator: Evaluator
) -> None:
    slots = np.random.default_rng(1).uniform(-1, 1, short.slots)
    fresh, _ = device.encrypt(slots, SCALE)
    assert np.max(np.abs(short_key.decrypt(fresh))) > 1e3  # noise to anybody but the device
    switched = evaluator.from_device(fresh, key_for(short_key, device))
    assert (switched.level, switched.scale) == (short.top, SCALE)
    assert np.max(np.abs(short_key.decrypt(switched) - slots)) < 1e-6
    assert np.max(np.abs(device.decrypt(switched))) > 1e3  # and no longer the device's


def test_a_switching_key_is_for_one_device(
    short: Parameters, short_key: SecretKey, device: SecretKey, evaluator: Evaluator
) -> None:
    stranger, _ = SecretKey.generate(short).encrypt(np.ones(short.slots), SCALE)
    switched = evaluator.from_device(stranger, key_for(short_key, device))
    assert np.max(np.abs(short_key.decrypt(switched))) > 1e3


def test_only_fresh_ciphertexts_are_switched(
    short: Parameters, short_key: SecretKey, device: SecretKey, evaluator: Evaluator
) -> None:
    fresh, _ = device.encrypt(np.ones(short.slots), SCALE)
    key = key_for(short_key, device)
    with pytest.raises(ValueError, match="only fresh ciphertexts"):
        evaluator.from_device(fresh.drop_to(2, short), key)
    with pytest.raises(ValueError, match="with its own key"):
        evaluator.from_device(fresh, replace(key, parameters=tiny.load(tiny.HALVES.name)))


def test_a_device_has_a_secret_of_its_own(
    short_key: SecretKey, halves_key: SecretKey, device: SecretKey
) -> None:
    for other in (short_key, halves_key):
        with pytest.raises(ValueError, match="a secret of its own"):
            short_key.device_key(other, bytes(32), 1)


def test_the_key_encrypts_the_devices_secret_and_not_its_owners(
    short: Parameters, short_key: SecretKey, device: SecretKey
) -> None:
    """Opened with the owner's secret, every digit is P times a part of the device's, plus a small
    error; opened with the device's it is noise."""
    seed, specification = os.urandom(32), device_specification(short)
    key = expand_key(short, specification, short_key.device_key(device, seed, 1), seed, 1)
    rows = list(key.rows)
    residues = _native.load_key(key.data, [short.primes[row] for row in rows])
    p = math.prod(short.specials[: short.tiers[specification.name.tier].special_limbs])
    digits = short.digit_of_rows(specification.name.tier)
    for digit, halves in enumerate(residues):
        for secret, whose in ((short_key, True), (device, False)):
            row = rows[0]
            phase = secret.decrypt_polynomial(np.ascontiguousarray(halves[:, :1]), [row])
            own = p % short.primes[row] if digits[row] == digit else 0
            wanted = own * device.secret_coefficients().astype(object)
            rest = [
                (int(a) - int(b)) % short.primes[row] for a, b in zip(phase, wanted, strict=True)
            ]
            small = max(min(r, short.primes[row] - r) for r in rest)
            assert (small <= 64) is whose, (digit, whose, small)


@pytest.mark.parametrize("threads", [1, 2])
def test_two_rings(halves: Parameters, halves_key: SecretKey, threads: int) -> None:
    """A device encrypts in the larger ring; its secret of the smaller one is never used."""
    device = SecretKey.generate(halves)
    evaluator = Evaluator(halves, tiny.make_keys(halves_key, tiny.ring_keys(halves)), threads)
    slots = np.random.default_rng(3).uniform(-1, 1, halves.slots)
    fresh, _ = device.encrypt(slots, SCALE)
    switched = evaluator.from_device(fresh, key_for(halves_key, device))
    assert np.max(np.abs(halves_key.decrypt(switched) - slots)) < 1e-6
    small = evaluator.switch_ring(evaluator.drop_to(switched, 4), 2)
    lower, upper = np.split(slots, 2)
    assert np.max(np.abs(halves_key.at(2).decrypt(small) - (lower + upper))) < 1e-6


# --- noise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("specification", [tiny.SHORT, tiny.TINY, tiny.HALVES])
def test_the_noise_of_the_switch_is_the_predicted(specification: Any) -> None:
    parameters = tiny.load(specification.name)
    owner, device = (SecretKey.generate(parameters) for _ in range(2))
    evaluator = Evaluator(parameters, tiny.make_keys(owner, []), 1)
    key, zeros, scale = key_for(owner, device), np.zeros(parameters.slots), 2.0**30
    found: list[float] = []
    for _ in range(max(4, 2**13 // parameters.slots)):
        fresh, _ = device.encrypt(zeros, scale)
        found.append(float(np.mean(owner.decrypt(evaluator.from_device(fresh, key)) ** 2)))
    model = DeviceErrorModel(parameters)
    # Of zeros nothing is rounded when they are encoded.
    predicted = model.fresh(scale) - model.encoding(parameters.slots, scale)
    assert math.sqrt(np.mean(found)) == pytest.approx(math.sqrt(predicted), rel=0.25)
    assert model.fresh(scale) > ErrorModel(parameters).fresh(scale)


def test_precision_of_a_plan_that_a_device_sent_to(world: tiny.World) -> None:
    """A little less than of the owner's own faces, in every step, and never more."""
    plan, slots = world.compiled.plan, list(world.compiled.pack_image(world.images[0]))
    own = predict(plan, world.tables, world.parameters, slots)
    sent = predict(plan, world.tables, world.parameters, slots, DeviceErrorModel(world.parameters))
    for a, b in zip(own, sent, strict=True):
        assert a.predicted_std <= b.predicted_std
    assert sent[-1].predicted_std < 4 * own[-1].predicted_std


# --- security and size ----------------------------------------------------------------------------


@pytest.mark.parametrize(("preset", "megabytes"), [("lean", 22), ("safe", 42), ("deep", 56)])
def test_a_switching_key_is_small_and_within_the_bound(preset: str, megabytes: int) -> None:
    """One sample modulo QP of the highest level, below the bound that building the set enforces."""
    parameters = presets.load(preset)
    specification = device_specification(parameters)
    assert switching_bytes(parameters) <= megabytes * 1e6
    rows = specification.rows(parameters)
    log2_qp = math.fsum(math.log2(parameters.primes[row]) for row in rows)
    bound = parameters.log2_qp_bound
    assert bound is not None
    assert log2_qp <= parameters.log2_qp <= bound


def test_no_file_of_evaluation_keys_may_name_it(short: Parameters) -> None:
    for parameters in (short, tiny.load(tiny.HALVES.name), presets.load("lean")):
        name = device_specification(parameters).name.rotation
        assert name >= parameters.rotations_at(parameters.top)
