"""What Python users pass for a photo and for a face."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fhe_face.demo_faces import demo_faces
from fhe_face.models.faces import Aligner, DetectorError
from fhe_face.photos.images import ImageError, to_unit
from fhe_face.photos.preparation import UNIT_INTERVAL, given, prepare


def scene() -> Image.Image:
    picture = Image.new("RGB", (320, 280), (120, 130, 140))
    picture.paste(Image.fromarray(demo_faces(140)[0]), (90, 70))
    return picture


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    try:
        return Aligner(64)
    except DetectorError as error:
        pytest.skip(str(error))


class Tensor:
    """As torch's: an array that has to be detached first."""

    def __init__(self, array: Any, attached: bool = True) -> None:
        self.array, self.attached = array, attached

    def detach(self) -> Tensor:
        return Tensor(self.array, False)

    def cpu(self) -> Tensor:
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self.attached:
            raise RuntimeError("call detach first")
        return self.array


def test_photos_in_memory(aligner: Aligner, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    scene().save(path)
    data, pixels = path.read_bytes(), np.array(scene())
    expected = prepare(path, aligner=aligner)
    assert expected.prepared == "aligned"
    forms = (str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), scene())
    for form in (*forms, pixels, pixels[:, ::-1][:, ::-1], Tensor(pixels)):
        face = prepare(form, aligner=aligner)
        assert np.array_equal(face.unit, expected.unit)
        assert face.preparation == expected.preparation
    grey = np.array(scene().convert("L"))
    assert prepare(grey, aligner=aligner).prepared == "aligned"


def test_faces_in_memory() -> None:
    face = demo_faces(64)[0]
    unit = to_unit(face)
    for form in (face, Image.fromarray(face), unit, unit.astype(np.float32), Tensor(unit)):
        assert np.allclose(prepare(form).unit, unit, atol=1e-6)
    for form in (face, unit, Tensor(face), Tensor(unit)):
        assert np.array_equal(given(form, 64).unit, unit)


@pytest.mark.parametrize(
    ("photo", "problem"),
    [
        ("https://example.com/a.jpg", "is a URL, which is not fetched"),
        (Path("https://example.com/a.jpg"), "is a URL, which is not fetched"),
        ("data:image/png;base64," + "A" * 5000, "is a URL"),
        (None, "NoneType: not taken; expected a path, bytes, a file object"),
        ([[0]], "list: not taken"),
        (io.StringIO("text"), 'open it as "rb"'),
        (np.zeros((64, 64, 4), np.uint8), "expected a photo as uint8"),
        (np.zeros((3, 64, 64), np.int64), "int64"),
        (np.zeros((0, 4, 3), np.uint8), "expected a photo"),
        (b"no picture", "bytes: not an image"),
        (Image.new("F", (80, 80)), "PIL image: has floating-point pixels"),
        ("a\0b", "no such file"),
    ],
)
def test_what_is_no_photo(photo: object, problem: str) -> None:
    with pytest.raises(ImageError) as caught:
        prepare(photo)
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("face", "problem"),
    [
        (Image.new("RGB", (64, 64)), "Image: not taken; expected an aligned face: a file, uint8"),
        ([[0]], "list: not taken"),
        (None, "NoneType: not taken"),
        (b"bytes", "bytes: not taken"),
        (np.zeros((64, 64, 3), np.int64), "int64 (64, 64, 3); expected uint8 (64, 64, 3) RGB or"),
        (Tensor("text"), "Tensor: cannot be read as an array"),
    ],
)
def test_what_is_no_face(face: object, problem: str) -> None:
    with pytest.raises(ImageError) as caught:
        given(face, 64)
    assert problem in str(caught.value)


def test_values_from_0_to_1(tmp_path: Path) -> None:
    pixels = demo_faces(64)[0]
    half = np.ascontiguousarray(pixels.transpose(2, 0, 1)) / 255
    with pytest.warns(UserWarning, match=r"all lie in \[0, 1\].*Normalize"):
        assert given(half, 64).warnings == (UNIT_INTERVAL,)
    np.save(tmp_path / "a.npy", half)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a file is for the command line, which says it itself
        assert prepare(tmp_path / "a.npy").warnings == (UNIT_INTERVAL,)
        for fine in (to_unit(pixels), np.maximum(pixels, 200), np.zeros((3, 64, 64))):
            assert given(fine, 64).warnings == ()


@pytest.mark.parametrize("module", ["fhe_face.server.server", "fhe_face.commands.embed"])
def test_a_server_loads_no_decoder(module: str) -> None:
    code = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"PIL", "cv2", "scipy"} & set(run.stdout.split())
