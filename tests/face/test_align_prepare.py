"""Any picture to a face: a right answer with a warning where one is due, or one clear error."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fhe_face.models.faces import INSTALL, Aligner, Detector, DetectorError, Flag, Preparation
from fhe_face.photos.images import ImageError, to_unit
from fhe_face.photos.preparation import RESIZED, given, prepare, save_crop

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    try:
        return Aligner(64, Detector())
    except DetectorError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def photo(shared: Path) -> Image.Image:
    """A real colour face, 150x150."""
    photos = sorted((shared / "faces" / "johns").glob("*/*.jpg"))
    if not photos:
        pytest.skip("no test data: faces/johns is missing")
    with Image.open(photos[0]) as image:
        return image.convert("RGB")


def noise(side: int = 64) -> Pixels:
    return np.random.default_rng(5).integers(0, 256, (side, side, 3), dtype=np.uint8)


def similar(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    return float(np.corrcoef(one.ravel(), two.ravel())[0, 1])


def test_a_crop_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)  # it needs no detector
    Image.fromarray(noise()).save(tmp_path / "a.png")
    np.save(tmp_path / "a.npy", to_unit(noise()))
    np.save(tmp_path / "b.npy", noise())
    for face in (
        *(prepare(tmp_path / name) for name in ("a.png", "a.npy", "b.npy")),
        *(given(form, 64) for form in (noise(), to_unit(noise()), tmp_path / "a.png")),
        prepare(tmp_path / "a.png", resize=True),
    ):
        assert np.array_equal(face.unit, to_unit(noise()))
        assert face.prepared == "as-given"
        assert face.preparation == Preparation.as_given(64)
        assert face.warnings == ()
        assert face.faces is None


def test_a_photo_is_aligned(aligner: Aligner, photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "a.png")
    face = prepare(tmp_path / "a.png", aligner=aligner)
    expected = aligner.align(np.array(photo)).crops[0].pixels
    assert np.array_equal(face.unit, to_unit(expected))
    assert (face.prepared, face.faces, face.chosen, face.warnings) == ("aligned", 1, 1, ())
    assert face.preparation == Preparation.aligned(64, aligner.detector.digest)
    assert prepare(tmp_path / "a.png", 96).unit.shape == (3, 96, 96)


def test_no_face(aligner: Aligner, tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), (10, 200, 30)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: no face found \(.*--whole.*whole=True\)"):
        prepare(tmp_path / "a.png", aligner=aligner)
    face = prepare(tmp_path / "a.png", aligner=aligner, whole=True)
    assert face.prepared == "fallback"
    assert face.preparation.fallback
    assert face.warnings == (Flag.NO_FACE.warning,)
    assert face.faces == 0
    pixels = np.rint((face.unit + 1) * 127.5).astype(int)
    assert not pixels[:, :10].any()  # black above and below
    assert (pixels[:, 32].T == (10, 200, 30)).all()
    with pytest.raises(ImageError, match=r"a\.png: face 1 was asked for, 0 found"):
        prepare(tmp_path / "a.png", number=1, aligner=aligner)


def test_resizing_looks_for_no_face(
    photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    photo.save(tmp_path / "a.png")
    face = prepare(tmp_path / "a.png", resize=True)
    assert (face.prepared, face.warnings, face.faces) == ("fallback", (RESIZED,), None)
    assert face.preparation == Preparation.letterboxed(64)
    with pytest.raises(DetectorError) as caught:
        prepare(tmp_path / "a.png")
    assert INSTALL in str(caught.value)


def test_several_faces(aligner: Aligner, photo: Image.Image, tmp_path: Path) -> None:
    scene = Image.new("RGB", (500, 300), (90, 90, 90))
    scene.paste(photo, (20, 60))
    scene.paste(photo.resize((110, 110)).transpose(Image.Transpose.FLIP_LEFT_RIGHT), (330, 90))
    path = tmp_path / "two.png"
    scene.save(path)
    largest, first, second = (prepare(path, number=n, aligner=aligner) for n in (None, 1, 2))
    assert largest.warnings == ("2 faces found; the largest was taken (--face N takes another)",)
    assert first.warnings == second.warnings == ()
    assert np.array_equal(largest.unit, first.unit)
    assert similar(first.unit, second.unit[..., ::-1]) > 0.6
    assert (first.chosen, second.chosen, second.faces) == (1, 2, 2)
    with pytest.raises(ImageError, match=r"two\.png: face 3 was asked for, 2 found"):
        prepare(path, number=3, aligner=aligner)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_turned_by_exif(
    aligner: Aligner, photo: Image.Image, tmp_path: Path, orientation: int
) -> None:
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: None}
    method = turns[orientation] or Image.Transpose.ROTATE_270
    exif = Image.Exif()
    exif[0x0112] = orientation
    photo.transpose(method).save(tmp_path / "a.png", exif=exif)
    photo.save(tmp_path / "b.png")
    one, two = (prepare(tmp_path / name, aligner=aligner) for name in ("a.png", "b.png"))
    assert np.array_equal(one.unit, two.unit)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "LA"])
def test_other_colours(aligner: Aligner, photo: Image.Image, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tiff"
    if mode == "I;16":
        Image.fromarray(np.array(photo.convert("L")).astype(np.uint16) * 257).save(path)
    else:
        photo.convert(mode).save(path)
    grey = mode in ("L", "LA", "I;16")
    expected = aligner.align(np.array(photo.convert("L" if grey else "RGB").convert("RGB")))
    face = prepare(path, aligner=aligner)
    assert (face.prepared, face.faces, face.warnings) == ("aligned", 1, ())
    assert similar(face.unit, to_unit(expected.crops[0].pixels)) > (0.9 if mode == "P" else 0.98)


def test_unusable_files(photo: Image.Image, tmp_path: Path) -> None:
    def refused(name: str, problem: str) -> None:
        with pytest.raises(ImageError, match=problem) as caught:
            prepare(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert "\n" not in str(caught.value)

    photo.save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    refused("cut.jpg", "truncated or damaged")
    frames = [Image.new("RGB", (99, 99), (n, 0, 0)) for n in (0, 99, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    refused("a.gif", "has 3 frames or pages")
    (tmp_path / "a.png").write_text("no image")
    refused("a.png", "not an image")
    refused("none.png", "no such file")
    Image.new("L", (30_001, 10)).save(tmp_path / "wide.png")
    refused("wide.png", "30001x10, more than")
    np.save(tmp_path / "a.npy", noise(65))
    refused("a.npy", "expected")
    with pytest.raises(ImageError, match="cannot be chosen"):
        prepare(tmp_path / "a.npy", number=1)


def test_extreme_shapes(aligner: Aligner, tmp_path: Path) -> None:
    for number, shape in enumerate([(1, 1), (20_000, 30), (3, 2_000)]):
        path = tmp_path / f"{number}.png"
        Image.new("L", shape, 128).save(path)
        face = prepare(path, aligner=aligner, whole=True)
        assert (face.prepared, face.warnings) == ("fallback", (Flag.NO_FACE.warning,))
        assert face.unit.max() >= 0


def test_a_crop_says_how_it_was_made(tmp_path: Path) -> None:
    how = Preparation.aligned(64, "f" * 64)
    path = tmp_path / "crop.png"
    save_crop(path, noise(), how)
    face = prepare(path)
    assert (face.prepared, face.preparation) == ("as-given", how)
    assert given(path, 64).preparation == how
    with Image.open(path) as image:
        info = image.info
        copy = np.array(image)
    copy[0, 0] ^= 1
    changed = tmp_path / "changed.png"
    from PIL.PngImagePlugin import PngInfo

    for pixels, text in ((copy, str(info["fhe-face-preparation"])), (noise(), "{}"), (noise(), "")):
        chunk = PngInfo()
        chunk.add_text("fhe-face-preparation", text)
        Image.fromarray(pixels).save(changed, pnginfo=chunk)
        assert prepare(changed).preparation == Preparation.as_given(64)
