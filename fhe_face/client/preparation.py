"""From any picture to the network's input, with how it was made. Client only."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fhe_core.files import atomic_write
from fhe_face.client.images import (
    ImageError,
    Unit,
    is_npy,
    load_photo,
    load_unit,
    png_text,
    to_unit,
    validate_unit,
)
from fhe_face.models.faces import (
    Aligner,
    Flag,
    NoFaceError,
    Preparation,
    PreparationError,
    letterboxed,
)

Pixels = NDArray[np.uint8]
Prepared = Literal["as-given", "aligned", "fallback"]

#: A text chunk of PNG files: how the crop was made, and the digest of its pixels.
CHUNK: Final = "fhe-face-preparation"
RESIZED: Final = (
    "scaled as asked, without looking for a face: its embedding means little unless it is aligned"
)


@dataclass(frozen=True, eq=False)
class PreparedFace:
    """A face for the network.

    unit: float64 (3, S, S) in [-1, 1]; prepared: what was done here; preparation: how the face
    was made, as far as known; warnings: one line each, without the file's name; faces: how many
    were found (None where nobody looked); chosen: which of them, from 1.
    """

    unit: Unit
    prepared: Prepared
    preparation: Preparation
    warnings: tuple[str, ...] = ()
    faces: int | None = None
    chosen: int | None = None

    def facts(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "prepared": self.prepared,
            "fallback": self.preparation.fallback,
            "faces_found": self.faces,
            "face": self.chosen,
            "preparation": self.preparation.describe(),
            "warnings": list(self.warnings),
        }


def given(face: str | os.PathLike[str] | NDArray[Any], size: int) -> PreparedFace:
    """An aligned face as it is: a file, uint8 (size, size, 3) RGB, or floats (3, size, size).

    Raises ImageError: another size, shape or type, or an unusable file.
    """
    if isinstance(face, str | os.PathLike):
        return PreparedFace(load_unit(face, size), "as-given", _written_in(Path(face), size))
    unit = to_unit(face) if face.dtype == np.uint8 else face
    return PreparedFace(validate_unit(unit, size), "as-given", Preparation.as_given(size))


def prepare(
    path: str | os.PathLike[str],
    size: int = 64,
    *,
    number: int | None = None,
    resize: bool = False,
    aligner: Aligner | None = None,
) -> PreparedFace:
    """A face from any picture.

    A picture of exactly size x size pixels and a .npy array are taken as they are. In any other
    the largest face is found and aligned, or the `number`-th largest, from 1. Where there is
    none, the whole picture is scaled with black around it, and a warning says so. `resize`: do
    that at once, without looking for a face. `aligner`: for several pictures, made once.

    Raises:
        ImageError: the file cannot be used, or has no face of that number.
        DetectorError: OpenCV or the detector's model file is missing.
    """
    file = Path(path)
    if is_npy(file):
        if number is not None:
            raise ImageError(file, "an array is taken as it is; a face of it cannot be chosen")
        return given(file, size)
    picture = load_photo(file)
    if picture.shape == (size, size, 3) and number is None:
        return PreparedFace(to_unit(picture), "as-given", _written_in(file, size))
    try:
        if resize:
            return _scaled(letterboxed(picture, size), size, RESIZED)
        return _aligned(picture, number, aligner or Aligner(size))
    except NoFaceError as error:
        raise ImageError(file, str(error)) from None


def _scaled(pixels: Pixels, size: int, warning: str, faces: int | None = None) -> PreparedFace:
    how = Preparation.letterboxed(size)
    return PreparedFace(to_unit(pixels), "fallback", how, (warning,), faces)


def _aligned(picture: Pixels, number: int | None, aligner: Aligner) -> PreparedFace:
    alignment = aligner.align(picture, "largest" if number is None else number - 1)
    crop, count = alignment.crops[0], len(alignment.faces)
    if Flag.NO_FACE in crop.flags:
        return _scaled(crop.pixels, aligner.size, Flag.NO_FACE.warning, 0)
    warnings = tuple(
        f"{count} faces found; the largest was taken (--face N takes another)"
        if flag is Flag.SEVERAL_FACES
        else flag.warning
        for flag in crop.flags
    )
    unit = to_unit(crop.pixels)
    return PreparedFace(unit, "aligned", aligner.preparation(), warnings, count, number or 1)


def save_crop(path: Path, pixels: Pixels, preparation: Preparation) -> None:
    """Write a crop as PNG that says how it was made; never over another file.

    Raises:
        FileError: it exists, or cannot be written.
    """
    note = {"crop": _digest(pixels), "preparation": preparation.describe()}
    text = PngInfo()
    text.add_text(CHUNK, json.dumps(note, sort_keys=True))
    write_png(path, Image.fromarray(pixels), text)


def write_png(path: Path, image: Image.Image, text: PngInfo | None = None) -> None:
    """Write a PNG atomically; FileError where the file exists or cannot be written."""
    with atomic_write(path, overwrite=False) as stream:
        image.save(stream, "PNG", pnginfo=text)


def _written_in(file: Path, size: int) -> Preparation:
    """What a crop says about itself; nothing where its pixels were changed afterwards."""
    unknown = Preparation.as_given(size)
    text = None if is_npy(file) else png_text(file, CHUNK)
    if text is None:
        return unknown
    try:
        note = json.loads(text)
        found = Preparation.from_description(note["preparation"])
        same = note["crop"] == _digest(load_photo(file))
    except (ValueError, KeyError, TypeError, RecursionError, PreparationError):
        return unknown
    return found if same and found.size == size else unknown


def _digest(pixels: Pixels) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
