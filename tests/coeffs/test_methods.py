"""The four methods: their optimality, their stability at degree 15, and Newton steps."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial import chebyshev
from numpy.typing import ArrayLike
from scipy.optimize import linprog

from fhe_face.coeffs import basis, methods
from fhe_face.coeffs.basis import Interval
from fhe_face.coeffs.fit import METHODS, fit
from fhe_face.coeffs.normalisation import FittedNormalisation, whole_degree
from fhe_face.coeffs.samples import Sample

FACES = (100.0, 3000.0)
#: Real intervals of squared norms, up to four decimal orders long.
intervals = st.tuples(st.floats(1e-3, 1e6), st.floats(0.05, 4)).map(
    lambda ends: (ends[0], ends[0] * 10 ** ends[1])
)


@pytest.mark.parametrize(("degree", "worst"), [(2, 0.249), (4, 0.098), (8, 0.0175)])
def test_minimax_reaches_the_known_optima(degree: int, worst: float) -> None:
    assert fit("minimax", FACES, degree).worst_relative_error == pytest.approx(worst, rel=0.02)


@given(intervals, st.integers(1, 15))
@settings(max_examples=60)
def test_minimax_equioscillates(interval: Interval, degree: int) -> None:
    coefficients = methods.minimax(interval, degree)
    y = basis.turning_points(coefficients, interval)
    errors = basis.error_at(coefficients, interval, y)
    worst = np.abs(errors).max()
    if worst < 1e-12:  # rounding decides
        return
    assert y.size == degree + 2
    np.testing.assert_allclose(np.abs(errors), worst, rtol=1e-6, atol=2e-13)
    assert np.all(np.sign(errors[1:]) == -np.sign(errors[:-1]))
    grid = np.geomspace(*interval, 20_001).clip(*interval)
    assert np.abs(basis.error_at(coefficients, interval, grid)).max() <= worst * (1 + 1e-9) + 1e-14


@pytest.mark.parametrize("degree", [1, 3, 6, 9])
@pytest.mark.parametrize("interval", [FACES, (174.0, 493.0), (1.0, 500.0)])
def test_linear_programming_finds_nothing_better(interval: Interval, degree: int) -> None:
    low, high = interval
    t = -np.cos(np.linspace(0, np.pi, 1000))
    y = low + (t + 1) / 2 * (high - low)
    left = chebyshev.chebvander(t, degree) * np.sqrt(y)[:, None]
    ones = np.ones((y.size, 1))
    solved = linprog(
        [0.0] * (degree + 1) + [1.0],
        A_ub=np.block([[left, -ones], [-left, -ones]]),
        b_ub=np.concatenate([ones, -ones]),
        bounds=[(None, None)] * (degree + 1) + [(0, None)],
    )
    ours = fit("minimax", interval, degree).worst_relative_error
    assert ours == pytest.approx(solved.fun, rel=1e-3, abs=1e-7)


@given(intervals, st.integers(1, 14))
@settings(max_examples=30)
def test_minimax_gets_better_with_the_degree(interval: Interval, degree: int) -> None:
    lower, higher = (fit("minimax", interval, d).worst_relative_error for d in (degree, degree + 1))
    assert higher <= lower + 1e-14


@given(intervals, st.integers(1, 12), st.integers(0, 2))
@settings(max_examples=30)
def test_no_method_has_a_smaller_worst_error(interval: Interval, degree: int, newton: int) -> None:
    best = fit("minimax", interval, degree, newton_steps=newton).worst_relative_error
    for method in METHODS[:2]:
        other = fit(method, interval, degree, newton_steps=newton).worst_relative_error
        assert best <= other * (1 + 1e-9) + 1e-14


@pytest.mark.parametrize("method", METHODS[:3])
def test_all_degrees_get_better_on_the_default_interval(method: str) -> None:
    errors = [fit(method, FACES, degree).worst_relative_error for degree in range(1, 16)]
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("degree", [1, 5, 15])
def test_least_squares_residuals_are_orthogonal(degree: int, relative: bool) -> None:
    method = methods.relative_least_squares if relative else methods.least_squares
    coefficients = method(FACES, degree, 3000)
    y = np.linspace(*FACES, 3000)
    weights = np.sqrt(y) if relative else np.ones_like(y)
    basis_columns = chebyshev.chebvander(basis.scaled(y, FACES), degree) * weights[:, None]
    residual = weights * (basis.evaluate(coefficients, FACES, y) - 1 / np.sqrt(y))
    sizes = np.linalg.norm(basis_columns, axis=0) * np.linalg.norm(weights / np.sqrt(y))
    assert np.all(np.abs(basis_columns.T @ residual) <= 1e-12 * sizes)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = methods.relative_least_squares(FACES, 15, 1000)
    monkeypatch.setattr(methods, "_ROWS", 7)
    np.testing.assert_allclose(methods.relative_least_squares(FACES, 15, 1000), whole, rtol=1e-9)


def sample_of(values: ArrayLike) -> Sample:
    return Sample(Path("norms.txt"), "0" * 64, np.asarray(values, dtype=np.float64))


def test_distribution_weighted_is_best_where_the_faces_are() -> None:
    generator = np.random.default_rng(1)
    faces = np.exp(generator.normal(math.log(300), 0.15, 400))
    others = np.exp(generator.normal(math.log(300), 0.15, 400))
    means = {}
    for method in METHODS:
        fitted = fit(method, FACES, 3, sample=sample_of(faces))
        means[method] = sample_of(others).measure(fitted).mean_relative_error
        # The rest of the interval is not abandoned.
        assert fitted.worst_relative_error < 1, method
    assert means["distribution-weighted"] is not None
    for method in METHODS[:3]:
        other = means[method]
        assert other is not None
        assert means["distribution-weighted"] < other / 3


@given(st.lists(st.floats(100, 3000), min_size=1, max_size=30), st.integers(1, 15))
@settings(max_examples=40)
def test_distribution_weighted_survives_any_sample(values: list[float], degree: int) -> None:
    fitted = fit("distribution-weighted", FACES, degree, sample=sample_of(values))
    assert fitted.points == len(values)
    y = np.geomspace(*FACES, methods.BACKGROUND_POINTS).clip(*FACES)
    errors = basis.error_at(fitted.chebyshev, FACES, y)
    # Not worse than p = 0, whose errors are all 1.
    assert np.mean(errors**2) <= 1 / methods.BACKGROUND


# --- Newton --------------------------------------------------------------------------------------


@given(intervals, st.integers(1, 10), st.sampled_from(METHODS[:3]))
@settings(max_examples=40)
def test_a_newton_step_squares_the_error(interval: Interval, degree: int, method: str) -> None:
    refined = fit(method, interval, degree, newton_steps=1)
    y = np.linspace(*interval, 500)
    before = basis.error_at(refined.chebyshev, interval, y)
    after = refined.evaluate(y) * np.sqrt(y) - 1
    scale = np.abs(before).max() ** 3 + 1
    np.testing.assert_allclose(after, -(3 * before**2 + before**3) / 2, atol=1e-12 * scale)
    worst_before, _ = basis.relative_errors(refined.chebyshev, interval)
    if worst_before < 0.5:
        assert refined.worst_relative_error <= 1.75 * worst_before**2 + 1e-15


@pytest.mark.parametrize("degree", [1, 2, 4, 8])
def test_minimax_counts_the_newton_steps(degree: int) -> None:
    plain = fit("minimax", FACES, degree)
    refined = fit("minimax", FACES, degree, newton_steps=1)
    unscaled, _ = basis.relative_errors(plain.chebyshev, FACES, 1)
    assert refined.worst_relative_error < unscaled
    y = basis.turning_points(refined.chebyshev, FACES)
    errors = basis.error_at(refined.chebyshev, FACES, y, 1)
    np.testing.assert_allclose(errors, -refined.worst_relative_error, rtol=1e-6)
    # Any other factor is worse.
    for factor in (0.999, 1.001):
        other, _ = basis.relative_errors(np.asarray(refined.chebyshev) * factor, FACES, 1)
        assert other > refined.worst_relative_error


def test_the_normalised_norm_is_within_two_percent() -> None:
    y = np.linspace(*FACES, 10_000)
    for degree, newton in ((8, 0), (4, 1), (1, 2)):
        fitted = fit("minimax", FACES, degree, newton_steps=newton)
        norms = fitted.evaluate(y) * np.sqrt(y)
        assert np.abs(norms - 1).max() <= (0.02 if degree > 1 else 0.1)


@pytest.mark.parametrize(
    ("degree", "newton", "whole", "depth", "levels"),
    [
        (1, 0, 1, 0, 2),
        (2, 0, 2, 1, 3),
        (3, 0, 3, 2, 3),
        (4, 0, 4, 2, 4),
        (7, 0, 7, 3, 4),
        (8, 0, 8, 3, 5),
        (15, 0, 15, 4, 5),
        (2, 1, 7, 3, 4),
        (2, 2, 22, 5, 6),
    ],
)
def test_depth(degree: int, newton: int, whole: int, depth: int, levels: int) -> None:
    fitted = fit("minimax", FACES, degree, newton_steps=newton)
    assert whole_degree(degree, newton) == whole
    assert fitted.multiplicative_depth == depth == math.ceil(math.log2(whole))
    assert fitted.levels == levels == math.ceil(math.log2(2 * whole + 1))


# --- numbers -------------------------------------------------------------------------------------


def exact_value(monomial: tuple[float, ...], y: float) -> Fraction:
    total = Fraction(0)
    for c in monomial:
        total = total * Fraction(y) + Fraction(c)
    return total


@given(
    intervals, st.lists(st.floats(-1, 1), min_size=2, max_size=16), st.floats(0, 1), st.booleans()
)
@settings(max_examples=100)
def test_conversions_keep_the_polynomial(
    interval: Interval, numbers: list[float], place: float, decay: bool
) -> None:
    low, high = interval
    c = [x * (0.7**k if decay else 1) for k, x in enumerate(numbers)]
    monomial = basis.to_monomial(c, interval)
    y = min(max(low + place * (high - low), low), high)
    ours = float(basis.evaluate(c, interval, y))
    slack = basis.monomial_loss(monomial, interval) / math.sqrt(low) + 1e-12
    assert abs(float(exact_value(monomial, y)) - ours) <= slack * 2
    back = basis.to_chebyshev(monomial, interval)
    np.testing.assert_allclose(back, c, atol=slack * 40)


def test_powers_of_y_lose_what_chebyshev_keeps() -> None:
    fitted = fit("minimax", FACES, 15)
    y = np.linspace(*FACES, 400)
    exact = np.array([float(exact_value(fitted.coefficients, float(v))) for v in y])
    chebyshev_values = fitted.evaluate(y)
    # The stored powers are the same polynomial as far as rounding them allows, and no further.
    loss = np.abs(exact / chebyshev_values - 1).max()
    assert 1e-12 < loss <= 1.1 * fitted.monomial_loss < 1e-6
    t = basis.scaled(y, FACES)
    in_fractions = [
        sum(
            (Fraction(c) * Fraction(v) for c, v in zip(fitted.chebyshev, row, strict=True)),
            Fraction(0),
        )
        for row in chebyshev.chebvander(t, 15)
    ]
    np.testing.assert_allclose(chebyshev_values, [float(v) for v in in_fractions], rtol=1e-13)


@pytest.mark.parametrize(
    "interval", [(1e-3, 1e3), (1e6, 1e12), (1e-12, 2e-12), (1e11, 1e12), (1, 1.000001)]
)
@pytest.mark.parametrize("method", METHODS[:3])
def test_extreme_intervals_give_finite_numbers(interval: Interval, method: str) -> None:
    for degree in (1, 2, 8, 15):
        fitted = fit(method, interval, degree, newton_steps=degree % 2)
        assert all(map(math.isfinite, fitted.coefficients + fitted.chebyshev + fitted.errors))
        assert FittedNormalisation.from_json(fitted.to_json()) == fitted


def test_the_worst_error_is_not_a_point_of_a_grid() -> None:
    fitted = fit("relative-least-squares", FACES, 9)
    y = np.linspace(*FACES, 1_000_003)
    on_grid = np.abs(fitted.evaluate(y) * np.sqrt(y) - 1).max()
    assert on_grid <= fitted.worst_relative_error * (1 + 1e-12)
    assert fitted.worst_relative_error == pytest.approx(on_grid, rel=1e-6)
