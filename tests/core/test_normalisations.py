"""Polynomials as products of completed squares, against their Chebyshev series."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev

from fhe_core.normalisation import Normalisation, NormalisationError

INTERVAL = (100.0, 3000.0)
#: The quadratic of the published model card.
CARD = (1.057367e-08, -4.753845e-05, 7.176193e-02)
Y = np.linspace(*INTERVAL, 1001)


def interpolated(degree: int, newton_steps: int = 0) -> Normalisation:
    """1 / sqrt(y) at the Chebyshev points of the interval."""
    low, high = INTERVAL
    t = chebyshev.chebpts1(degree + 1)
    y = (low + high + (high - low) * t) / 2
    series = chebyshev.chebfit(t, 1 / np.sqrt(y), degree)
    return Normalisation(tuple(float(c) for c in series), INTERVAL, newton_steps)


def test_powers_of_y() -> None:
    normalisation = Normalisation.from_powers(CARD, INTERVAL)
    assert np.allclose(normalisation.evaluate(Y), np.polyval(CARD, Y), rtol=1e-13)
    assert float(normalisation.evaluate(300.0)) == pytest.approx(np.polyval(CARD, 300.0))


@pytest.mark.parametrize("degree", range(1, 16))
@pytest.mark.parametrize("newton_steps", [0, 1])
def test_the_product_is_the_polynomial(degree: int, newton_steps: int) -> None:
    normalisation = interpolated(degree, newton_steps)
    product = normalisation.product()
    assert normalisation.degree == (3 * degree + 1 if newton_steps else degree)
    assert sum(2 if f.squared else 1 for f in product.factors) == normalisation.degree
    assert len(product.factors) == math.ceil(normalisation.degree / 2)
    t = normalisation.variable(Y)
    assert np.allclose(product.evaluate(t), normalisation.evaluate(Y), rtol=1e-11)
    for factor in product.factors[1:]:
        assert np.max(np.abs(factor.evaluate(t))) <= 1 + 1e-12


def test_newton_steps_square_the_error() -> None:
    error = [np.max(np.abs(interpolated(4, n).evaluate(Y) * np.sqrt(Y) - 1)) for n in range(3)]
    assert error[1] < 2 * error[0] ** 2
    assert error[2] < 2 * error[1] ** 2


@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=6),
    st.floats(1.01, 3),
)
@settings(deadline=None)
def test_any_positive_polynomial(tail: list[float], margin: float) -> None:
    """Positive because the constant term outweighs the rest."""
    if abs(tail[-1]) < 1e-2:
        tail[-1] = 1e-2
    normalisation = Normalisation((margin * sum(map(abs, tail)), *tail), (1.0, 2.0))
    y = np.linspace(1, 2, 101)
    try:
        product = normalisation.product()
    except NormalisationError:  # zeros too unlike to be paired: said, never wrong
        reject()
    assert np.allclose(
        product.evaluate(normalisation.variable(y)), normalisation.evaluate(y), rtol=1e-7
    )


def test_a_polynomial_with_a_zero_is_refused() -> None:
    with pytest.raises(NormalisationError, match="not positive"):
        Normalisation((0.1, 0.2), INTERVAL).product()
    with pytest.raises(NormalisationError, match="not positive"):
        Normalisation((-1.0, 0.2), INTERVAL).product()


@pytest.mark.parametrize("series", [(0.0, -1.0, 2.0**-1022), (1.0, 0.0, 2.0**-1022)])
def test_zeros_far_away_are_refused(series: tuple[float, ...]) -> None:
    """Real or complex: their squares are beyond the largest float."""
    with pytest.raises(NormalisationError, match="unlike"):
        Normalisation(series, INTERVAL).product()


def test_descriptions() -> None:
    normalisation = interpolated(5, 1)
    assert Normalisation.from_description(normalisation.describe()) == normalisation


@pytest.mark.parametrize(
    "change",
    [
        {"newton_steps": -1},
        {"newton_steps": 5},
        {"newton_steps": True},
        {"newton_steps": None},
        {"interval": ["0x1p+3", "0x1p+2"]},
        {"interval": ["nan", "inf"]},
        {"interval": ["0x1p+0"]},
        {"interval": 5},
        {"chebyshev": []},
        {"chebyshev": ["0x1p+0"]},
        {"chebyshev": ["0x1p+0", "0x0p+0"]},
        {"chebyshev": ["0x1p+0", "inf"]},
        {"chebyshev": ["0x1p+0", "0x1p+99999"]},
        {"chebyshev": ["0x1p+0"] * 66},
        {"chebyshev": [1.0, 2.0]},
        {"chebyshev": None},
    ],
)
def test_malformed_descriptions(change: dict[str, Any]) -> None:
    with pytest.raises(NormalisationError):
        Normalisation.from_description({**interpolated(2).describe(), **change})


@pytest.mark.parametrize("content", [None, 5, "x", [], {}])
def test_other_things_are_no_description(content: Any) -> None:
    with pytest.raises(NormalisationError):
        Normalisation.from_description(content)
