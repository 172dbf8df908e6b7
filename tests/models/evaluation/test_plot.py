"""The picture of an evaluation, with matplotlib and without."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fhe_face.models.evaluation.plot import draw
from fhe_face.models.evaluation.report import EvaluationError, Report, evaluate
from tests.models.evaluation.kit import clusters


@pytest.fixture(scope="module")
def report() -> Report:
    return evaluate(*clusters(12, 5, 0.8))


def test_without_matplotlib(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, package: str | None = None) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(EvaluationError, match=r"pip install 'fhe-face\[plot\]'"):
        draw({"cleartext": report}, tmp_path / "p.png")
    with pytest.raises(EvaluationError, match=r"\.png, \.svg, \.pdf"):
        draw({"cleartext": report}, tmp_path / "p.txt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_plot(report: Report, suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    equal = evaluate(np.ones((4, 2)), [0, 0, 1, 1])
    target = tmp_path / f"plot{suffix}"
    draw({"cleartext": report, "polynomial": equal}, target)
    assert len(target.read_bytes()) > 5000
    if suffix == ".png":
        with Image.open(target) as image:
            assert image.size == (1320, 1020)
            assert len(np.unique(np.asarray(image.convert("L")))) > 20
    assert list(tmp_path.iterdir()) == [target]
