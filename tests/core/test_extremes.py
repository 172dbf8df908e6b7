"""The largest of many errors against drawn ones; room before an overflow against real ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhe_core.analysis.extremes import headroom_bits, likely_largest
from fhe_core.ciphertext import Ciphertext
from fhe_core.parameters import Parameters
from fhe_core.plan import Value
from fhe_core.secret.key import SecretKey


@pytest.mark.parametrize("shape", ["equal", "few large", "spread"])
def test_the_largest_is_as_often_above_as_below(shape: str) -> None:
    draw = np.random.default_rng(1)
    deviations = {
        "equal": np.full(4096, 3.0),
        "few large": np.where(np.arange(4096) % 512, 1e-3, 5.0),
        "spread": np.exp(draw.normal(size=4096)),
    }[shape]
    largest = [np.max(np.abs(draw.normal(0, deviations))) for _ in range(400)]
    assert likely_largest(deviations) == pytest.approx(np.median(largest), rel=0.06)


@given(st.lists(st.floats(1e-30, 1e30), min_size=1, max_size=50), st.floats(1e-10, 1e10))
def test_the_largest_grows_with_the_deviations(deviations: list[float], factor: float) -> None:
    size = likely_largest(np.array(deviations))
    assert 0.6 * max(deviations) < size < 12 * max(deviations)
    assert likely_largest(factor * np.array(deviations)) == pytest.approx(factor * size, rel=0.05)
    assert likely_largest(np.array([*deviations, max(deviations)])) >= size * 0.999


def test_special_deviations() -> None:
    assert likely_largest(np.zeros(8)) == 0
    assert likely_largest(np.array([0.0, 1.0])) == likely_largest(np.array([1.0]))
    assert likely_largest(np.array([1.0, math.inf])) == math.inf
    assert math.isnan(likely_largest(np.array([1.0, math.nan])))


@pytest.mark.parametrize("limbs", [1, 2])
def test_a_value_wraps_around_where_there_is_no_room(
    short: Parameters, short_key: SecretKey, limbs: int
) -> None:
    """Equal slots make one coefficient of their size: just below the room all is well."""
    scale = 2.0**40
    value = Value("x", limbs - 1, scale)
    log_half = math.fsum(map(math.log2, short.moduli[:limbs])) - 1
    for room in (0.5, -0.5):
        size = 2.0 ** (log_half - 40 - room)
        assert headroom_bits(short, value, size) == pytest.approx(room)
        shift = 2.0 ** (45 * (limbs - 1))  # encoding takes no larger coefficients
        fresh, _ = short_key.encrypt(np.full(short.slots, size / shift), scale)
        fresh = fresh.drop_to(limbs - 1, short)
        moved = _times(fresh, int(shift), short)
        got = short_key.decrypt(moved).real
        assert np.allclose(got, size, rtol=0.01) == (room > 0)
    assert headroom_bits(short, value, 0.0) == math.inf
    assert math.isnan(headroom_bits(short, value, math.nan))


def _times(a: Ciphertext, factor: int, parameters: Parameters) -> Ciphertext:
    """Every residue times an integer: the slots grow with it."""
    rows = [
        (a.residues[:, i].astype(object) * factor % q).astype(np.uint64)
        for i, q in enumerate(parameters.moduli_at(a.level))
    ]
    return Ciphertext(np.ascontiguousarray(np.stack(rows, axis=1)), a.scale, a.level)
