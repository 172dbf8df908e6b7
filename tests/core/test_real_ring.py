"""The real ring from end to end: what is encrypted, computed and decrypted are N real numbers."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core import _native, encoding
from fhe_core.ciphertext import Ciphertext
from fhe_core.parameters import Parameters, Ring
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from tests.core import tiny

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
        short_key, [KeySpecification(KeyName(r, 0), short.top) for r in (0, 3, short.slots - 1)]
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
    keys = tiny.make_keys(short_key, [KeySpecification(KeyName(r, 0), level) for r in amounts if r])
    evaluator = Evaluator(short, keys, 1)
    x = generator.uniform(-1, 1, n)
    mask = (generator.random(n) < 0.5).astype(float)
    rows = generator.uniform(-1, 1, (len(amounts), period))
    a = short_key.encrypt(x, SCALE)[0]
    babies = [
        (0, evaluator.permutation(r), key.data, key.rows) if key else (0, None, None, ())
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
        [(a.residues, evaluator.decompose(a.residues[1], level))],
        babies,
        evaluator.rows(level),
        evaluator.specials(level),
        evaluator.p_mod_q(level),
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


def test_a_key_of_the_standard_ring_has_no_slots() -> None:
    key = SecretKey.generate(tiny.gallery().parameters)
    slots = np.zeros(key.parameters.ring_dimension)
    with pytest.raises(ValueError, match="no slots"):
        key.encrypt(slots, SCALE)
    with pytest.raises(ValueError, match="no slots"):
        key.decrypt(Ciphertext(np.zeros((2, 1, slots.size), np.uint64), SCALE, 0))
