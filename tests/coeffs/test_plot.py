"""The picture of a fit, with matplotlib and without."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fhe_face.coeffs.fit import fit, main
from fhe_face.coeffs.normalisation import CoefficientError
from fhe_face.coeffs.plot import draw


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, package: str | None = None) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(importlib, "import_module", refuse)


@pytest.mark.usefixtures("without_matplotlib")
def test_without_matplotlib(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--plot", str(tmp_path / "p.png"), "-o", str(tmp_path / "c.json")]
    assert main(arguments) == 1
    assert "pip install 'fhe-face[plot]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_unknown_kinds(tmp_path: Path) -> None:
    for name in ("plot", "plot.exe", "plot.json"):
        with pytest.raises(CoefficientError, match=r"\.png, \.svg, \.pdf"):
            draw(fit("minimax", (100, 3000), 2), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_plot(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    generator = np.random.default_rng(3)
    for name in ("sample", "evaluation"):
        np.save(tmp_path / f"{name}.npy", generator.uniform(150, 900, 2500))
    target = tmp_path / f"plot{suffix}"
    data = [f"--{n}={tmp_path / n}.npy" for n in ("sample", "evaluation")]
    assert main(["--newton-steps", "1", "--plot", str(target), *data]) == 0
    content = target.read_bytes()
    assert len(content) > 5000
    if suffix.lower() == ".png":
        with Image.open(target) as image:
            assert image.size == (960, 840)
            assert len(np.unique(np.asarray(image.convert("L")))) > 20
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "evaluation.npy",
        f"plot{suffix}",
        "sample.npy",
    ]
    assert main(["--plot", "/nowhere/at/all.png"]) == 1
    assert "error: " in capsys.readouterr().err
