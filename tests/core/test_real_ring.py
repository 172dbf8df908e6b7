"""The real ring from end to end: what is encrypted, computed and decrypted are N real numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fhe_core import _native, encoding
from fhe_core.ciphertext import Ciphertext
from fhe_core.parameters import ERROR_ETA, Parameters, Ring, Specification, Tier, build
from fhe_core.parameters.bounds import InsecureParametersError
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from tests.core import tiny
from tests.known_answers import frozen

SCALE = tiny.SCALE
PERIODS = (8, 32, 256)


def test_every_coefficient_makes_a_slot(short: Parameters) -> None:
    assert short.ring is Ring.REAL
    assert short.slots == short.ring_dimension
    assert short.root_order == 4 * short.ring_dimension
    assert all(q % short.root_order == 1 for q in (*short.moduli, *short.specials))


def test_add_multiply_rotate_and_decrypt(short: Parameters, short_key: SecretKey) -> None:
    x, y = np.random.default_rng(0).uniform(-2, 2, (2, short.slots))
    keys = tiny.make_keys(
        short_key, [KeySpecification(KeyName(r, 0), (short.top,)) for r in (0, 3, short.slots - 1)]
    )
    evaluator = Evaluator(short, keys, 1)
    a, b = (short_key.encrypt(z, SCALE)[0] for z in (x, y))
    product = evaluator.multiply(evaluator.add(a, b), a, 0)
    for turn, rotated in zip(
        (3, -1), evaluator.rotate_many(product, [3, short.slots - 1]), strict=True
    ):
        expected = np.roll((x + y) * x, -turn)
        assert np.max(np.abs(short_key.decrypt(rotated) - expected)) < 1e-6


@pytest.mark.parametrize("period", PERIODS)
def test_linear_transform(short: Parameters, short_key: SecretKey, period: int) -> None:
    """Masked rotations times weights that repeat: a sum of diagonals."""
    generator = np.random.default_rng(period)
    n, level, amounts = short.ring_dimension, short.top, (0, 1, 7, 250)
    keys = tiny.make_keys(
        short_key, [KeySpecification(KeyName(r, 0), (level,)) for r in amounts if r]
    )
    evaluator = Evaluator(short, keys, 1)
    x = generator.uniform(-1, 1, n)
    mask = (generator.random(n) < 0.5).astype(float)
    rows = generator.uniform(-1, 1, (len(amounts), period))
    a = short_key.encrypt(x, SCALE)[0]
    babies = [
        (0, evaluator.permutation(r, level), key.data, key.rows) if key else (0, None, None, ())
        for r, key in ((r, keys.get(r, level) if r else None) for r in amounts)
    ]
    transform = _native.Transform(
        [encoding.encode(mask, n, 2.0**20)],
        [(i, 0) for i in range(len(amounts))],
        [np.array([(i, i) for i in range(len(amounts))], dtype=np.uint32)],
        encoding.encode(rows, period, 2.0**25),
    )
    sums = evaluator.context.accumulate(
        transform,
        [(a.residues, evaluator.decompose(a.residues[1], level).extended)],
        babies,
        evaluator.rows(level),
        evaluator.specials(level),
        evaluator.p_mod_q(level),
        evaluator.tier(level).digit_limbs,
    )
    got = short_key.decrypt(Ciphertext(evaluator.mod_down(sums[0], level), SCALE * 2.0**45, level))
    expected = sum(
        np.roll(x, -r) * mask * np.tile(row, n // period)
        for r, row in zip(amounts, rows, strict=True)
    )
    assert np.max(np.abs(got - expected)) < 1e-4


def test_noise_of_a_rescale(short: Parameters, short_key: SecretKey) -> None:
    """What is rounded, 1/12 for a coefficient, is 2N/12 in a slot, and meets the secret's 4N/3."""
    evaluator = Evaluator(short, tiny.make_keys(short_key, []), 1)
    n, divisor = short.ring_dimension, float(short.moduli[-1])
    generator = np.random.default_rng(0)
    errors = []
    for _ in range(40):
        x = generator.uniform(-1, 1, n)
        rescaled = evaluator.rescale(short_key.encrypt(x, 2.0**60)[0], 1)
        errors.append((short_key.decrypt(rescaled) - x) * 2.0**60 / divisor)
    assert np.std(errors) == pytest.approx(np.sqrt(2 * n / 12 * (1 + 4 * n / 3)), rel=0.1)


def test_errors_have_the_same_size_in_every_direction() -> None:
    """The covariance of their slots is 2N v times the identity: the first coefficient has 2 v."""
    parameters = build(frozen.SPECIFICATION)
    key = SecretKey.generate(parameters)
    n, zero = parameters.ring_dimension, np.zeros(parameters.ring_dimension, dtype=np.int64)
    count = 6000
    errors = np.stack(
        [
            key.decrypt_polynomial(
                key.encrypt_polynomial(zero, number.to_bytes(32, "big"), 0),
                parameters.levels[-1].rows,
            )
            for number in range(count)
        ]
    )
    variances = np.full(n, ERROR_ETA / 2)
    variances[0] *= 2
    assert np.allclose(errors.var(axis=0), variances, rtol=6 * math.sqrt(2 / count))
    assert np.max(np.abs(errors[:, 1:])) <= ERROR_ETA
    slots = np.stack([encoding.decode(error, 1.0) for error in errors])
    expected = 2 * n * ERROR_ETA / 2
    covariance = slots.T @ slots / count / expected
    assert np.max(np.abs(covariance - np.eye(n))) < 6 * math.sqrt(2 / count)


def test_secrets_are_uniform_in_all_coordinates() -> None:
    parameters = tiny.chain(12, 2)
    secret = SecretKey.generate(parameters).secret_coefficients()
    assert secret.shape == (parameters.ring_dimension,)
    counts = [int(np.count_nonzero(secret == value)) for value in (-1, 0, 1)]
    assert sum(counts) == secret.size
    assert max(abs(c - secret.size / 3) for c in counts) < 6 * math.sqrt(secret.size * 2 / 9)


@pytest.mark.parametrize("ring", list(Ring))
def test_the_bound_is_that_of_dimension_n(ring: Ring) -> None:
    """Of 4,096 coefficients: 106 bits, in both rings, and not the 214 of twice as many."""

    def chain(bits: int) -> Parameters:
        return build(Specification("secure", 12, (bits,), (bits,), (Tier(1, 1, 1),), ring))

    assert chain(50).log2_qp_bound == 106
    with pytest.raises(InsecureParametersError, match="bound 106"):
        build(Specification("secure", 12, (50, 30), (50,), (Tier(2, 1, 1),), ring))


def test_a_key_of_the_standard_ring_has_no_slots() -> None:
    key = SecretKey.generate(tiny.gallery().parameters)
    slots = np.zeros(key.parameters.ring_dimension)
    with pytest.raises(ValueError, match="no slots"):
        key.encrypt(slots, SCALE)
    with pytest.raises(ValueError, match="no slots"):
        key.decrypt(Ciphertext(np.zeros((2, 1, slots.size), np.uint64), SCALE, 0))
