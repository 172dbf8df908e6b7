"""Operations on ciphertexts: messages and exact scales."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

from fhe_core import encoding
from fhe_core.ciphertext import Ciphertext, Words
from fhe_core.keys.evaluation import EvaluationKeys, MissingKeyError
from fhe_core.parameters import Parameters
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from tests.core import tiny

SCALE = tiny.SCALE
ROTATIONS = (1, 5, 64, 127, 255)
#: 24 deviations of what a rescale rounds, in a slot: 2N / sqrt(18), as an error of a rounded
#: coefficient meets the secret (docs/precision.md).
ROUNDING = 24 * 2 * 256 / math.sqrt(18)


@dataclass(frozen=True)
class Bench:
    """An evaluator, its client, and two encrypted vectors."""

    parameters: Parameters
    key: SecretKey
    keys: EvaluationKeys
    evaluator: Evaluator
    x: tiny.Array
    y: tiny.Array
    a: Ciphertext
    b: Ciphertext

    def at(self, limbs: int) -> Ciphertext:
        """The first ciphertext with so many limbs."""
        return self.a.drop_to(limbs - 1, self.parameters)

    def error(self, ciphertext: Ciphertext, expected: tiny.Array) -> float:
        return float(np.max(np.abs(self.key.decrypt(ciphertext) - expected)))


@pytest.fixture(scope="module")
def bench(short: Parameters, short_key: SecretKey) -> Bench:
    names = [KeyName(r, tier) for tier in range(3) for r in (0, *ROTATIONS)]
    wanted = [KeySpecification(name, (short.tiers[name.tier].limbs - 1,)) for name in names]
    keys = tiny.make_keys(short_key, wanted)
    x, y = np.random.default_rng(0).uniform(-2, 2, (2, short.slots))
    a, b = (short_key.encrypt(z, SCALE)[0] for z in (x, y))
    return Bench(short, short_key, keys, Evaluator(short, keys, 1), x, y, a, b)


@pytest.mark.parametrize("limbs", [2, 3, 4, 6])
def test_hoisted_rotations(bench: Bench, limbs: int) -> None:
    rotated = bench.evaluator.rotate_many(bench.at(limbs), ROTATIONS)
    for rotation, ciphertext in zip(ROTATIONS, rotated, strict=True):
        assert bench.error(ciphertext, np.roll(bench.x, -rotation)) < 1e-8
        assert (ciphertext.limbs, ciphertext.scale) == (limbs, SCALE)
    assert bench.evaluator.rotate_many(bench.a, []) == []


def extended(bench: Bench, ciphertext: Ciphertext) -> Words:
    """P times a ciphertext in the basis QP."""
    evaluator, limbs, level = bench.evaluator, ciphertext.limbs, ciphertext.level
    rows = limbs + len(evaluator.specials(level))
    out = np.zeros((2, rows, bench.parameters.ring_dimension), dtype=np.uint64)
    for i in range(2):
        out[i, :limbs] = evaluator.context.multiply_scalars(
            ciphertext.residues[i], evaluator.p_mod_q(level), list(range(limbs))
        )
    return out


@pytest.mark.parametrize("limbs", [2, 3, 4, 6])
def test_rotation_in_the_extended_basis(bench: Bench, limbs: int) -> None:
    evaluator, low = bench.evaluator, bench.at(limbs)
    for rotation in ROTATIONS:
        rotated = evaluator.rotate_extended(extended(bench, low), low.level, rotation)
        assert rotated.shape[1] == limbs + len(evaluator.specials(low.level))
        down = replace(low, residues=evaluator.mod_down(rotated, low.level))
        assert bench.error(down, np.roll(bench.x, -rotation)) < 1e-8
        divisor = float(bench.parameters.moduli[limbs - 1])
        rescaled = Ciphertext(
            evaluator.mod_down(rotated, low.level, 1), SCALE / divisor, low.level - 1
        )
        assert rescaled.limbs == limbs - 1
        assert bench.error(rescaled, np.roll(bench.x, -rotation)) < ROUNDING


def test_extended_rotations_are_summed_before_one_division(bench: Bench) -> None:
    evaluator = bench.evaluator
    total = evaluator.rotate_extended(extended(bench, bench.a), 5, 1)
    kept = total.copy()
    both = evaluator.rotate_extended(extended(bench, bench.b), 5, 5, total)
    expected = np.roll(bench.x, -1) + np.roll(bench.y, -5)
    assert bench.error(Ciphertext(evaluator.mod_down(both, 5), SCALE, 5), expected) < 1e-8
    alone = Ciphertext(evaluator.mod_down(kept, 5), SCALE, 5)
    assert bench.error(alone, np.roll(bench.x, -1)) < 1e-8


@pytest.mark.parametrize("drop", [0, 1, 2])
@pytest.mark.parametrize("limbs", [4, 6])
def test_products(bench: Bench, drop: int, limbs: int) -> None:
    a, b = bench.at(limbs), bench.b.drop_to(limbs - 1, bench.parameters)
    scale = SCALE**2 / math.prod(float(q) for q in bench.parameters.moduli[limbs - drop : limbs])
    tolerance = 1e-8 + ROUNDING / scale
    for left, right, expected in ((a, b, bench.x * bench.y), (a, a, bench.x**2)):
        product = bench.evaluator.multiply(left, right, drop)
        assert product.limbs == limbs - drop
        assert product.scale == scale
        assert bench.error(product, expected) < tolerance


def test_rescaling(bench: Bench) -> None:
    big = replace(bench.a, scale=1.0)
    for drop in (1, 2):
        divisor = math.prod(float(q) for q in bench.parameters.moduli[6 - drop :])
        rescaled = bench.evaluator.rescale(big, drop)
        assert (rescaled.limbs, rescaled.scale) == (6 - drop, 1.0 / divisor)
        got = bench.key.decrypt(rescaled)
        assert np.max(np.abs(got - bench.x * SCALE)) < ROUNDING * divisor
    assert bench.evaluator.rescale(big, 0) is big


def test_first_limbs_are_a_view(bench: Bench) -> None:
    view, copy = bench.a.first(3, bench.parameters), bench.at(4)
    assert np.array_equal(view.residues, copy.residues)
    assert (view.limbs, view.scale) == (4, copy.scale)
    assert np.shares_memory(view.residues, bench.a.residues)
    for level in (-1, 6):
        with pytest.raises(ValueError, match=f"from level 5 to {level}"):
            bench.a.first(level, bench.parameters)


def test_sums(bench: Bench) -> None:
    total = bench.evaluator.add(bench.a, bench.b)
    assert total.scale == SCALE
    assert bench.error(total, bench.x + bench.y) < 1e-8
    plain = encoding.encode(bench.y, bench.parameters.ring_dimension, SCALE)
    for limbs in (1, 6):
        shifted = bench.evaluator.add_plain(bench.at(limbs), plain)
        assert bench.error(shifted, bench.x + bench.y) < 1e-8
    assert bench.error(bench.a, bench.x) < 1e-8  # operands are left alone


@pytest.mark.parametrize("drop", [0, 1])
def test_plain_products(bench: Bench, drop: int) -> None:
    limbs, scale = 5, 2.0**43
    coefficients = encoding.encode(bench.y, bench.parameters.ring_dimension, scale)
    low = bench.at(limbs)
    product = bench.evaluator.multiply_plain(low, coefficients, scale, drop)
    divisor = float(bench.parameters.moduli[limbs - 1]) if drop else 1.0
    assert (product.limbs, product.scale) == (limbs - drop, SCALE * scale / divisor)
    assert bench.error(product, bench.x * bench.y) < 1e-8


def test_missing_keys_are_named(bench: Bench) -> None:
    with pytest.raises(MissingKeyError, match="rotation by 3 at level 5"):
        bench.evaluator.rotate_many(bench.a, [3])
    keys = EvaluationKeys(bench.parameters, bench.key.key_id, {})
    with pytest.raises(MissingKeyError, match="relinearisation at level 5"):
        Evaluator(bench.parameters, keys, 1).multiply(bench.a, bench.a, 1)


def test_keys_for_fewer_limbs_do_not_serve(bench: Bench) -> None:
    keys = tiny.make_keys(bench.key, [KeySpecification(KeyName(1, 0), (4,))])
    evaluator = Evaluator(bench.parameters, keys, 1)
    rotated = evaluator.rotate_many(bench.at(5), [1])[0]
    assert bench.error(rotated, np.roll(bench.x, -1)) < 1e-8
    for limbs in (6, 4):  # too many, and another tier
        with pytest.raises(MissingKeyError):
            evaluator.rotate_many(bench.at(limbs), [1])


def test_keys_of_another_client_give_garbage(bench: Bench) -> None:
    stranger = SecretKey.generate(bench.parameters)
    keys = tiny.make_keys(stranger, [KeySpecification(KeyName(1, 0), (5,))])
    rotated = Evaluator(bench.parameters, keys, 1).rotate_many(bench.a, [1])[0]
    for key in (bench.key, stranger):
        assert np.median(np.abs(key.decrypt(rotated) - np.roll(bench.x, -1))) > 2.0**40
