"""The client's key: noise of encryption and decryption, wrong keys, and what it gives away."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core.encoding import EncodingError
from fhe_core.keys.expand import FRESH_DOMAIN, uniform_row
from fhe_core.parameters import ERROR_ETA, Parameters
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from tests.core import tiny

SCALE = tiny.SCALE


def message(parameters: Parameters, seed: int = 0) -> tiny.Array:
    return np.random.default_rng(seed).uniform(-1, 1, parameters.slots)


def test_noise_of_a_fresh_ciphertext(short: Parameters, short_key: SecretKey) -> None:
    n = short.ring_dimension
    expected = np.sqrt(2 * n * (ERROR_ETA / 2 + 1 / 12)) / SCALE
    errors = []
    for seed in range(20):
        z = message(short, seed)
        ciphertext, _ = short_key.encrypt(z, SCALE)
        assert ciphertext.limbs == short.limbs
        assert ciphertext.scale == SCALE
        errors.append(short_key.decrypt(ciphertext) - z)
    error = np.concatenate(errors)
    assert np.max(np.abs(error)) < n * (ERROR_ETA + 1) / SCALE
    assert error.real.std() == pytest.approx(expected, rel=0.1)


def test_decryption_at_every_level(short: Parameters, short_key: SecretKey) -> None:
    """Down to one limb, where coefficients must stay below half of it."""
    z = message(short)
    ciphertext, _ = short_key.encrypt(z, 2.0**40)
    for limbs in range(1, short.limbs + 1):
        assert np.max(np.abs(short_key.decrypt(ciphertext.drop_to(limbs - 1, short)) - z)) < 1e-8
    for bad in (-1, short.limbs):
        with pytest.raises(ValueError, match="cannot drop"):
            ciphertext.drop_to(bad, short)


@pytest.mark.parametrize("size", [2.0**15, 2.0**60, 2.0**85])
def test_decryption_of_large_values(short: Parameters, short_key: SecretKey, size: float) -> None:
    """Beyond the range of float64's integers and of one limb; three limbs hold 2^135."""
    z = message(short) * size
    ciphertext, _ = short_key.encrypt(z, 2.0**61 / size)
    got = short_key.decrypt(ciphertext)
    assert np.max(np.abs(got - z)) < size * 2.0**-45


def test_encryption_is_randomised_and_seeded(short: Parameters, short_key: SecretKey) -> None:
    z = message(short)
    (a, seed), (b, other) = short_key.encrypt(z, SCALE), short_key.encrypt(z, SCALE)
    assert seed != other
    assert not np.any(a.residues == b.residues)
    for i, modulus in enumerate(short.moduli):
        row = np.empty(short.ring_dimension, dtype=np.uint64)
        uniform_row(seed, FRESH_DOMAIN, 0, i, modulus, row)
        assert np.array_equal(a.residues[1, i], row)
        assert a.residues[:, i].max() < modulus


def test_another_key_gives_garbage(short: Parameters, short_key: SecretKey) -> None:
    z = message(short)
    other = SecretKey.generate(short)
    garbage = other.decrypt(short_key.encrypt(z, SCALE)[0])
    assert np.median(np.abs(garbage - z)) > 2.0**40
    assert other.key_id != short_key.key_id


def test_unencodable_values_are_refused(short: Parameters, short_key: SecretKey) -> None:
    for bad, scale in ((np.nan, 1.0), (np.inf, 1.0), (1e6, 2.0**60)):
        with pytest.raises(EncodingError):
            short_key.encrypt(np.full(short.slots, bad), scale)


@pytest.mark.parametrize("bad", [2, -2, 127, -127, -128])
def test_only_ternary_secrets_are_accepted(short: Parameters, bad: int) -> None:
    ternary = np.zeros(short.ring_dimension, dtype=np.int8)
    SecretKey(short, ternary)
    with pytest.raises(ValueError, match="ternary"):
        SecretKey(short, ternary[1:])
    ternary[5] = bad
    with pytest.raises(ValueError, match="ternary") as caught:
        SecretKey(short, ternary)
    assert str(bad) not in str(caught.value)


def test_nothing_that_is_printed_shows_the_secret(short_key: SecretKey) -> None:
    for text in (repr(short_key), str(short_key), f"{short_key}", f"{[short_key]}"):
        assert len(text) < 90
        assert "array" not in text
    assert repr(short_key) == (
        f"SecretKey(parameters='insecure-short', key_id={short_key.key_id[:8]})"
    )


def test_the_key_id_depends_on_the_whole_secret(short: Parameters, short_key: SecretKey) -> None:
    secret = short_key.secret_coefficients().copy()
    assert SecretKey(short, secret).key_id == short_key.key_id
    secret[-1] = (secret[-1] + 2) % 3 - 1
    assert SecretKey(short, secret).key_id != short_key.key_id
    assert len(short_key.key_id) == 32


@pytest.mark.parametrize("limbs", range(1, 7))
def test_evaluation_keys_at_every_level(
    short: Parameters, short_key: SecretKey, limbs: int
) -> None:
    """Each tier with the largest key it allows, and with one that fits the level exactly."""
    tier, z = short.levels[limbs - 1].tier, message(short)
    scale = 2.0**21 if limbs == 1 else 2.0**40  # a product must fit the limbs
    ciphertext = short_key.encrypt(z, scale)[0].drop_to(limbs - 1, short)
    for key_limbs in {limbs, short.tiers[tier].limbs}:
        names = [KeyName(rotation, tier) for rotation in (0, 1, 77, short.slots - 1)]
        keys = tiny.make_keys(
            short_key, [KeySpecification(name, (key_limbs - 1,)) for name in names]
        )
        assert keys.memory_bytes == sum(
            2 * 8 * np.prod(KeySpecification(name, (key_limbs - 1,)).shape(short)) for name in names
        )
        evaluator = Evaluator(short, keys, 1)
        for rotation, rotated in zip(
            (1, 77, -1), evaluator.rotate_many(ciphertext, [1, 77, -1]), strict=True
        ):
            got = short_key.decrypt(rotated)
            assert np.max(np.abs(got - np.roll(z, -rotation))) < 2.0**13.5 / scale
            assert rotated.scale == scale
        squared = short_key.decrypt(evaluator.multiply(ciphertext, ciphertext, 0))
        assert np.max(np.abs(squared - z * z)) < 2.0**13.5 / scale
