"""Ciphertexts that go on in the ring of half the degree."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core.parameters import Parameters, Specification, Tier, build
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from tests.core import tiny

#: Three levels of 40 bits in each ring; ciphertexts change at the second and third.
SPECIFICATION = Specification(
    name="insecure-halves",
    log_ring_dimension=6,
    limb_bits=(50, 40, 40, 40),
    special_bits=(50, 50),
    tiers=(Tier(4, 2, 2),),
    half_tiers=(Tier(3, 1, 1),),
    half_levels=((1,), (2,), (3,)),
    half_entries=(1, 2),
)
SCALE = 2.0**40


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return build(SPECIFICATION)


@pytest.fixture(scope="module")
def key(parameters: Parameters) -> SecretKey:
    return SecretKey.generate(parameters)


@pytest.fixture(scope="module")
def evaluator(parameters: Parameters, key: SecretKey) -> Evaluator:
    tier = len(parameters.specification.tiers)
    names = [0, 1, *parameters.ring_switch(0)]
    wanted = [KeySpecification(KeyName(name, tier), (1, 2)) for name in names]
    return Evaluator(parameters, tiny.make_keys(key, wanted), 1)


@pytest.mark.parametrize("entry", [0, 1])
def test_slots_are_the_sum_of_two(
    parameters: Parameters, key: SecretKey, evaluator: Evaluator, entry: int
) -> None:
    slots = np.random.default_rng(entry).uniform(-1, 1, parameters.slots)
    fresh, _ = key.encrypt(slots, SCALE)
    leaving, level = 3 + entry, 1 + entry
    small = evaluator.switch_ring(evaluator.drop_to(fresh, leaving), level)
    assert small.residues.shape == (2, level + 1, parameters.ring_dimension // 2)
    assert (small.level, small.scale) == (level, SCALE / 2)
    lower, upper = np.split(slots, 2)
    found = key.decrypt(small)
    assert np.max(np.abs(found - (lower + upper))) < 1e-6
    turned = evaluator.rotate_many(small, [1])[0]
    assert np.max(np.abs(key.decrypt(turned) - np.roll(lower + upper, -1))) < 1e-6
    square = evaluator.multiply(small, small, 1)
    assert np.max(np.abs(key.decrypt(square) - (lower + upper) ** 2)) < 1e-6
