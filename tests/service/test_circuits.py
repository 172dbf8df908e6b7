"""Which circuits an operator offers, and what is said where that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhe_core.errors import Failure
from fhe_face.circuit import CircuitError, normalisation_of
from fhe_face.coeffs.normalisation import CoefficientError
from fhe_face.network import WeightsError, bundled_weights, weights_file, weights_files
from fhe_face.service.admission import Circuits
from fhe_face.service.errors import Invalid
from fhe_face.service.jobs.engines import FaceEngines
from fhe_face.service.serving import served_by
from fhe_face.service.settings import FILE, Settings, load_settings, save_settings


def folder_of(tmp_path: Path, *sizes: int) -> Path:
    """Weights by size; only their names count here."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for size in sizes:
        (folder / f"{size}.safetensors").write_bytes(str(size).encode())
    return folder


def sizes(found: Circuits) -> set[int]:
    return {one["input_size"] for one in found.served}


def test_without_settings_faces_of_64_pixels_are_computed() -> None:
    found = served_by(Settings())
    views = [(one["views"], one.get("client_normalises", False)) for one in found.served]
    assert views == [(1, False), (2, False), (1, True), (2, True)]
    assert {one["input_size"] for one in found.served} == {64}
    assert len(found.summaries()) == 4


def test_a_folder_of_weights_says_which_sizes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 64, 96)
    assert sizes(served_by(Settings(weights=str(folder)))) == {64, 96}
    assert sizes(served_by(Settings(weights=str(folder), sizes=(96,)))) == {96}
    with pytest.raises(WeightsError, match=r"128 \(128.safetensors\)"):
        served_by(Settings(weights=str(folder), sizes=(64, 128)))
    assert weights_file(folder, 96).name == "96.safetensors"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(WeightsError, match="has no weights"):
        weights_files(empty)


def test_the_bundled_weights_are_for_one_size() -> None:
    with pytest.raises(WeightsError, match="not for faces of 96"):
        served_by(Settings(sizes=(96,)))
    assert weights_files() == {64: bundled_weights()}


def test_a_single_file_is_for_the_size_that_is_set(tmp_path: Path) -> None:
    file = tmp_path / "own.safetensors"
    file.write_bytes(b"x")
    assert sizes(served_by(Settings(weights=str(file)))) == {64}
    assert sizes(served_by(Settings(weights=str(file), sizes=(96,)))) == {96}
    with pytest.raises(CircuitError, match="it must be 64, 96 or 128"):
        served_by(Settings(weights=str(file), sizes=(100,)))


def test_other_normalisations(tmp_path: Path, fitted: Path) -> None:
    found = served_by(Settings(coefficients=(str(fitted),)))
    assert len(found.served) == 8
    own = normalisation_of(fitted).describe()
    assert [one["normalisation"] == own for one in found.served] == [False] * 4 + [True] * 4
    assert len(served_by(Settings(coefficients=(str(fitted), str(fitted)))).served) == 8
    with pytest.raises(CoefficientError):
        served_by(Settings(coefficients=(str(tmp_path / "nothing.json"),)))


@pytest.fixture
def fitted(tmp_path: Path) -> Path:
    from fhe_face import cli

    path = tmp_path / "fit.json"
    with pytest.raises(SystemExit) as ended:
        cli.main(["coeffs", "fit", "--interval", "100", "3000", "--degree", "3", "-o", str(path)])
    assert ended.value.code == 0
    return path


@pytest.mark.parametrize(
    "content",
    [{"sizes": 64}, {"sizes": ["64"]}, {"sizes": [True]}, {"coefficients": "a"}, {"sizes": None}],
)
def test_settings_that_make_no_sense(tmp_path: Path, content: object) -> None:
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(Invalid, match="must be a list"):
        load_settings(tmp_path)


def test_settings_are_read_as_they_were_written(tmp_path: Path) -> None:
    settings = Settings(sizes=(64, 128), coefficients=("a.json",), weights="official")
    save_settings(tmp_path, settings)
    assert load_settings(tmp_path) == settings


def test_results_are_named_by_all_weights(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, 64)
    before = FaceEngines(str(folder)).identity()
    (folder / "96.safetensors").write_bytes(b"96")
    assert FaceEngines(str(folder)).identity() != before
    with pytest.raises(Failure):
        FaceEngines(str(tmp_path / "nothing")).identity()
