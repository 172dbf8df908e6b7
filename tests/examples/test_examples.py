"""The programs of examples/ run as they stand, each in a process of its own, somewhere else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def programs(repository: Path) -> dict[str, Path]:
    """The programs by their number."""
    return {path.name[0]: path for path in sorted((repository / "examples").glob("[0-9]_*.py"))}


def run(program: Path, folder: Path, *arguments: Path) -> str:
    command = [sys.executable, str(program), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_eight_and_the_page_names_them(
    repository: Path, programs: dict[str, Path]
) -> None:
    assert list(programs) == list("12345678")
    page = (repository / "examples" / "README.md").read_text(encoding="utf-8")
    for program in programs.values():
        assert f"`{program.name}" in page
        assert len(program.read_text(encoding="utf-8").splitlines()) <= 40


def test_a_higher_degree_fits_better(programs: dict[str, Path], tmp_path: Path) -> None:
    lines = run(programs["5"], tmp_path).splitlines()
    errors = [float(line.split()[-2]) for line in lines]
    assert len(errors) == 4
    assert errors == sorted(errors, reverse=True)


def test_the_plan_keeps_its_bound(programs: dict[str, Path], tmp_path: Path) -> None:
    printed = run(programs["6"], tmp_path)
    assert "ring dimension 65536" in printed
    assert "key switches" in printed


@pytest.mark.full
def test_from_keys_to_a_decision(programs: dict[str, Path], tmp_path: Path, shared: Path) -> None:
    photos = sorted((shared / "faces" / "johns" / "John_Salley").glob("*.jpg"))
    if len(photos) < 2:
        pytest.skip(f"no test data: two photos in {shared / 'faces'}")
    keys = tmp_path / "keys"
    try:
        assert "client.key" in run(programs["1"], tmp_path, keys)
        assert "a.ct" in run(programs["2"], tmp_path, keys, photos[0], photos[1])
        assert "score.ct" in run(programs["3"], tmp_path, keys)
        assert run(programs["4"], tmp_path, keys) in ("same\n", "different\n")
        said = run(programs["8"], tmp_path, keys, photos[0], photos[1]).splitlines()
        assert said[0] == "healthy"
        assert said[1] in ("match", "uncertain", "unknown")
    finally:
        shutil.rmtree(keys, ignore_errors=True)  # gigabytes


def test_a_gallery_finds_its_people(
    programs: dict[str, Path], tmp_path: Path, shared: Path
) -> None:
    johns = sorted((shared / "faces" / "johns").glob("*"))[:3]
    if len(johns) < 3:
        pytest.skip(f"no test data: three people in {shared / 'faces'}")
    for person in johns:
        photos = sorted(person.glob("*.jpg"))
        (tmp_path / "people" / person.name).mkdir(parents=True)
        for photo in photos[:2]:
            shutil.copy(photo, tmp_path / "people" / person.name)
    photo = tmp_path / "people" / johns[0].name / sorted(johns[0].glob("*.jpg"))[0].name
    printed = run(programs["7"], tmp_path, tmp_path / "people", photo, tmp_path / "gallery")
    assert "6 faces enrolled" in printed
    assert johns[0].name in printed.splitlines()[-1]
