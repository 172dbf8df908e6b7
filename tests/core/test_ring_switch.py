"""Ciphertexts that go on in the ring of half the degree."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core import container
from fhe_core.container import Kind, Section
from fhe_core.formats.ciphertexts import (
    Bundle,
    bundle_metadata,
    bundle_sections,
    evaluation_key_metadata,
    load_bundle,
    load_evaluation_keys,
    save_bundle,
)
from fhe_core.parameters import ParameterError, Parameters, Ring, Specification, Tier, build
from fhe_core.parameters.bounds import InsecureParametersError
from fhe_core.plan import (
    KeyName,
    KeySpecification,
    Plan,
    PlanError,
    Step,
    Value,
    required_keys,
    steps,
)
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.files import save_evaluation_keys
from fhe_core.secret.key import SecretKey
from tests.core import tiny

SCALE = 2.0**40


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return tiny.load(tiny.HALVES.name)


@pytest.fixture(scope="module")
def key(parameters: Parameters) -> SecretKey:
    return SecretKey.generate(parameters)


@pytest.fixture(scope="module")
def evaluator(parameters: Parameters, key: SecretKey) -> Evaluator:
    return Evaluator(parameters, tiny.make_keys(key, specifications(parameters)), 1)


def specifications(parameters: Parameters) -> list[KeySpecification]:
    """All that changing rings needs, and a rotation and relinearisation in the smaller one."""
    names = [0, 1, *parameters.ring_switch(0)]
    lift = KeySpecification(KeyName(parameters.ring_lift(7), 0), (6, 7))
    return [*(KeySpecification(KeyName(name, 1), (1, 2)) for name in names), lift]


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
    found = key.at(level).decrypt(small)
    assert np.max(np.abs(found - (lower + upper))) < 1e-6
    turned = evaluator.rotate_many(small, [1])[0]
    assert np.max(np.abs(key.at(level).decrypt(turned) - np.roll(lower + upper, -1))) < 1e-6
    square = evaluator.multiply(small, small, 1)
    assert np.max(np.abs(key.at(level).decrypt(square) - (lower + upper) ** 2)) < 1e-6


def test_slots_repeat_in_the_larger_ring(
    parameters: Parameters, key: SecretKey, evaluator: Evaluator
) -> None:
    slots = np.random.default_rng(2).uniform(-1, 1, parameters.slots)
    fresh, _ = key.encrypt(slots, SCALE)
    small = evaluator.switch_ring(evaluator.drop_to(fresh, 4), 2)
    (large,) = parameters.other_ring(2)
    lifted = evaluator.lift_ring(small, large)
    assert (lifted.level, lifted.scale) == (7, SCALE / 2)
    wanted = np.tile(slots[: slots.size // 2] + slots[slots.size // 2 :], 2)
    assert np.max(np.abs(key.decrypt(lifted) - wanted)) < 1e-6


def test_only_steps_between_rings_have_their_keys(parameters: Parameters) -> None:
    assert [parameters.leaves(level) for level in (2, 3, 4, 5)] == [False, True, True, False]
    levels = {"a": 4, "b": 2, "c": 7, "d": 3}
    values = {name: Value(name, level, SCALE) for name, level in levels.items()}

    def keys(*own: Step) -> list[KeySpecification]:
        plan = Plan("rings", parameters.digest, ("a",), (), values, (), own, ("",) * len(own), {})
        return required_keys([plan], parameters)

    there, back = steps.SwitchRing("a", "b"), steps.LiftRing("b", "c")
    assert [(k.name, k.levels) for k in keys(there, back)] == [
        (KeyName(64, 0), (7,)),
        (KeyName(32, 1), (2,)),
        (KeyName(33, 1), (2,)),
    ]
    for step in (steps.Square("d", "e", 0, ""), steps.Rotate("d", ("e",), (1,), 3)):
        with pytest.raises(PlanError, match="no key for a step at level 3"):
            keys(step)


def test_rings_change_between_levels_of_the_same_primes_only(
    parameters: Parameters, key: SecretKey, evaluator: Evaluator
) -> None:
    fresh, _ = key.encrypt(np.zeros(parameters.slots), SCALE)
    for level in (1, 2, parameters.top - 1):
        with pytest.raises(ValueError, match="no ciphertext changes its ring"):
            evaluator.switch_ring(fresh, level)
    small = evaluator.switch_ring(evaluator.drop_to(fresh, 4), 2)
    for level in (1, 3, parameters.top):
        with pytest.raises(ValueError, match="no ciphertext changes its ring"):
            evaluator.lift_ring(small, level)


def test_a_ciphertext_does_not_drop_into_another_ring(
    parameters: Parameters, key: SecretKey, evaluator: Evaluator
) -> None:
    fresh, _ = key.encrypt(np.zeros(parameters.slots), SCALE)
    for level in range(3):
        with pytest.raises(ValueError, match="cannot drop"):
            fresh.drop_to(level, parameters)
        with pytest.raises(ValueError, match="cannot drop"):
            evaluator.drop_to(fresh, level)


def test_nothing_is_decrypted_in_the_smaller_ring(
    parameters: Parameters, key: SecretKey, evaluator: Evaluator
) -> None:
    """Only measurements do, and ask for it."""
    fresh, _ = key.encrypt(np.ones(parameters.slots), SCALE)
    small = evaluator.switch_ring(evaluator.drop_to(fresh, 4), 2)
    with pytest.raises(ValueError, match="no result is in the ring of half the degree"):
        key.decrypt(small)
    assert key.at(2).decrypt(small) == pytest.approx(2.0)
    assert key.at(parameters.top) is key


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(threads: int) -> None:
    parameters = build(replace(tiny.HALVES, log_ring_dimension=13))
    key = SecretKey.generate(parameters)
    keys = tiny.make_keys(key, specifications(parameters))
    fresh, _ = key.encrypt(np.random.default_rng(0).uniform(-1, 1, parameters.slots), SCALE)
    found = []
    for own in (Evaluator(parameters, keys, 1), Evaluator(parameters, keys, threads)):
        small = own.switch_ring(own.drop_to(fresh, 4), 2)
        found.append((small.residues, own.lift_ring(small, 7).residues))
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)


# --- the second secret ----------------------------------------------------------------------------


def test_the_second_secret_follows_from_the_first(parameters: Parameters, key: SecretKey) -> None:
    again = SecretKey(parameters, key.secret_coefficients())
    other = SecretKey.generate(parameters)
    small, same, another = (one.at(0).secret_coefficients() for one in (key, again, other))
    assert np.array_equal(small, same)
    assert not np.array_equal(small, another)
    assert small.size == parameters.ring_dimension // 2


def test_the_second_secret_is_uniform_and_independent_of_the_first() -> None:
    """4,096 coefficients: counts within five deviations, no correlation with either half."""
    parameters = build(replace(tiny.HALVES, log_ring_dimension=13))
    key = SecretKey.generate(parameters)
    first, small = key.secret_coefficients(), key.at(0).secret_coefficients()
    n = small.size
    for value in (-1, 0, 1):
        assert abs(np.sum(small == value) - n / 3) < 5 * np.sqrt(n * 2 / 9)
    for half in (first[::2], first[1::2], first[:n], first[n:]):
        assert abs(np.sum(half.astype(int) * small.astype(int))) < 5 * np.sqrt(n) * 2 / 3


# --- bounds and files -----------------------------------------------------------------------------


def secure(half_specials: int) -> Specification:
    """Of 128 bits in the larger ring; in the smaller one by how many special primes it uses."""
    return Specification(
        name="two-rings",
        log_ring_dimension=16,
        limb_bits=(50,) * 13,
        special_bits=(50,) * 6,
        tiers=(Tier(13, 4, 4),),
        half_tiers=(Tier(13, 4, half_specials),),
        half_levels=tuple((limbs,) for limbs in range(1, 14)),
    )


def test_every_ring_is_held_to_its_own_bound() -> None:
    parameters = build(secure(4))  # 13 limbs and 4 special primes: 850 bits of 868 at N = 2^15
    large, small = parameters.rings
    assert (large.ring_dimension, small.ring_dimension) == (1 << 16, 1 << 15)
    assert (large.log2_qp_bound, small.log2_qp_bound) == (1747, 868)
    assert small.log2_qp == pytest.approx(850, abs=0.01)
    with pytest.raises(InsecureParametersError, match="868 for ring dimension 32768"):
        build(secure(5))


def test_the_bound_counts_all_primes_that_a_tier_has() -> None:
    """Two levels of one tier with different sprouts: a key may have the primes of both."""
    both = replace(secure(4), half_levels=((11, 30), (13,)), half_tiers=(Tier(13, 4, 4),))
    with pytest.raises(InsecureParametersError, match=r"log2\(QP\) = 880"):
        build(both)
    assert build(replace(both, half_tiers=(Tier(11, 4, 4), Tier(13, 4, 4)))).half is not None


def test_both_rings_are_described() -> None:
    described = build(secure(4)).describe()
    assert described["half"]["ring_dimension"] == described["ring_dimension"] // 2
    assert described["half"]["log2_qp"] == pytest.approx(850, abs=0.01)
    assert described["half"]["security_bits"] == 128
    assert build(tiny.SHORT).describe()["half"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"half_tiers": ()},
        {"half_levels": ()},
        {"half_levels": (), "half_tiers": (), "half_entries": (0,)},
        {"half_entries": (3,)},
        {"half_entries": (2, 1)},
        {"half_entries": (1, 1)},
        {"half_entries": (-1,)},
        {"half_levels": ((2,), (2,), (3,))},
        {"half_levels": ((1,), (2,), (4,))},
        {"half_levels": ((1,), (2,), (5,))},
        {"half_tiers": (Tier(3, 3, 1),)},
        {"half_tiers": (Tier(3, 1, 3),)},
        {"ring": Ring.STANDARD},
        {"log_ring_dimension": 4},
    ],
)
def test_rings_that_cannot_be_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        build(replace(tiny.HALVES, **changes))


def test_keys_of_both_rings_in_one_file(
    parameters: Parameters, key: SecretKey, tmp_path: Path
) -> None:
    """Every key has the size of its ring."""
    path, wanted = tmp_path / "evaluation.key", specifications(parameters)
    save_evaluation_keys(path, key, wanted, {})
    loaded = load_evaluation_keys(path, load=tiny.load)
    assert {name: k.data.size for name, k in loaded.keys.items()} == {
        k.name: 2 * math.prod(k.shape(parameters)) for k in wanted
    }
    assert {k.shape(parameters)[2] for k in wanted} == {64, 32}
    own = Evaluator(parameters, loaded, 1)
    fresh, _ = key.encrypt(np.ones(parameters.slots), SCALE)
    small = own.switch_ring(own.drop_to(fresh, 4), 2)
    assert key.at(2).decrypt(small) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "entry",
    [
        [34, 1, 0b110],  # beyond the keys that lead to the smaller ring
        [65, 0, 0b1000000],  # beyond the one that leads back
        [0, 1, 0b1110],  # levels of both rings
        [0, 0, 0b1000],  # a level that has no keys
        [0, 0, 0b1010000],  # and another one
        [0, 0, 0b110],  # the other ring's tier
        [0, 1, 0],
    ],
)
def test_keys_that_no_ring_has_are_refused(
    parameters: Parameters, key: SecretKey, tmp_path: Path, entry: list[int]
) -> None:
    path = tmp_path / "evaluation.key"
    metadata = {**evaluation_key_metadata(parameters, []), "keys": [entry]}
    seed = Section.from_array("seed", np.zeros(32, dtype=np.uint8))
    container.write(path, Kind.EVALUATION_KEYS, parameters.digest, key.key_id, metadata, [seed])
    with pytest.raises(container.Corrupt, match="does not fit the parameters"):
        load_evaluation_keys(path, load=tiny.load)


def test_a_ciphertext_has_the_size_of_its_levels_ring(
    parameters: Parameters, key: SecretKey, evaluator: Evaluator, tmp_path: Path
) -> None:
    """A header that names a level of the other ring is refused before anything is read."""
    fresh, _ = key.encrypt(np.ones(parameters.slots), SCALE)
    small = evaluator.switch_ring(evaluator.drop_to(fresh, 4), 2)
    path = tmp_path / "small"
    bundle = Bundle("image", parameters, key.key_id, {"a": small}, {}, {})
    save_bundle(path, bundle)
    loaded = load_bundle(path, load=tiny.load)
    assert np.array_equal(loaded.items["a"].residues, small.residues)
    metadata = bundle_metadata(bundle)
    metadata["items"][0]["level"] = 4
    container.write(
        path, Kind.CIPHERTEXT, parameters.digest, key.key_id, metadata, bundle_sections(bundle)
    )
    with pytest.raises(container.Corrupt, match="wrong shape"):
        load_bundle(path, load=tiny.load)
