"""Encoding: slots and coefficients against direct evaluation at the roots of unity."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core import encoding
from fhe_core.encoding import EncodingError

SIZES = [1, 2, 4, 16, 64, 1024]


def values(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(-3, 3, n)


def evaluate(coefficients: NDArray[np.float64]) -> NDArray[np.complex128]:
    """a_0 + sum of a_i (x^i + x^-i) at x = zeta^(5^j), term by term."""
    n = coefficients.size
    exponents = np.array([pow(5, j, 4 * n) for j in range(n)])
    angles = np.outer(exponents, np.arange(n)) % (4 * n)
    x = np.exp(1j * np.pi * angles / (2 * n))
    pairs = x + np.conj(x)
    pairs[:, 0] = 1
    return np.asarray(pairs @ coefficients)


@pytest.mark.parametrize("n", SIZES)
def test_round_trip(n: int) -> None:
    z = values(n)
    scale = 2.0**40
    got = encoding.decode(encoding.encode(z, n, scale).astype(np.float64), scale)
    assert got.dtype == np.float64
    assert np.max(np.abs(got - z)) < 2 * n / scale


@pytest.mark.parametrize("n", SIZES)
def test_slots_are_values_at_powers_of_five(n: int) -> None:
    z = values(n)
    c = encoding.coefficients(z, n)
    assert np.max(np.abs(evaluate(c) - z)) < 1e-10
    assert np.max(np.abs(encoding.decode(c, 1.0) - z)) < 1e-10
    some = np.random.default_rng(1).normal(size=n)
    assert np.max(np.abs(encoding.decode(some, 1.0) - evaluate(some))) < 1e-10


@pytest.mark.parametrize("n", [16, 256])
def test_substitution_of_a_power_of_five_rotates_slots(n: int) -> None:
    z = values(n)
    c = encoding.coefficients(z, n)
    for rotation in (1, 2, n // 4, n // 2, n - 1):
        element = pow(5, rotation, 4 * n)
        moved = np.zeros(n)
        for i in range(n):  # X^2N = -1, and X^-i belongs to X^i
            power = i * element % (4 * n)
            folded = min(power, 4 * n - power)
            moved[min(folded, 2 * n - folded) % n] += c[i] if folded < n else -c[i]
        assert np.max(np.abs(encoding.decode(moved, 1.0) - np.roll(z, -rotation))) < 1e-10


@pytest.mark.parametrize("period", [1, 2, 8, 32, 128, 256])
def test_periodic_slots_are_an_element_in_a_power_of_x(period: int) -> None:
    n = 256
    row = values(period)
    full = encoding.encode(np.tile(row, n // period), n, 2.0**30)
    stride = n // period
    expected = np.zeros(n, dtype=np.int64)
    expected[::stride] = encoding.encode(row, period, 2.0**30)
    assert np.max(np.abs(full - expected)) <= 1  # a rounding may fall either way
    assert np.count_nonzero(full[np.arange(n) % stride != 0]) == 0


@pytest.mark.parametrize("n", [64, 1024])
def test_rounding_noise_in_a_slot(n: int) -> None:
    """A coefficient rounds with variance 1/12; all but the first count twice, as a cosine."""
    errors = [
        encoding.decode(encoding.encode(values(n, seed), n, 100.0).astype(float), 100.0)
        - values(n, seed)
        for seed in range(20)
    ]
    assert np.std(errors) * 100 == pytest.approx(np.sqrt((2 * n - 1) / 12), rel=0.05)


def test_batches_encode_row_by_row() -> None:
    rows = np.stack([values(64, seed) for seed in range(5)])
    together = encoding.coefficients(rows, 64)
    for row, c in zip(rows, together, strict=True):
        assert np.allclose(c, encoding.coefficients(row, 64), atol=1e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_must_be_finite(bad: float) -> None:
    z = values(16)
    z[3] = bad
    with pytest.raises(EncodingError, match="finite"):
        encoding.encode(z, 16, 1.0)


def test_coefficients_must_fit_62_bits() -> None:
    z = np.ones(16)
    assert encoding.encode(z, 16, 2.0**61)[0] == 2**61
    with pytest.raises(EncodingError, match="62 bits"):
        encoding.encode(z, 16, 2.0**62)
    for huge in (-z * 1e300, z * 1e308, np.array([1.0, -1.0] * 8) * 1.7e308):
        with pytest.raises(EncodingError, match="62 bits"):
            encoding.encode(huge, 16, 1e10)
