"""Polynomials as products of completed squares, against their Chebyshev series."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev

from fhe_core.inverse_root import InverseRoot, InverseRootError

INTERVAL = (100.0, 3000.0)
#: The quadratic of the published model card.
CARD = (1.057367e-08, -4.753845e-05, 7.176193e-02)
Y = np.linspace(*INTERVAL, 1001)


def interpolated(degree: int, newton_steps: int = 0) -> InverseRoot:
    """1 / sqrt(y) at the Chebyshev points of the interval."""
    low, high = INTERVAL
    t = chebyshev.chebpts1(degree + 1)
    y = (low + high + (high - low) * t) / 2
    series = chebyshev.chebfit(t, 1 / np.sqrt(y), degree)
    return InverseRoot(tuple(float(c) for c in series), INTERVAL, newton_steps)


def test_powers_of_y() -> None:
    root = InverseRoot.from_powers(CARD, INTERVAL)
    assert np.allclose(root.evaluate(Y), np.polyval(CARD, Y), rtol=1e-13)
    assert float(root.evaluate(300.0)) == pytest.approx(np.polyval(CARD, 300.0))


@pytest.mark.parametrize("degree", range(1, 16))
@pytest.mark.parametrize("newton_steps", [0, 1])
def test_the_product_is_the_polynomial(degree: int, newton_steps: int) -> None:
    root = interpolated(degree, newton_steps)
    product = root.product()
    assert root.degree == (3 * degree + 1 if newton_steps else degree)
    assert sum(2 if f.squared else 1 for f in product.factors) == root.degree
    assert len(product.factors) == math.ceil(root.degree / 2)
    t = root.variable(Y)
    assert np.allclose(product.evaluate(t), root.evaluate(Y), rtol=1e-11)
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
    root = InverseRoot((margin * sum(map(abs, tail)), *tail), (1.0, 2.0))
    y = np.linspace(1, 2, 101)
    try:
        product = root.product()
    except InverseRootError:  # zeros too unlike to be paired: said, never wrong
        reject()
    assert np.allclose(product.evaluate(root.variable(y)), root.evaluate(y), rtol=1e-7)


def test_a_polynomial_with_a_zero_is_refused() -> None:
    with pytest.raises(InverseRootError, match="not positive"):
        InverseRoot((0.1, 0.2), INTERVAL).product()
    with pytest.raises(InverseRootError, match="not positive"):
        InverseRoot((-1.0, 0.2), INTERVAL).product()


@pytest.mark.parametrize("series", [(0.0, -1.0, 2.0**-1022), (1.0, 0.0, 2.0**-1022)])
def test_zeros_far_away_are_refused(series: tuple[float, ...]) -> None:
    """Real or complex: their squares are beyond the largest float."""
    with pytest.raises(InverseRootError, match="unlike"):
        InverseRoot(series, INTERVAL).product()


def test_descriptions() -> None:
    root = interpolated(5, 1)
    assert InverseRoot.from_description(root.describe()) == root


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
    with pytest.raises(InverseRootError):
        InverseRoot.from_description({**interpolated(2).describe(), **change})


@pytest.mark.parametrize("content", [None, 5, "x", [], {}])
def test_other_things_are_no_description(content: Any) -> None:
    with pytest.raises(InverseRootError):
        InverseRoot.from_description(content)
