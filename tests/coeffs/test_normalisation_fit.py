"""The default quadratic, its file, and the fitter that reproduces it."""

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.polynomial import Chebyshev

from fhe_face.coeffs import basis
from fhe_face.coeffs.fit import fit, least_squares, main, save
from fhe_face.coeffs.normalisation import (
    FORMAT_VERSION,
    CoefficientError,
    FittedNormalisation,
    Measurement,
)

CARD = (1.057367e-08, -4.753845e-05, 7.176193e-02)
MEASURED = {
    "file": "norms.txt",
    "sha256": "0" * 64,
    "values": 10,
    "inside": 9,
    "minimum": 90.0,
    "maximum": 2000.0,
    "worst_relative_error": 0.3,
    "mean_relative_error": 0.1,
}


def test_default_is_the_card() -> None:
    default = FittedNormalisation.load()
    assert list(default.coefficients) == list(CARD)
    assert list(default.interval) == [100, 3000]
    assert (default.degree, default.method, default.points) == (2, "least-squares", 1000)
    assert default.worst_relative_error == pytest.approx(0.3315, abs=1e-4)
    assert default.mean_relative_error == pytest.approx(0.1089, abs=1e-4)


def test_least_squares_reproduces_the_card() -> None:
    np.testing.assert_allclose(least_squares((100, 3000), 2, 1000), CARD, rtol=5e-7)


def test_higher_degrees_are_better() -> None:
    errors = [fit("least-squares", (100, 3000), d, 1000).worst_relative_error for d in range(1, 16)]
    assert errors == sorted(errors, reverse=True)


def test_evaluate_and_contains() -> None:
    default = FittedNormalisation.load()
    y = np.array([100.0, 300.0, 3000.0])
    np.testing.assert_allclose(default.evaluate(y), CARD[0] * y**2 + CARD[1] * y + CARD[2])
    assert default.evaluate(300.0).shape == ()
    inside = [100.0, 3000.0, 512.5]
    outside = [99.99, 3000.01, np.nan, np.inf, -np.inf, 1e211]
    assert all(default.contains(v) for v in inside)
    assert not any(default.contains(v) for v in outside)


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "c.json"
    arguments = "--interval 100 3000 --degree 2 --points 1000 --method least-squares --json"
    assert main([*arguments.split(), "-o", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(printed["coefficients"], CARD, rtol=5e-7)
    assert printed["worst_relative_error"] == pytest.approx(0.33, abs=0.005)
    assert list(FittedNormalisation.load(out).coefficients) == printed["coefficients"]
    assert [p.name for p in tmp_path.iterdir()] == ["c.json"]
    assert main([]) == 0
    assert "worst 0.33" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        "--interval 0 10",
        "--interval 10 5",
        "--interval 1 nan",
        "--interval 1 inf",
        "--degree 0",
        "--degree 16",
        "--points 2",
        "--points 99999999999",
        "-o /nowhere/at/all.json",
    ],
)
def test_command_errors(arguments: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", *arguments.split()]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_unknown_method() -> None:
    with pytest.raises(CoefficientError, match="least-squares"):
        fit("magic", (100, 3000), 2, 1000)


@pytest.mark.parametrize(
    "change",
    [
        {"coefficients": []},
        {"coefficients": [1]},
        {"coefficients": [float("nan"), 1.0]},
        {"coefficients": ["1", 2]},
        {"coefficients": [0.0, 1.0, 1.0]},
        {"coefficients": [10**400, 1.0, 1.0]},
        {"coefficients": [1.0] * 1000},
        {"interval": [3000, 100]},
        {"interval": [0, 100]},
        {"interval": [100, float("inf")]},
        {"interval": None},
        {"degree": 3},
        {"degree": 2.5},
        {"worst_relative_error": 0.01},
        {"worst_relative_error": 10**400},
        {"worst_relative_error": True},
        {"worst_relative_error": float("nan")},
        {"version": 3},
        {"version": 0},
        {"version": True},
        {"version": "2"},
        {"newton_steps": 1},  # the stated error is the one without
        {"newton_steps": -1},
        {"newton_steps": 5},
        {"newton_steps": 0.0},
        {"newton_steps": None},
        {"chebyshev": []},
        {"chebyshev": None},
        {"chebyshev": [0.0346, -0.0214]},
        {"chebyshev": [0.0346, -0.0214, float("nan")]},
        {"chebyshev": [0.0346, -0.0214, 0.0112]},
        {"sample": []},
        {"sample": {}},
        {"sample": {**MEASURED, "values": 0}},
        {"sample": {**MEASURED, "inside": 11}},
        {"sample": {**MEASURED, "inside": True}},
        {"sample": {**MEASURED, "file": None}},
        {"sample": {**MEASURED, "sha256": "A" * 64}},
        {"evaluation": {**MEASURED, "minimum": float("nan")}},
        {"evaluation": {**MEASURED, "maximum": 10**400}},
        {"evaluation": {**MEASURED, "mean_relative_error": "0.1"}},
    ],
)
def test_bad_coefficient_files(change: dict[str, Any], tmp_path: Path) -> None:
    content = {**FittedNormalisation.load().to_json(), **change}
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CoefficientError) as caught:
        FittedNormalisation.load(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"{", b"[" * 100_000, b" " * 2_000_000])
def test_files_that_are_not_coefficients(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(data)
    with pytest.raises(CoefficientError, match=str(path)):
        FittedNormalisation.load(path)
    with pytest.raises(CoefficientError, match="no such file"):
        FittedNormalisation.load(tmp_path / "none.json")
    with pytest.raises(CoefficientError, match="cannot be read"):
        FittedNormalisation.load(tmp_path)


def test_files_of_the_first_version() -> None:
    text = files("fhe_face.coeffs").joinpath("default.json").read_text("utf-8")
    content = json.loads(text)
    assert "version" not in content
    old = FittedNormalisation.from_json(content)
    assert (old.newton_steps, old.sample, old.evaluation) == (0, None, None)
    y = np.linspace(100, 3000, 50)
    np.testing.assert_allclose(old.evaluate(y), np.polyval(CARD, y), rtol=1e-13)
    # It stated errors with the rounding of powers of y.
    rounded = fit("least-squares", (400, 500), 15)
    bound = 3 * rounded.monomial_loss
    y = np.linspace(400, 500, basis.ERROR_POINTS)
    stated = np.abs(np.polyval(rounded.coefficients, y) * np.sqrt(y) - 1).max()
    assert rounded.worst_relative_error * 2 < stated < bound
    names = ("coefficients", "interval", "degree")
    first = {name: rounded.to_json()[name] for name in names} | {"worst_relative_error": stated}
    assert FittedNormalisation.from_json(first).degree == 15
    with pytest.raises(CoefficientError, match="worst_relative_error"):
        FittedNormalisation.from_json({**first, "version": 2})
    bare = {name: content[name] for name in ("coefficients", "interval")}
    assert FittedNormalisation.from_json(bare).coefficients == old.coefficients


@pytest.mark.parametrize("degree", [1, 2, 8, 15])
@pytest.mark.parametrize("newton", [0, 2])
def test_files_keep_every_bit(degree: int, newton: int, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    measured = Measurement("n.txt", "0" * 64, 10, 0, None, None, None, None)
    fitted = replace(
        fit("minimax", (100, 3000), degree, newton_steps=newton),
        sample=Measurement.from_json(MEASURED, "sample"),
        evaluation=measured,
    )
    save(fitted, path)
    assert FittedNormalisation.load(path) == fitted
    assert json.loads(path.read_text())["version"] == FORMAT_VERSION
    assert hash(fitted) == hash(FittedNormalisation.load(path))


def test_evaluate_includes_the_newton_steps() -> None:
    y = np.array([[150.0, 300.0], [1000.0, 2500.0]])
    values = FittedNormalisation.load().evaluate(y)
    refined = replace(FittedNormalisation.load(), newton_steps=2).evaluate(y)
    for _ in range(2):
        values = values * (3 - y * values**2) / 2
    np.testing.assert_allclose(refined, values, rtol=1e-13)
    assert refined.shape == y.shape
    with np.errstate(all="raise"):  # far outside it is nonsense, quietly
        refined = replace(FittedNormalisation.load(), newton_steps=4).evaluate(1e211)
    assert not np.isfinite(refined)


def test_changed_coefficients_are_noticed() -> None:
    with pytest.raises(CoefficientError, match="different polynomials"):
        replace(FittedNormalisation.load(), coefficients=(1e-08, -4.753845e-05, 7.176193e-02))


def test_higher_degrees_in_files() -> None:
    low, high = 100.0, 3000.0
    sines = Chebyshev.interpolate(sine, 40).coef.tolist()
    coefficients = basis.to_monomial(sines, (low, high))
    worst, _ = basis.relative_errors(basis.to_chebyshev(coefficients, (low, high)), (low, high))
    content = {"coefficients": list(coefficients), "interval": [low, high]}
    loaded = FittedNormalisation.from_json(content)
    assert loaded.degree == 40
    assert loaded.worst_relative_error == worst
    with pytest.raises(CoefficientError, match="2 to 65"):
        FittedNormalisation.from_json({**content, "coefficients": [1.0] * 66})


def sine(t: Any) -> Any:
    return np.sin(20 * t)


def test_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="folder"):
        save(FittedNormalisation.load(), tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
