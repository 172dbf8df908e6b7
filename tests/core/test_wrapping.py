"""Which wraps are harmless: values beyond the modulus on the way, and at the end."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.divergence.wrapping import remainder, wrapped
from fhe_core import _native, encoding
from fhe_core.ciphertext import Ciphertext
from fhe_core.parameters import Parameters
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.key import SecretKey
from fhe_face.client.headroom import room
from tests.core import tiny
from tests.helpers import centred, crt, integers, reduced

LIMBS = 2
SCALE = 2.0**43


@pytest.fixture(scope="module")
def evaluator(short: Parameters, short_key: SecretKey) -> Evaluator:
    specifications = [
        KeySpecification(KeyName(rotation, short.levels[LIMBS - 1].tier), (LIMBS - 1,))
        for rotation in (0, 1)
    ]
    return Evaluator(short, tiny.make_keys(short_key, specifications), 1)


@given(st.lists(st.integers(-(2**400), 2**400), min_size=1, max_size=16), st.integers(1, 3))
def test_rescaling_divides_the_true_integer(values: list[int], drop: int) -> None:
    """Residues of M, however large, become those of M / q, rounded: not of its remainder's."""
    parameters = tiny.load(tiny.SHORT.name)
    n, limbs = parameters.ring_dimension, 4
    moduli = parameters.moduli[:limbs]
    true = integers(np.zeros(n, dtype=np.int64))
    true[: len(values)] = values
    context = _native.Context(n, list(parameters.moduli), 1)
    rows = list(range(limbs))
    transformed = context.ntt_forward(reduced(true, moduli), rows)
    got = context.divide_and_round(np.stack([transformed] * 2), rows, rows[: limbs - drop])[0]
    kept = moduli[: limbs - drop]
    back = crt(context.ntt_inverse(np.ascontiguousarray(got), rows[: limbs - drop]), kept)
    divisor = math.prod(moduli[limbs - drop :])
    wanted = (true - centred(true % divisor, divisor)) // divisor
    difference = centred(back - wanted, math.prod(kept))
    assert max(abs(int(d)) for d in difference) <= 1  # a tie of the conversion


def squared_at_the_end(
    key: SecretKey, evaluator: Evaluator, slots: tiny.Array
) -> tuple[Ciphertext, tiny.Array]:
    """The square of slots, before rescaling, and the true coefficients as doubles."""
    fresh = key.encrypt(slots, SCALE)[0].drop_to(LIMBS - 1, key.parameters)
    product = evaluator.multiply(fresh, fresh, 0)
    return product, encoding.coefficients(slots**2, slots.size)


def test_a_wrap_on_the_way_is_harmless(
    short: Parameters, short_key: SecretKey, evaluator: Evaluator
) -> None:
    """x squared leaves the modulus by far; minus what makes it small again, nothing is lost."""
    generator = np.random.default_rng(0)
    slots = generator.uniform(1, 2, short.slots) * 2.0**17
    product, true = squared_at_the_end(short_key, evaluator, slots)
    assert np.max(np.abs(true)) > 2.0**12 * room(product, short)
    small = generator.uniform(-1, 1, short.slots)
    for wanted, rescale_first in ((small, False), (small, True)):
        value = evaluator.rescale(product, 1) if rescale_first else product
        scaled, shift = encoding.encode_wide(wanted - slots**2, short.ring_dimension, value.scale)
        value = evaluator.add_plain(value, scaled, shift)
        value = value if rescale_first else evaluator.rescale(value, 1)
        assert np.max(np.abs(short_key.decrypt(value) - wanted)) < 1e-2


def test_a_rotation_of_a_wrapped_value(
    short: Parameters, short_key: SecretKey, evaluator: Evaluator
) -> None:
    slots = np.random.default_rng(1).uniform(1, 2, short.slots) * 2.0**17
    product, _ = squared_at_the_end(short_key, evaluator, slots)
    turned = evaluator.rotate_many(product, [1])[0]
    scaled, shift = encoding.encode_wide(
        -(np.roll(slots, -1) ** 2), short.ring_dimension, turned.scale
    )
    rest = evaluator.rescale(evaluator.add_plain(turned, scaled, shift), 1)
    assert np.max(np.abs(short_key.decrypt(rest))) < 1e-2


@pytest.mark.parametrize("size", [2.0**2, 2.0**6, 2.0**12, 2.0**17])
@pytest.mark.parametrize("constant", [False, True])
def test_the_simulator_is_the_decryption(
    short: Parameters, short_key: SecretKey, evaluator: Evaluator, size: float, constant: bool
) -> None:
    generator = np.random.default_rng(2)
    slots = generator.uniform(-size, size, short.slots)
    if constant:
        slots = np.full(short.slots, size * 0.9)
    product, _ = squared_at_the_end(short_key, evaluator, slots)
    result = evaluator.rescale(product, 1)
    limit = room(result, short)
    got = encoding.coefficients(short_key.decrypt(result), short.ring_dimension)
    simulated = wrapped(slots**2, limit)
    wanted = encoding.coefficients(simulated, short.ring_dimension)
    error = remainder(got - wanted, limit)  # at the edge, either side is right
    assert np.max(np.abs(error)) < 1e-3 * max(1.0, size * 2.0**-10)
    changed = bool(np.max(np.abs(simulated - slots**2)) > 1e-6 * size**2)
    assert changed == (np.max(np.abs(encoding.coefficients(slots**2, got.size))) > limit)


def test_a_wrapped_constant_stays_constant(short: Parameters) -> None:
    """Its spread need not tell."""
    simulated = wrapped(np.full(short.slots, 1e6 + 400.0), 500.0)
    assert np.allclose(simulated, 400.0)


@given(st.integers(-(2**60), 2**60), st.integers(1, 2**40))
def test_remainders_are_exact(value: int, half: int) -> None:
    got = remainder(np.array([float(value)]), float(half))[0]
    assert abs(got) <= half
    assert (int(float(value)) - int(got)) % (2 * half) == 0


def test_values_must_be_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        wrapped(np.array([1.0, np.inf]), 1.0)
