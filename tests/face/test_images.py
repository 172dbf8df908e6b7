"""Images in every state: a right answer or one clear ImageError."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fhe_face.photos.images import ImageError, load_face, load_unit, to_unit, validate_unit


def _pixels(size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def _refused(path: Path, problem: str, *, resize: bool = False) -> None:
    for load in (load_face, load_unit):
        with pytest.raises(ImageError, match=problem) as caught:
            load(path, 64, resize)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.ppm", "a.jpg.png"])
def test_lossless_formats(name: str, tmp_path: Path) -> None:
    Image.fromarray(_pixels()).save(tmp_path / name)
    face = load_face(tmp_path / name)
    assert face.dtype == np.uint8
    assert np.array_equal(face, _pixels())
    unit = load_unit(tmp_path / name)
    assert np.array_equal(unit, _pixels().transpose(2, 0, 1) / 127.5 - 1)
    assert unit.flags.writeable
    assert face.flags.writeable


def test_grey_palette_and_bilevel(tmp_path: Path) -> None:
    image = Image.fromarray(_pixels())
    for mode in ("L", "P", "1", "CMYK", "LA"):
        path = tmp_path / f"{mode}.tiff"
        converted = image.convert(mode)
        converted.save(path)
        assert np.array_equal(load_face(path), np.array(converted.convert("RGB")))


def test_transparency_goes_over_black(tmp_path: Path) -> None:
    rgba = np.dstack([_pixels(), np.zeros((64, 64), np.uint8)])
    rgba[:32, :, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    face = load_face(tmp_path / "a.png")
    assert np.array_equal(face[:32], _pixels()[:32])
    assert not face[32:].any()


def test_sixteen_bit_grey(tmp_path: Path) -> None:
    deep = (_pixels()[..., 0].astype(np.uint16)) * 257
    Image.fromarray(deep).save(tmp_path / "a.png")
    assert np.array_equal(load_face(tmp_path / "a.png"), _pixels()[..., :1].repeat(3, axis=2))
    Image.fromarray(deep.astype(np.int32) * 100).save(tmp_path / "b.tiff")
    _refused(tmp_path / "b.tiff", "32-bit pixels beyond 65535")
    Image.fromarray(np.zeros((64, 64), np.float32)).save(tmp_path / "c.tiff")
    _refused(tmp_path / "c.tiff", "floating-point pixels")


def test_exif_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(_pixels()).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(load_face(tmp_path / "a.png"), np.rot90(_pixels(), -1))


def test_another_size(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (200, 100), (10, 200, 30)).save(path)
    _refused(path, "is 200x100 pixels; expected an aligned face of 64x64")
    face = load_face(path, 64, resize=True)
    assert face.shape == (64, 64, 3)
    assert (face[32] == (10, 200, 30)).all()
    assert not face[:10].any()
    assert load_face(path, 96, resize=True).shape == (96, 96, 3)
    Image.new("RGB", (1, 5000)).save(path)
    assert load_face(path, 64, resize=True).shape == (64, 64, 3)


def test_missing_empty_and_no_image(tmp_path: Path) -> None:
    _refused(tmp_path / "none.png", "no such file")
    _refused(tmp_path, "cannot be read")
    path = tmp_path / "a.png"
    for data in (b"", b"hello, I am a text", bytes(1000)):
        path.write_bytes(data)
        _refused(path, "not an image; expected PNG")
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n")
    _refused(path, "not an image")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp", "a.tiff", "a.bmp", "a.ppm"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated(name: str, part: float, tmp_path: Path) -> None:
    path = tmp_path / name
    Image.fromarray(_pixels()).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    _refused(path, "truncated or damaged|not an image")


def test_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(_pixels()).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    _refused(path, "truncated or damaged")


def test_decompression_bomb(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path = tmp_path / "a.png"
    for side in (9_000, 12_000, 100_000):
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        chunks = b"\x89PNG\r\n\x1a\n"
        for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(99))), (b"IEND", b"")):
            checksum = zlib.crc32(kind + body)
            chunks += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
        path.write_bytes(chunks)
        _refused(path, "more than 64 million pixels .* make it smaller", resize=True)
    assert not recwarn.list


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tiff"])
def test_animated(name: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (64, 64), (n, 0, 0)) for n in (0, 120, 250)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    _refused(tmp_path / name, "has 3 frames or pages; expected one still image")


def test_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    unit = to_unit(_pixels())
    for stored in (unit, unit.astype(np.float32), _pixels()):
        np.save(path, stored)
        np.testing.assert_allclose(load_unit(path), unit, atol=1e-6)
    other = path.rename(tmp_path / "array")
    assert load_unit(other).shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.zeros((64, 64, 3)), "expected \\(3, 64, 64\\)"),
        (np.zeros((3, 96, 96)), "expected \\(3, 64, 64\\)"),
        (np.zeros((64, 64), np.uint8), "expected \\(64, 64, 3\\) RGB"),
        (np.full((3, 64, 64), 200.0), "values in \\[200, 200\\]; expected \\[-1, 1\\]"),
        (np.full((3, 64, 64), np.nan), "NaN or infinite"),
        (np.full((3, 64, 64), -np.inf), "NaN or infinite"),
        (np.zeros((3, 64, 64), np.int64), "type is int64"),
        (np.zeros((3, 64, 64), np.complex128), "type is complex128"),
    ],
)
def test_bad_arrays(array: np.ndarray, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, array)
    with pytest.raises(ImageError, match=problem) as caught:
        load_unit(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_hostile_npy(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([{"run": "me"}], dtype=object), allow_pickle=True)
    objects = path.read_bytes()
    np.save(path, np.zeros((3, 64, 64)))
    whole = path.read_bytes()
    huge = whole.replace(b"(3, 64, 64), }     ", b"(3, 9999999, 9999),}")
    assert huge != whole
    for data in (objects, whole[:-8], whole[:20], whole[:7], huge, b""):
        path.write_bytes(data)
        with pytest.raises(ImageError, match="not a readable"):
            load_unit(path)


def test_validate_unit() -> None:
    unit = to_unit(_pixels())
    assert validate_unit(unit, 64) is not unit
    with pytest.raises(ImageError, match="crop: shape"):
        validate_unit(unit, 96, "crop")
    for wrong in (_pixels().astype(float), _pixels()[:32]):
        with pytest.raises(ImageError):
            to_unit(wrong)
    assert to_unit(np.zeros((2, 2, 3), np.uint8)).min() == -1
    assert to_unit(np.full((2, 2, 3), 255, np.uint8)).max() == 1
