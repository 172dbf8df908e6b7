"""A user's own `models`, `coeffs` and `tests` beside ours: each program gets what it asks for."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.install.beside import check
from tests.install.environments import call


def test_beside_an_editable_installation(tmp_path: Path) -> None:
    if importlib.util.find_spec("_editable_skbc_fhe_face") is None:
        pytest.skip("fhe-face is not installed editable here")
    check(Path(sys.executable), tmp_path)
    seen = call([sys.executable, "-c", "import sys; print(*sys.path[1:], sep='\\n')"], tmp_path)
    held = {entry.name for line in seen.split() for entry in _entries(Path(line))}
    assert not held & {"models", "coeffs", "benchmarks", "fuzz"}


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
