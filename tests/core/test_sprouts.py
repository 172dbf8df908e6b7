"""Levels with primes of their own: rescales by any ratio, keys that hold all rows, exact scales."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from fhe_core.ciphertext import Ciphertext, Words
from fhe_core.compiler.builder import PlanBuilder
from fhe_core.compiler.policy import SAFE
from fhe_core.parameters import ParameterError, Parameters, Specification, Tier, build
from fhe_core.parameters.chains import levels_of
from fhe_core.plan import KeyName, KeySpecification, steps
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from tests.core import tiny

SCALE = 2.0**40
#: No sprout, one, none, two, one that another level has as well, none, another one.
CHAIN = Specification(
    name="insecure-sprouts",
    log_ring_dimension=8,
    limb_bits=(50,) * 6,
    special_bits=(50, 50, 50),
    tiers=(Tier(6, 2, 3), Tier(3, 2, 3)),
    levels=((1,), (1, 34), (3,), (3, 22, 30), (4, 30), (5,), (5, 42), (6, 25)),
)
DROPS = [(a, b) for b, a in combinations(range(len(CHAIN.levels)), 2)]


@pytest.fixture(scope="module")
def parameters() -> Parameters:
    return build(CHAIN)


@pytest.fixture(scope="module")
def key(parameters: Parameters) -> SecretKey:
    return SecretKey.generate(parameters)


@pytest.fixture(scope="module")
def evaluator(parameters: Parameters, key: SecretKey) -> Evaluator:
    tiers = {
        tier: tuple(n for n, level in enumerate(parameters.levels) if level.tier == tier)
        for tier in range(len(parameters.tiers))
    }
    wanted = [
        KeySpecification(KeyName(rotation, tier), levels)
        for tier, levels in tiers.items()
        for rotation in (0, 1, 5)
    ]
    return Evaluator(parameters, tiny.make_keys(key, wanted), 1)


def error(key: SecretKey, ciphertext: Ciphertext, expected: tiny.Array) -> float:
    return float(np.max(np.abs(key.decrypt(ciphertext) - expected)))


def fresh(
    evaluator: Evaluator, key: SecretKey, level: int, scale: float = SCALE
) -> tuple[tiny.Array, Ciphertext]:
    x = np.random.default_rng(level).uniform(-1, 1, evaluator.parameters.slots)
    return x, evaluator.drop_to(key.encrypt(x, scale)[0], level)


def test_levels_have_the_primes_that_were_asked_for(parameters: Parameters) -> None:
    for level, (limbs, *sizes) in zip(parameters.levels, CHAIN.levels, strict=True):
        assert level.rows[:limbs] == tuple(range(limbs))
        primes = [parameters.primes[row] for row in level.rows[limbs:]]
        assert [q.bit_length() for q in primes] == sizes
    assert len(parameters.sprouts) == 5  # that of 30 bits serves two levels
    assert parameters.levels[3].rows[4] == parameters.levels[4].rows[4]
    assert all(q % parameters.root_order == 1 for q in parameters.primes)


@pytest.mark.parametrize(("level", "lower"), DROPS)
def test_rescaling_between_any_two_levels(
    parameters: Parameters, key: SecretKey, evaluator: Evaluator, level: int, lower: int
) -> None:
    """The scale that the plan computes is exact, whatever primes go and come."""
    x, a = fresh(evaluator, key, level)
    ratio = parameters.rescale_factor(level, lower)
    exact = math.prod(parameters.moduli_at(level)) / math.prod(parameters.moduli_at(lower))
    assert ratio == pytest.approx(exact, rel=1e-14)
    factor = round(2.0**24 * ratio / SCALE * 2.0**16)  # so that the message stays above the noise
    big = Ciphertext(_times(parameters, a, factor), SCALE * factor, level)
    rescaled = evaluator.rescale(big, level - lower)
    assert (rescaled.level, rescaled.limbs) == (lower, parameters.levels[lower].limbs)
    assert rescaled.scale == big.scale / ratio
    assert error(key, rescaled, x) < 2.0**12 / rescaled.scale


def _times(parameters: Parameters, a: Ciphertext, factor: int) -> Words:
    """Residues of an integer multiple."""
    moduli = np.array(parameters.moduli_at(a.level), dtype=object)[:, None]
    residues: Words = (a.residues.astype(object) * factor % moduli).astype(np.uint64)
    return residues


@pytest.mark.parametrize(("level", "lower"), DROPS)
def test_dropping_between_any_two_levels(
    parameters: Parameters, key: SecretKey, evaluator: Evaluator, level: int, lower: int
) -> None:
    """The message stays; the scale stays but for the rounding of an integer."""
    x, a = fresh(evaluator, key, level, 2.0**30)
    dropped = evaluator.drop_to(a, lower)
    assert (dropped.level, dropped.limbs) == (lower, parameters.levels[lower].limbs)
    assert dropped.scale == a.scale * parameters.drop_factor(level, lower)
    assert dropped.scale == pytest.approx(a.scale, rel=2.0**-19)
    assert error(key, dropped, x) < 2.0**-15
    if parameters.drop_multiple(level, lower) == 1:  # no error at all
        assert set(parameters.levels[lower].rows) <= set(parameters.levels[level].rows)
        assert error(key, dropped, key.decrypt(a)) < 2.0**-40


def test_a_drop_upwards_is_refused(key: SecretKey, evaluator: Evaluator) -> None:
    _, a = fresh(evaluator, key, 3)
    with pytest.raises(ValueError, match="from level 3 to 4"):
        evaluator.drop_to(a, 4)


@pytest.mark.parametrize("level", range(1, 8))
def test_key_switching_at_every_level(
    parameters: Parameters, key: SecretKey, evaluator: Evaluator, level: int
) -> None:
    """Rotations and products; the mod-down to every lower level keeps or brings its sprouts."""
    scale = 2.0**35
    x, a = fresh(evaluator, key, level, scale)
    (rotated,) = evaluator.rotate_many(a, [5])
    assert rotated.level == level
    assert error(key, rotated, np.roll(x, -5)) < 2.0**-15
    for rescale in range(level + 1):
        ratio = parameters.rescale_factor(level, level - rescale)
        if scale**2 / ratio < 2.0**20:
            break
        product = evaluator.multiply(a, a, rescale)
        assert product.level == level - rescale
        assert product.scale == a.scale**2 / ratio
        assert error(key, product, x**2) < 2.0**-15 + 2.0**12 / product.scale


@pytest.mark.parametrize("level", range(2, 8))
def test_plans_across_sprouts(
    parameters: Parameters, key: SecretKey, evaluator: Evaluator, level: int
) -> None:
    """The compiler drops operands where a level has primes that they do not have."""
    builder = PlanBuilder(parameters, SAFE)
    builder.input("x", level, 2.0**30)
    builder.drop_level("lower", "x", "y", level - 1)
    builder.multiply("product", "x", "y", "p", 0)
    names = {step.op: step for step in builder.steps}
    assert isinstance(names["multiply"], steps.Multiply)
    own, other = parameters.levels[level].rows, parameters.levels[level - 1].rows
    expected = 1 if own[: len(other)] == other else 2
    assert sum(step.op == "drop-level" for step in builder.steps) == expected
    value = builder.values["p"]
    assert value.level == level - 1
    assert value.scale == pytest.approx(2.0**60, rel=2.0**-18)


def test_what_does_not_fit_is_refused() -> None:
    for levels, message in (
        (((1,), (1, 30), (1, 30)), "no larger"),
        (((2,), (1, 30), (6,)), "no larger"),
        (((1,), (2, 50, 50), (6,)), "drown"),
        (((1,), (5,)), "leaves limbs out"),
        (((0, 30), (6,)), "0 limbs"),
        (((1,), (7,)), "7 limbs"),
        (((1, 51), (6,)), "out of range"),
        (((1, 8), (6,)), "out of range"),
        (((1,), (4, 30), (5,), (5, 30), (6,)), "two digits"),
    ):
        with pytest.raises(ParameterError, match=message):
            build(replace(CHAIN, levels=levels))


def test_sprouts_count_against_the_bound(parameters: Parameters) -> None:
    """A key is one sample modulo the product of all its primes."""
    rows = parameters.key_rows(0, range(4, parameters.top + 1))
    assert parameters.log2_qp == math.fsum(math.log2(parameters.primes[row]) for row in rows)
    assert parameters.log2_qp > parameters.log2_q + 150 + 30 + 42 - 1


def test_sizes_become_limbs_and_sprouts() -> None:
    limbs = (44, 50, 50, 50)
    assert levels_of(limbs, [44, 70, 104, 138, 144, 194]) == (
        (1,),
        (1, 26),
        (1, 30, 30),
        (2, 44),
        (3,),
        (4,),
    )
    for size in (43, 50, 300):
        with pytest.raises(ValueError, match=f"{size} bits"):
            levels_of(limbs, [size])
