"""Ciphertexts that go on in the ring of half the degree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fhe_core.parameters import Parameters, build
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
from fhe_core.secret.key import SecretKey
from tests.core import tiny

SCALE = 2.0**40


@pytest.mark.parametrize("entry", [0, 1])
def test_slots_are_the_sum_of_two(
    halves: Parameters, halves_key: SecretKey, halves_evaluator: Evaluator, entry: int
) -> None:
    slots = np.random.default_rng(entry).uniform(-1, 1, halves.slots)
    fresh, _ = halves_key.encrypt(slots, SCALE)
    leaving, level = 3 + entry, 1 + entry
    small = halves_evaluator.switch_ring(halves_evaluator.drop_to(fresh, leaving), level)
    assert small.residues.shape == (2, level + 1, halves.ring_dimension // 2)
    assert (small.level, small.scale) == (level, SCALE / 2)
    lower, upper = np.split(slots, 2)
    found = halves_key.at(level).decrypt(small)
    assert np.max(np.abs(found - (lower + upper))) < 1e-6
    turned = halves_evaluator.rotate_many(small, [1])[0]
    assert np.max(np.abs(halves_key.at(level).decrypt(turned) - np.roll(lower + upper, -1))) < 1e-6
    square = halves_evaluator.multiply(small, small, 1)
    assert np.max(np.abs(halves_key.at(level).decrypt(square) - (lower + upper) ** 2)) < 1e-6


def test_slots_repeat_in_the_larger_ring(
    halves: Parameters, halves_key: SecretKey, halves_evaluator: Evaluator
) -> None:
    slots = np.random.default_rng(2).uniform(-1, 1, halves.slots)
    fresh, _ = halves_key.encrypt(slots, SCALE)
    small = halves_evaluator.switch_ring(halves_evaluator.drop_to(fresh, 4), 2)
    (large,) = halves.other_ring(2)
    lifted = halves_evaluator.lift_ring(small, large)
    assert (lifted.level, lifted.scale) == (7, SCALE / 2)
    wanted = np.tile(slots[: slots.size // 2] + slots[slots.size // 2 :], 2)
    assert np.max(np.abs(halves_key.decrypt(lifted) - wanted)) < 1e-6


def test_only_steps_between_rings_have_their_keys(halves: Parameters) -> None:
    assert [halves.leaves(level) for level in (2, 3, 4, 5)] == [False, True, True, False]
    levels = {"a": 4, "b": 2, "c": 7, "d": 3}
    values = {name: Value(name, level, SCALE) for name, level in levels.items()}

    def keys(*own: Step) -> list[KeySpecification]:
        plan = Plan("rings", halves.digest, ("a",), (), values, (), own, ("",) * len(own), {})
        return required_keys([plan], halves)

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
    halves: Parameters, halves_key: SecretKey, halves_evaluator: Evaluator
) -> None:
    fresh, _ = halves_key.encrypt(np.zeros(halves.slots), SCALE)
    for level in (1, 2, halves.top - 1):
        with pytest.raises(ValueError, match="no ciphertext changes its ring"):
            halves_evaluator.switch_ring(fresh, level)
    small = halves_evaluator.switch_ring(halves_evaluator.drop_to(fresh, 4), 2)
    for level in (1, 3, halves.top):
        with pytest.raises(ValueError, match="no ciphertext changes its ring"):
            halves_evaluator.lift_ring(small, level)


def test_a_ciphertext_does_not_drop_into_another_ring(
    halves: Parameters, halves_key: SecretKey, halves_evaluator: Evaluator
) -> None:
    fresh, _ = halves_key.encrypt(np.zeros(halves.slots), SCALE)
    for level in range(3):
        with pytest.raises(ValueError, match="cannot drop"):
            fresh.drop_to(level, halves)
        with pytest.raises(ValueError, match="cannot drop"):
            halves_evaluator.drop_to(fresh, level)


def test_nothing_is_decrypted_in_the_smaller_ring(
    halves: Parameters, halves_key: SecretKey, halves_evaluator: Evaluator
) -> None:
    """Only measurements do, and ask for it."""
    fresh, _ = halves_key.encrypt(np.ones(halves.slots), SCALE)
    small = halves_evaluator.switch_ring(halves_evaluator.drop_to(fresh, 4), 2)
    with pytest.raises(ValueError, match="no result is in the ring of half the degree"):
        halves_key.decrypt(small)
    assert halves_key.at(2).decrypt(small) == pytest.approx(2.0)
    assert halves_key.at(halves.top) is halves_key


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(threads: int) -> None:
    parameters = build(replace(tiny.HALVES, log_ring_dimension=13))
    key = SecretKey.generate(parameters)
    keys = tiny.make_keys(key, tiny.ring_keys(parameters))
    fresh, _ = key.encrypt(np.random.default_rng(0).uniform(-1, 1, parameters.slots), SCALE)
    found = []
    for own in (Evaluator(parameters, keys, 1), Evaluator(parameters, keys, threads)):
        small = own.switch_ring(own.drop_to(fresh, 4), 2)
        found.append((small.residues, own.lift_ring(small, 7).residues))
    for one, other in zip(*found, strict=True):
        assert np.array_equal(one, other)


# --- the second secret ----------------------------------------------------------------------------


def test_the_second_secret_follows_from_the_first(
    halves: Parameters, halves_key: SecretKey
) -> None:
    again = SecretKey(halves, halves_key.secret_coefficients())
    other = SecretKey.generate(halves)
    small, same, another = (one.at(0).secret_coefficients() for one in (halves_key, again, other))
    assert np.array_equal(small, same)
    assert not np.array_equal(small, another)
    assert small.size == halves.ring_dimension // 2


def test_who_only_decrypts_has_no_second_secret(halves: Parameters) -> None:
    own = SecretKey.generate(halves)
    fresh, _ = own.encrypt(np.ones(halves.slots), SCALE)
    assert own.decrypt(fresh) == pytest.approx(1.0)
    assert own.at(halves.top) is own
    assert not [found for found in vars(own).values() if isinstance(found, SecretKey)]
    assert own.at(0) is own.at(1) is not own


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
