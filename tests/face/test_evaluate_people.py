"""Folders of people: what is found there, what is chosen, what cannot be used."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fhe_core.files import FileError
from fhe_face.models.calibration import images
from fhe_face.models.faces import NoFaceError, alignment
from fhe_face.photos.people import Collection, Photo, find_photos, read_faces


def photograph(path: Path, seed: int = 0, size: tuple[int, int] = (64, 64)) -> Path:
    """A file with a smooth random picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = images(np.random.default_rng(seed), 1, max(size))[0]
    Image.fromarray(picture[: size[1], : size[0]]).save(path)
    return path


def test_photos_in_order(tmp_path: Path) -> None:
    for name in ("b/2.pgm", "b/1.PNG", "a/x.jpg", "a/deep/er.png", "a/.hidden.png", ".git/1.png"):
        photograph(tmp_path / name)
    (tmp_path / "b" / "notes.txt").touch()
    (tmp_path / "README").touch()
    (tmp_path / "empty").mkdir()
    found = find_photos(tmp_path)
    assert [str(photo) for photo in found.photos] == ["a/x.jpg", "b/1.PNG", "b/2.pgm"]
    assert (found.people, found.other_files) == (2, 2)
    assert found.nested == (tmp_path / "a" / "deep",)


def test_every_picture_that_is_read(tmp_path: Path) -> None:
    names = ("a/1.jfif", "a/2.jpe", "a/3.dib", "a/4.apng", "a/5.pbm", "a/6.avif")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    photograph(tmp_path / "b" / "x.png").rename(tmp_path / "b" / "no-suffix")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "1.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "notes.txt").write_text("nothing")
    (tmp_path / "empty").mkdir()
    found = find_photos(tmp_path)
    assert [str(photo) for photo in found.photos] == [*names, "b/no-suffix", "c/1.heic"]
    assert (found.other_files, found.without) == (1, ("d",))
    warnings: list[str] = []
    read_faces(found.photos, 64, aligned=True, warn=warnings.append)
    assert any(w.startswith("c/1.heic: is HEIC, which is not supported") for w in warnings)
    assert "c: no image of this person is left" in warnings


def refused(folder: Path) -> str:
    with pytest.raises(FileError) as caught:
        find_photos(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert str(folder) in text
    return text


def test_folders_that_are_none(tmp_path: Path) -> None:
    assert "no such folder; expected one folder for each person" in refused(tmp_path / "missing")
    photograph(tmp_path / "file.png")
    assert "is a file, not a folder" in refused(tmp_path / "file.png")
    assert "images lie directly in it" in refused(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "no folders in it" in refused(tmp_path / "empty")
    (tmp_path / "some" / "person").mkdir(parents=True)
    assert "no images in its folders" in refused(tmp_path / "some")
    photograph(tmp_path / "set" / "faces" / "anna" / "1.png")
    assert f"did you mean {tmp_path}/set/faces?" in refused(tmp_path / "set")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0)
    try:
        assert "permission denied" in refused(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_hostile_names(tmp_path: Path) -> None:
    photograph(tmp_path / "a\nb" / "1\x1b[2J.png")
    (photo,) = find_photos(tmp_path).photos
    assert str(photo).isprintable()
    with pytest.raises(FileError, match="no such folder"):
        find_photos("a\0b")


def collection(counts: list[int]) -> Collection:
    return Collection(
        tuple(
            Photo(f"{person:03}", Path(f"{person:03}/{number:03}.png"))
            for person, count in enumerate(counts)
            for number in range(count)
        )
    )


@given(st.lists(st.integers(1, 12), min_size=2, max_size=20), st.integers(4, 60))
def test_limit_is_even_over_people(counts: list[int], limit: int) -> None:
    everything = collection(counts)
    if sum(counts) > limit and sum(count > 1 for count in counts) < 2:
        with pytest.raises(FileError, match="at least 4 images"):
            everything.limited(limit)
        return
    chosen = everything.limited(limit)
    if sum(counts) <= limit:
        assert chosen == everything
        return
    assert len(chosen.photos) <= limit
    assert list(chosen.photos) == [p for p in everything.photos if p in set(chosen.photos)]
    own = {p.person: sum(q.person == p.person for q in chosen.photos) for p in chosen.photos}
    assert len(own) >= 2
    most = max(own.values())
    for person, count in own.items():
        assert count >= 2
        assert count >= min(most - 1, counts[int(person)])
        first = [p for p in everything.photos if p.person == person][:count]
        assert set(first) <= set(chosen.photos)


def test_limit_by_hand() -> None:
    assert len(collection([10] * 40).limited(20).photos) == 20
    assert collection([10] * 40).limited(20).people == 10
    assert collection([10] * 5).limited(23).people == 5
    with pytest.raises(FileError, match=r"leaves 1 people.*at least 4"):
        collection([10, 10]).limited(3)


def test_aligned_crops(tmp_path: Path) -> None:
    photograph(tmp_path / "a" / "1.png", 1)
    photograph(tmp_path / "a" / "2.png", 2, (128, 128))
    photograph(tmp_path / "a" / "3.png", 3, (92, 112))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.png").write_bytes((tmp_path / "a" / "1.png").read_bytes()[:300])
    (tmp_path / "b" / "2.png").write_bytes(b"no picture")
    warnings: list[str] = []
    faces = read_faces(find_photos(tmp_path).photos, 64, aligned=True, warn=warnings.append)
    assert [str(photo) for photo in faces.photos] == ["a/1.png", "a/2.png"]
    assert faces.crops.shape == (2, 64, 64, 3)
    assert np.array_equal(faces.crops[0], np.asarray(Image.open(tmp_path / "a" / "1.png")))
    assert list(faces.unreadable) == ["a/3.png", "b/1.png", "b/2.png"]
    assert "92x112 pixels; an aligned crop is square" in faces.unreadable["a/3.png"]
    assert [w.split(": ")[0] for w in warnings] == [*faces.unreadable, "b"]
    assert warnings[-1] == "b: no image of this person is left"
    assert all("\n" not in warning for warning in warnings)
    assert faces.labels.tolist() == [0, 0]


def test_nothing_readable(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").touch()
    faces = read_faces(find_photos(tmp_path).photos, 96, aligned=True, warn=lambda _: None)
    assert faces.crops.shape == (0, 96, 96, 3)
    assert faces.labels.shape == (0,)
    assert faces.repeated() == []


class StandIn:
    """An aligner that finds a face in bright pictures and several in colourful ones."""

    def __init__(self, size: int) -> None:
        self.size = size

    def align(self, image: np.ndarray) -> alignment.Alignment:
        assert image.dtype == np.uint8
        dark = image.mean() < 10
        flag = alignment.Flag.NO_FACE if dark else alignment.Flag.SEVERAL_FACES
        pixels = np.full((self.size, self.size, 3), 7, np.uint8)
        return alignment.Alignment((), (alignment.Crop(pixels, (flag,)),))


def test_alignment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhe_face.models.faces.Aligner", StandIn)
    photograph(tmp_path / "a" / "1.png", size=(80, 100))
    Image.new("L", (50, 70)).save(tmp_path / "a" / "2.png")
    warnings: list[str] = []
    faces = read_faces(find_photos(tmp_path).photos, 96, aligned=False, warn=warnings.append)
    assert faces.crops.shape == (1, 96, 96, 3)
    assert faces.no_face == ["a/2.png"]
    assert warnings == ["a/2.png: no face found; left out"]
    assert dict(faces.flags) == {"several-faces": 1}
    assert issubclass(NoFaceError, ValueError)


def test_repeated_pictures(tmp_path: Path) -> None:
    first = photograph(tmp_path / "a" / "1.png", 1)
    (tmp_path / "a" / "2.png").write_bytes(first.read_bytes())
    photograph(tmp_path / "a" / "3.png", 3)
    photograph(tmp_path / "b" / "1.png", 4)
    (tmp_path / "b" / "2.jpg").parent.mkdir(exist_ok=True)
    Image.open(tmp_path / "a" / "3.png").save(tmp_path / "b" / "2.jpg", quality=95, subsampling=0)
    faces = read_faces(find_photos(tmp_path).photos, 64, aligned=True, warn=lambda _: None)
    assert faces.repeated() == [("a/1.png", "a/2.png"), ("a/3.png", "b/2.jpg")]
