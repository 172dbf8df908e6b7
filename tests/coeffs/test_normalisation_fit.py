"""The default quadratic, its file, and the fitter that reproduces it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coeffs.fit import fit, least_squares, main, save
from coeffs.normalisation import CoefficientError, Normalisation

CARD = (1.057367e-08, -4.753845e-05, 7.176193e-02)


def test_default_is_the_card() -> None:
    default = Normalisation.load()
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
    default = Normalisation.load()
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
    assert list(Normalisation.load(out).coefficients) == printed["coefficients"]
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
        {"worst_relative_error": 0.01},
    ],
)
def test_bad_coefficient_files(change: dict[str, Any], tmp_path: Path) -> None:
    content = {**Normalisation.load().to_json(), **change}
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CoefficientError) as caught:
        Normalisation.load(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"{", b"[" * 100_000, b" " * 2_000_000])
def test_files_that_are_not_coefficients(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(data)
    with pytest.raises(CoefficientError, match=str(path)):
        Normalisation.load(path)
    with pytest.raises(CoefficientError, match="no such file"):
        Normalisation.load(tmp_path / "none.json")
    with pytest.raises(CoefficientError, match="cannot be read"):
        Normalisation.load(tmp_path)


def test_nothing_half_written(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="directory"):
        save(Normalisation.load(), tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
