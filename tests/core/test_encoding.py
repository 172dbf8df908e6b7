"""Encoding: slots and coefficients against direct evaluation at the roots of unity."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core import encoding
from fhe_core.encoding import EncodingError

SIZES = [4, 16, 64, 1024]


def values(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(-3, 3, n // 2)


def evaluate(coefficients: NDArray[np.float64], slots: int) -> NDArray[np.complex128]:
    """a(zeta^(5^j)) term by term."""
    n = coefficients.size
    exponents = np.array([pow(5, j, 2 * n) for j in range(slots)])
    angles = np.outer(exponents, np.arange(n)) % (2 * n)
    return np.asarray(np.exp(1j * np.pi * angles / n) @ coefficients)


@pytest.mark.parametrize("n", SIZES)
def test_round_trip(n: int) -> None:
    z = values(n)
    scale = 2.0**40
    got = encoding.decode(encoding.encode(z, n, scale).astype(np.float64), scale)
    assert np.max(np.abs(got - z)) < n / scale


@pytest.mark.parametrize("n", SIZES)
def test_slots_are_values_at_powers_of_five(n: int) -> None:
    z = values(n) + 1j * values(n, 1)
    c = encoding.coefficients(z, n)
    assert np.max(np.abs(evaluate(c, n // 2) - z)) < 1e-10
    assert np.max(np.abs(encoding.decode(c, 1.0) - z)) < 1e-10


@pytest.mark.parametrize("n", [16, 256])
def test_substitution_of_a_power_of_five_rotates_slots(n: int) -> None:
    z = values(n)
    c = encoding.coefficients(z, n)
    for rotation in (1, 2, n // 4, n // 2 - 1):
        element = pow(5, rotation, 2 * n)
        moved = np.zeros(n)
        for i in range(n):
            power = i * element % (2 * n)
            moved[power % n] += c[i] if power < n else -c[i]
        assert np.max(np.abs(encoding.decode(moved, 1.0) - np.roll(z, -rotation))) < 1e-10


@pytest.mark.parametrize("period", [1, 2, 8, 32, 128])
def test_periodic_slots_are_a_polynomial_in_a_power_of_x(period: int) -> None:
    n = 256
    row = values(2 * period)
    full = encoding.encode(np.tile(row, n // 2 // period), n, 2.0**30)
    stride = n // (2 * period)
    inner = encoding.encode(row, 2 * period, 2.0**30) if period > 1 else full[::stride]
    expected = np.zeros(n, dtype=np.int64)
    expected[::stride] = inner
    assert np.max(np.abs(full - expected)) <= 1  # a rounding may fall either way
    assert np.count_nonzero(full[np.arange(n) % stride != 0]) == 0


def test_coefficients_of_real_slots_are_antisymmetric() -> None:
    c = encoding.encode(values(64), 64, 2.0**30)
    assert np.array_equal(c[1:], -c[:0:-1])


@pytest.mark.parametrize("n", [8, 64, 1024])
def test_rounding_for_real_messages(n: int) -> None:
    """Real parts get half the error of plain rounding; imaginary parts stay as small as errors."""
    z = values(n)
    scaled = encoding.coefficients(z, n) * 100.0

    def error(rounded: NDArray[np.float64]) -> NDArray[np.complex128]:
        assert np.array_equal(rounded, np.rint(rounded))
        assert np.max(np.abs(rounded - scaled)) <= 1
        return np.asarray(encoding.decode(rounded, 100.0) - z)

    plain, real = error(np.rint(scaled)), error(encoding.round_real(scaled))
    encoded = encoding.encode(z, n, 100.0, encoding.round_real)
    assert np.array_equal(encoded, encoding.round_real(scaled))
    rows = np.stack([scaled, 3 * scaled])
    assert np.array_equal(encoding.round_real(rows)[1], encoding.round_real(3 * scaled))
    if n > 8:
        ratio = np.std(real.real) / np.std(plain.real)
        assert 0.4 < ratio < 0.6
        assert np.max(np.abs(real.imag)) < 5 * np.sqrt(n / 8) / 100


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
    z = np.ones(8)
    assert encoding.encode(z, 16, 2.0**61)[0] == 2**61
    with pytest.raises(EncodingError, match="62 bits"):
        encoding.encode(z, 16, 2.0**62)
    for huge in (-z * 1e300, z * 1e308, np.array([1.0, -1.0] * 4) * 1.7e308):
        with pytest.raises(EncodingError, match="62 bits"):
            encoding.encode(huge, 16, 1e10)
