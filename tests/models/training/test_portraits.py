"""Portraits as training data: mixes, files, what is held out, and what is no portrait."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fhe_face.models.faces import Aligner
from fhe_face.models.faces.crops import warped
from fhe_face.models.training import portraits
from fhe_face.models.training.distil import Faces
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.portraits import (
    Portraits,
    make_portraits,
    mixed,
    read_portraits,
)


def _people(count: int = 30) -> Portraits:
    """One colour each, so that a picture tells whom it is of."""
    colours = np.random.default_rng(0).integers(60, 200, (count, 1, 1, 3))
    return Portraits(np.broadcast_to(colours, (count, 140, 140, 3)).astype(np.uint8))


@pytest.fixture
def teacher() -> Any:
    """Says the mean colour; looks at the template without its margin."""

    def embed(faces: np.ndarray) -> torch.Tensor:
        assert faces.shape[1:] == (112, 112, 3)
        colours = torch.from_numpy(faces.astype(np.float32)).mean((1, 2))
        return torch.nn.functional.normalize(torch.nn.functional.pad(colours, (0, 125)))

    return SimpleNamespace(embed=embed)


def test_a_mix_lies_between_its_two_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portraits, "_ELSEWHERE", 0.0)
    random = np.random.default_rng(1)
    one = np.full((140, 140, 3), 40, np.uint8)
    two = random.integers(0, 256, (140, 140, 3), dtype=np.uint8)
    kinds = set()
    for _ in range(30):
        made = mixed(one, one, random)
        assert np.array_equal(made, one)
        made = mixed(one, two, random)
        assert made.shape == one.shape
        assert made.dtype == np.uint8
        away = np.abs(made.astype(int) - 40).mean((0, 2))
        kinds.add(bool(away.max() > 4 * away.min() + 1))
    assert kinds == {True, False}, "side by side, and all over"


def test_another_background_leaves_the_middle_of_the_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portraits, "_ELSEWHERE", 1.0)
    face = np.full((140, 140, 3), 120, np.uint8)
    made = mixed(face, face, np.random.default_rng(3))
    assert np.array_equal(made[60:85, 60:80], face[60:85, 60:80])
    assert not np.array_equal(made[:20], face[:20])


def test_the_last_file_shows_people_whom_no_other_file_shows(tmp_path: Path, teacher: Any) -> None:
    people = _people()
    assert list(make_portraits(tmp_path, people, 1500, 7, teacher)) == [500, 1000, 1500]
    made = Faces(tmp_path)
    assert made.counts == [1500]
    middle = made.canvases.take(np.arange(1500))[:, 40, 40].astype(int)
    own = people.faces[:, 0, 0].astype(int)
    distance = np.abs(middle[:, None] - own).sum(2)
    plain = np.flatnonzero(distance.min(1) == 0)
    held = set(distance[plain[plain >= 1000]].argmin(1))
    trained = set(distance[plain[plain < 1000]].argmin(1))
    assert held == {27, 28, 29}
    assert trained == set(range(27))
    np.testing.assert_allclose(np.linalg.norm(made.targets, axis=1), 1, atol=1e-5)


def test_people_who_are_reported_are_left_out(teacher: Any) -> None:
    """By the teacher's eyes: colours here, in any light."""
    base = np.eye(3, dtype=np.uint8)[[0, 1, 2, 0]] * 200
    people = Portraits(np.broadcast_to(base[:, None, None], (4, 140, 140, 3)))
    reported = np.broadcast_to(base[:1] // 2, (1, 112, 112, 3))
    left = people.apart_from(reported, teacher)
    assert np.array_equal(left.faces, people.faces[1:3])
    assert left.digest != people.digest


def test_it_goes_on_where_it_was_stopped(tmp_path: Path, teacher: Any) -> None:
    stopped = make_portraits(tmp_path / "one", _people(), 1500, 7, teacher)
    next(stopped)
    stopped.close()
    again = list(make_portraits(tmp_path / "one", _people(), 1500, 7, teacher))
    assert again == [500, 1000, 1500]
    list(make_portraits(tmp_path / "two", _people(), 1500, 7, teacher))
    for file in sorted((tmp_path / "two").iterdir()):
        assert (tmp_path / "one" / file.name).read_bytes() == file.read_bytes()
    with pytest.raises(TrainingError, match="name another folder"):
        next(make_portraits(tmp_path / "one", _people(29), 1500, 7, teacher))
    with pytest.raises(TrainingError, match="at least 1000"):
        next(make_portraits(tmp_path / "three", _people(), 900, 7, teacher))


def test_pictures_without_faces_are_left_out(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    Image.new("RGB", (100, 120), (90, 60, 30)).save(tmp_path / "nobody.png")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(TrainingError, match="0 portraits in 1 pictures; at least 20"):
        read_portraits(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"no jpeg")
    with pytest.raises(TrainingError, match=r"broken\.jpg: cannot be read"):
        read_portraits(tmp_path)


def test_portraits_are_aligned_with_a_margin(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their middle is what `fhe-face` computes on."""
    pytest.importorskip("cv2")
    photo = min((shared / "faces" / "johns").rglob("*.jpg"))
    (tmp_path / photo.name).write_bytes(photo.read_bytes())
    monkeypatch.setattr(portraits, "_FEWEST", 1)
    found = read_portraits(tmp_path).faces
    pixels = np.array(Image.open(photo).convert("RGB"))
    matrix = Aligner().align(pixels).crops[0].matrix
    assert matrix is not None
    crop = warped(pixels, matrix, 112)
    assert found.shape == (1, 140, 140, 3)
    assert np.abs(found[0, 14:-14, 14:-14].astype(int) - crop).mean() < 3
