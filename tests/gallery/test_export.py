"""Exports: rows of the matrix are rows of the index, and nobody else may read them."""

from __future__ import annotations

import csv
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest

from fhe_core.files import FileError
from fhe_face.gallery.errors import GalleryError
from tests.gallery.kit import expected, make, people


def index(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_rows_are_rows(tmp_path: Path) -> None:
    with make(tmp_path / "g", names=True) as gallery:
        gallery.enroll(people(tmp_path / "p", 4, 3))
        gallery.delete(["person01"])
        found = gallery.export(tmp_path / "x")
        matrix, rows = np.load(tmp_path / "x" / "embeddings.npy"), index(tmp_path / "x")
        assert matrix.dtype == np.float32
        assert matrix.shape == (9, 32)
        assert [int(row["row"]) for row in rows] == list(range(9))
        by_person = {f"person{n:02}": [expected(n, k) for k in range(3)] for n in (0, 2, 3)}
        for row in rows:
            own = by_person[row["name"]]
            nearest = max(float(matrix[int(row["row"])] @ one) for one in own)
            assert nearest > 1 - 1e-6
            assert gallery.find_templates(row["template"]) == [row["template"]]
            assert gallery.subject(row["subject"]).name == row["name"]
            age = datetime.now(timezone.utc) - datetime.fromisoformat(row["added"])
            assert -1 <= age.total_seconds() < 300
        assert (found.rows, found.people) == (9, 3)
        assert found.loss < 1e-6
        assert found.same is not None
        assert found.different is not None
        assert (found.same.pairs, found.different.pairs) == (9, 27)
        assert found.same.mean > 0.7 > 0.3 > found.different.mean
        assert "same person: mean 0." in found.summary()
        assert "8 bits" not in found.summary()
        for file in (tmp_path / "x").iterdir():
            assert file.stat().st_mode & 0o077 == 0
        with pytest.raises(FileError, match="not empty"):
            gallery.export(tmp_path / "x")


def test_eight_bits_tell_their_loss(tmp_path: Path) -> None:
    with make(tmp_path / "g") as gallery:
        gallery.enroll(people(tmp_path / "p", 4, 3))
        found = gallery.export(tmp_path / "x", kind="int8")
        numbers = np.load(tmp_path / "x" / "embeddings.npy")
        scales = np.load(tmp_path / "x" / "scales.npy")
        assert numbers.dtype == np.int8
        assert 0 < found.loss < 0.02
        assert "8 bits change a cosine by at most" in found.summary()
        gallery.export(tmp_path / "y")
        exact = np.load(tmp_path / "y" / "embeddings.npy")
        assert np.abs(numbers * scales - exact).max() < 0.01
        assert [row["name"] for row in index(tmp_path / "x")] == [""] * 12


def test_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    with make(tmp_path / "g", names=True) as gallery:
        gallery.enroll(people(tmp_path / "p", 2, 2))
        gallery.export(tmp_path / "x", parquet=True)
        table = parquet.read_table(tmp_path / "x" / "index.parquet").to_pylist()
        assert [{k: str(v) for k, v in row.items()} for row in table] == index(tmp_path / "x")
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(GalleryError, match=r"pip install 'fhe-face\[parquet\]'"):
            gallery.export(tmp_path / "y", parquet=True)
        assert not (tmp_path / "y").exists()


def test_nothing_to_export(tmp_path: Path) -> None:
    with make(tmp_path / "g") as gallery:
        with pytest.raises(GalleryError, match="no template"):
            gallery.export(tmp_path / "x")
        with pytest.raises(GalleryError, match="float32 or int8"):
            gallery.export(tmp_path / "x", kind="int4")  # type: ignore[arg-type]
