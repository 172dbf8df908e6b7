"""The fitter's command line: samples, evaluation, refusals, and `fhe-face coeffs fit`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fhe_face.coeffs.fit import METHODS, Request, main, perform
from fhe_face.coeffs.normalisation import CoefficientError, FittedNormalisation
from fhe_face.commands import coeffs as command


@pytest.fixture
def norms(tmp_path: Path) -> Path:
    """A folder with squared norms of some faces, of others, and of some that diverged."""
    generator = np.random.default_rng(4)
    spread = generator.lognormal(np.log(300), 0.2, (2, 200))
    np.save(tmp_path / "sample.npy", spread[0])
    # As far as the sample reaches: what lies beyond is tested on its own.
    other = spread[1].clip(1.001 * spread[0].min(), 0.999 * spread[0].max())
    (tmp_path / "other.txt").write_text("\n".join(map(repr, other.tolist())))
    (tmp_path / "diverged.json").write_text(json.dumps([*other.tolist(), 1e211, 12.5]))
    (tmp_path / "broken.json").write_text(json.dumps([*other.tolist(), float("nan")]))
    return tmp_path


def run(arguments: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What a successful command prints as JSON."""
    assert main(["--json", *arguments.format(folder).split()]) == 0
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_interval_from_a_sample(norms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.load(norms / "sample.npy")
    for margin in (1.0, 1.2, 2.0):
        got = run(f"--sample {{}}/sample.npy --margin {margin}", norms, capsys)
        wanted = [values.min() / margin, values.max() * margin]
        np.testing.assert_allclose(got["interval"], wanted)
        assert got["sample"]["coverage"] == 1
        assert got["sample"]["file"] == "sample.npy"
        assert "from the sample" in got["source"]
        assert "evaluation" not in got
        assert got["warnings"] == []


@pytest.mark.parametrize("method", METHODS)
def test_sample_and_evaluation(
    method: str, norms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (
        f"--method {method} --degree 4 --newton-steps 1 -o {{0}}/c.json "
        "--sample {0}/sample.npy --evaluation {0}/other.txt"
    )
    got = run(arguments, norms, capsys)
    assert got["method"] == method
    assert (got["multiplicative_depth"], got["levels"]) == (4, 5)  # degree 13
    for name, file in (("sample", "sample.npy"), ("evaluation", "other.txt")):
        assert got[name]["file"] == file
        assert (got[name]["values"], got[name]["inside"], got[name]["coverage"]) == (200, 200, 1)
        assert got[name]["mean_relative_error"] <= got[name]["worst_relative_error"]
        assert got[name]["worst_relative_error"] <= got["worst_relative_error"]
    assert got["worst_relative_error"] < got["polynomial_worst_relative_error"] ** 1.5
    loaded = FittedNormalisation.load(norms / "c.json")
    assert loaded.newton_steps == 1
    assert {**got, **loaded.to_json()} == got
    assert main(arguments.format(norms).split()) == 0
    text = capsys.readouterr().out
    assert "sample.npy, 200 of 200 values inside (100 %)" in text
    assert "other.txt, 200 of 200 values inside (100 %)" in text


def test_the_sample_is_no_evaluation(norms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (norms / "copy.json").write_text(json.dumps(np.load(norms / "sample.npy").tolist()))
    for same in ("sample.npy", "copy.json"):
        arguments = f"--sample {norms}/sample.npy --evaluation {norms}/{same} -o {norms}/c.json"
        assert main([*arguments.split(), "--allow-outside"]) == 1
        assert "evaluation needs other faces" in capsys.readouterr().err
    assert not (norms / "c.json").exists()


def test_shared_values_are_a_warning(norms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.load(norms / "sample.npy")[:50].tolist()
    (norms / "mixed.json").write_text(json.dumps([*values, 333.25]))
    got = run("--sample {0}/sample.npy --evaluation {0}/mixed.json", norms, capsys)
    assert "50 of the 51 evaluation values stand in the sample" in got["warnings"][0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--interval 250 350 --sample {}/sample.npy", "below (least"),
        ("--interval 250 350 --evaluation {}/other.txt", "above (greatest"),
        ("--sample {}/sample.npy --evaluation {}/diverged.json", "1 above (greatest 1e+211)"),
        ("--sample {}/broken.json", "1 not a number"),
        ("--interval 10 3000 --sample {}/diverged.json", "1 of 202 values (0.495 %) outside"),
    ],
)
def test_data_outside_the_interval(
    arguments: str, said: str, norms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*arguments.replace("{}", str(norms)).split(), "-o", str(norms / "c.json"), "--json"]
    assert main(given) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert said in err
    assert "--allow-outside" in err
    assert err.count("\n") == 1
    assert not (norms / "c.json").exists()

    assert main([*given, "--allow-outside"]) == 0
    out, err = capsys.readouterr()
    warnings = [line.removeprefix("warning: ") for line in err.splitlines()]
    got = json.loads(out)
    assert got["warnings"] == warnings
    assert said in warnings[0]
    measured = got.get("evaluation", got.get("sample"))
    assert measured["coverage"] < 1
    assert FittedNormalisation.load(norms / "c.json").interval == tuple(got["interval"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--sample {}/diverged.json --allow-outside", "diverged images"),
        ("--sample {}/one.txt", "two different"),
        ("--sample {}/negative.txt", "two different"),
        ("--sample {}/sample.npy --margin 0.9", "margin"),
        ("--sample {}/sample.npy --margin nan", "margin"),
        ("--margin nan", "margin"),  # also where nothing is widened
        ("--interval 100 3000 --margin 0", "margin"),
        ("--sample {}/sample.npy --margin 1e9", "interval"),
        ("--method distribution-weighted", "needs a sample"),
        (
            "--method distribution-weighted --interval 1 2 --sample {}/sample.npy --allow-outside",
            "no value lies in",
        ),
        ("--sample {}/none.txt", "no such file"),
        ("--sample {}", "cannot be read"),
        ("--newton-steps 5", "Newton steps"),
        ("--newton-steps -1", "Newton steps"),
        ("--interval 1e-13 1", "1e-12"),
        ("--interval 1 1e13", "1e12"),
        ("--interval 1e-3 1e9", "times low"),
        ("--interval 1 1.0000001", "times low"),
        ("--sample {}/sample.npy -o {}/sample.npy", "destroy"),
        ("--evaluation {}/other.txt --plot {}/other.txt", "destroy"),
        ("-o {}/a.png --plot {}/b/../a.png", "destroy"),
    ],
)
def test_refusals(
    arguments: str, said: str, norms: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (norms / "one.txt").write_text("300\n300\n")
    (norms / "negative.txt").write_text("-1\n0\n300\n")
    (norms / "b").mkdir()
    before = {p.name: p.read_bytes() for p in norms.iterdir() if p.is_file()}
    assert main(arguments.replace("{}", str(norms)).split()) == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert before == {p.name: p.read_bytes() for p in norms.iterdir() if p.is_file()}


def test_doubts(norms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (norms / "few.txt").write_text("300\n310\n290\n305\n")
    few = run("--sample {}/few.txt", norms, capsys)["warnings"]
    assert any("chance of 40 %" in warning for warning in few)
    # Far too large in the middle: Newton's iteration leaves for the other side.
    wrong = run("--interval 1 10000 --degree 2 --newton-steps 2", norms, capsys)["warnings"]
    assert any("Newton steps make" in warning for warning in wrong)
    assert any("a higher degree" in warning for warning in wrong)
    narrow = run("--interval 100 101 --degree 15 --method minimax", norms, capsys)["warnings"]
    assert any("Chebyshev" in warning for warning in narrow)
    assert run("--degree 15 --method minimax", norms, capsys)["warnings"] == []


def test_newton_alias_and_default_interval(norms: Path, capsys: pytest.CaptureFixture[str]) -> None:
    got = run("--newton 1 --method minimax --degree 4", norms, capsys)
    assert (got["newton_steps"], got["interval"], got["points"]) == (1, [100, 3000], 0)


def test_module_runs() -> None:
    arguments = "--interval 100 3000 --degree 2 --points 1000 --method least-squares --json"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "fhe_face.coeffs.fit", *arguments.split()],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    printed = json.loads(done.stdout)
    np.testing.assert_allclose(
        printed["coefficients"], [1.057367e-08, -4.753845e-05, 7.176193e-02], rtol=5e-7
    )
    assert round(printed["worst_relative_error"], 2) == 0.33
    assert done.stderr == ""


# --- fhe-face coeffs fit -------------------------------------------------------------------------


def test_sub_command(norms: Path) -> None:
    runner = CliRunner()
    arguments = [
        "fit",
        *("--sample", str(norms / "sample.npy"), "--evaluation", str(norms / "other.txt")),
        *("--method", "minimax", "--degree", "8", "-o", str(norms / "c.json")),
    ]
    done = runner.invoke(command.app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    wanted = perform(
        Request(
            sample=norms / "sample.npy",
            evaluation=norms / "other.txt",
            method="minimax",
            degree=8,
        )
    )
    assert printed == wanted.to_json()
    assert FittedNormalisation.load(norms / "c.json") == wanted.normalisation
    table = runner.invoke(command.app, arguments)
    assert table.exit_code == 0
    assert "other.txt" in table.stdout


def test_sub_command_warns_and_refuses(norms: Path) -> None:
    runner = CliRunner()
    arguments = ["fit", "--interval", "250", "350", "--sample", str(norms / "sample.npy")]
    done = runner.invoke(command.app, arguments)
    assert done.exit_code != 0
    assert isinstance(done.exception, CoefficientError)
    done = runner.invoke(command.app, [*arguments, "--allow-outside"])
    assert done.exit_code == 0
    assert "warning: " in done.stderr


def test_sub_command_costs_nothing_to_import() -> None:
    program = (
        "import sys, fhe_face.commands.coeffs\n"
        "sys.exit('numpy' in sys.modules or 'fhe_face.coeffs.fit' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
