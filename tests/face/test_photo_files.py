"""Photo files as phones, cameras and downloads make them."""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from fhe_face.demo_faces import demo_faces
from fhe_face.photos import decoding
from fhe_face.photos.images import ImageError, load_photo


def photo(side: int = 96) -> Image.Image:
    return Image.fromarray(demo_faces(side)[0])


def encoded(kind: str = "JPEG", side: int = 96, **options: Any) -> bytes:
    stream = io.BytesIO()
    photo(side).save(stream, kind, **options)
    return stream.getvalue()


def refused(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        load_photo(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


_HEIF = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (_HEIF, "is HEIC, which is not supported; save it as JPEG (iPhone: Settings, Camera"),
        (_HEIF.replace(b"heic", b"mif1"), "is HEIC"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "is camera raw, which is not supported; save it"),
        (b"II*\0\x10\0\0\0CR\2\0", "is camera raw"),
        (b"FUJIFILMCCD-RAW 0201", "is camera raw"),
        (b"\xff\x0a\0\0", "is JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "is JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "is JPEG 2000"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "is a video"),
        (b"%PDF-1.7\n", "is a PDF document"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">', "is SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "`git lfs pull`"),
        (b"\n<!DOCTYPE html><html>", "is a web page (HTML), not a picture: download it again"),
        (b"<html><head>", "is a web page"),
        (b"", "not an image; expected PNG, JPEG, WebP, AVIF, BMP, GIF, TIFF or PPM"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    assert problem in refused(tmp_path / "a.jpg")


def test_raw_that_begins_as_tiff(tmp_path: Path) -> None:
    (tmp_path / "a.dng").write_bytes(encoded("TIFF"))
    assert "is camera raw" in refused(tmp_path / "a.dng")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.jfif", "JPEG"), ("a.jpe", "JPEG"), ("a.apng", "PNG"), ("a.dib", "DIB"), ("a", "PNG")],
)
def test_names_say_nothing(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(encoded(kind))
    assert load_photo(tmp_path / name).shape == (96, 96, 3)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow does not read AVIF")
def test_avif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.heic").write_bytes(encoded("AVIF"))
    assert load_photo(tmp_path / "a.heic").shape == (96, 96, 3)
    monkeypatch.setattr(features, "check", lambda _: False)
    assert "is AVIF, which the installed Pillow does not read" in refused(tmp_path / "a.heic")


@pytest.mark.parametrize("name", ["corrupt", "gps_as_text", "interop_as_text"])
def test_exif_that_cannot_be_rewritten(name: str, shared: Path) -> None:
    path = shared / "cases" / "08-exif-that-cannot-be-rewritten" / f"{name}.jpg"
    if not path.is_file():
        pytest.skip(f"no test data: {path.name} is missing")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_photo(path).size


def test_any_bytes_in_exif() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8825)[1] = "N"
    data = encoded(exif=exif)
    start = data.index(b"Exif\0\0") + 6
    draw = np.random.default_rng(8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(200):
            changed = bytearray(data)
            for place in draw.integers(start, start + 60, 3):
                changed[place] = draw.integers(256)
            assert decoding.decode(io.BytesIO(bytes(changed)), "a.jpg").pixels.size


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation(orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    photo().crop((0, 0, 96, 64)).save(stream, "PNG", exif=exif)
    with Image.open(stream) as opened:
        expected = np.array(ImageOps.exif_transpose(opened))
        assert np.array_equal(decoding.converted(opened, "image").pixels, expected)
    stream.seek(0)
    assert np.array_equal(decoding.decode(stream, "a.png").pixels, expected)


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"quality": 30}])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end(missing: int, options: dict[str, Any], tmp_path: Path) -> None:
    data = encoded(**options)
    (tmp_path / "a.jpg").write_bytes(data)
    (tmp_path / "b.jpg").write_bytes(data[:-missing])
    assert np.array_equal(load_photo(tmp_path / "a.jpg"), load_photo(tmp_path / "b.jpg"))
    for cut in (8, 40, len(data) // 3):
        (tmp_path / "b.jpg").write_bytes(data[:-cut])
        assert "truncated" in refused(tmp_path / "b.jpg")


def test_pages_of_a_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    photo().save(path, save_all=True, append_images=[photo(32)])
    assert np.array_equal(load_photo(path), np.array(photo()))
    photo(32).save(path, save_all=True, append_images=[photo()])
    assert "has 2 frames or pages; expected one still image" in refused(path)


def test_large_photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 5_000)
    monkeypatch.setattr(decoding, "MAX_JPEG_PIXELS", 20_000)
    (tmp_path / "a.jpg").write_bytes(encoded())
    half = load_photo(tmp_path / "a.jpg")
    assert half.shape == (48, 48, 3)
    expected = np.array(photo().resize((48, 48), Image.Resampling.BOX)).astype(int)
    assert np.abs(half.astype(int) - expected).mean() < 4
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    (tmp_path / "b.jpg").write_bytes(encoded(side=144))
    for name in ("a.png", "b.jpg"):
        assert "the limit for its format; make it smaller" in refused(tmp_path / name)


def test_limits_lie_above_what_phones_make() -> None:
    for wide, high in ((8160, 6144), (8192, 6144), (12000, 9000), (16320, 12240), (16384, 12288)):
        assert wide * high <= decoding.MAX_JPEG_PIXELS
    assert decoding.MAX_PIXELS > 8192 * 6144


def test_errors_travel_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ImageError("a.jpg", "is odd")))
    assert str(error) == "a.jpg: is odd"
