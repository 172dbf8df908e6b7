"""From any picture to the network's input, with how it was made. Client only."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fhe_core.files import atomic_write
from fhe_face.models.faces import (
    Aligner,
    Choice,
    Flag,
    NoFaceError,
    Preparation,
    PreparationError,
    letterboxed,
    template_shift,
)
from fhe_face.photos.images import (
    ImageError,
    Picture,
    Unit,
    aligned_crop,
    array_of,
    is_npy,
    lies_in_unit_interval,
    load_face,
    load_picture,
    load_unit,
    to_unit,
    validate_unit,
)

Pixels = NDArray[np.uint8]
Prepared = Literal["as-given", "aligned", "fallback"]

#: A text chunk of PNG files: how the crop was made, and the digest of its pixels.
CHUNK: Final = "fhe-face-preparation"
RESIZED: Final = (
    "scaled as asked, without looking for a face: its embedding means little unless it is aligned"
)
#: What to do about a photo without a face, beside "no face found".
WHOLE_REMEDY: Final = "to take the whole picture all the same: --whole, in Python whole=True"
TWICE: Final = (
    "looks like an aligned crop, which was aligned once more; --aligned (in Python aligned=True) "
    "takes it as it is"
)
#: Corners of aligned crops move less, in pixels of the template, when they are aligned again.
_CROP_SHIFT: Final = 8.0
UNIT_INTERVAL: Final = (
    "values all lie in [0, 1]; the network expects them from -1 to 1, that is pixel / 127.5 - 1 "
    "(after torchvision's ToTensor: Normalize with mean and deviation 0.5)"
)


@dataclass(frozen=True, eq=False)
class PreparedFace:
    """A face for the network.

    unit: float64 (3, S, S) in [-1, 1]; prepared: what was done here; preparation: how the face
    was made, as far as known; warnings: one line each, without the file's name; faces: how many
    were found (None where nobody looked); chosen: which of them, from 1.
    """

    unit: Unit = field(repr=False)  # a face is not for logs
    prepared: Prepared
    preparation: Preparation
    warnings: tuple[str, ...] = ()
    faces: int | None = None
    chosen: int | None = None

    def with_contrast(self, contrast: float) -> PreparedFace:
        """The same face with less contrast: what the network diverges on may do well then.

        contrast: of the one that it has; above 0, at most 1.

        Raises:
            ImageError: another contrast.
        """
        try:
            how = self.preparation.with_contrast(contrast)
        except PreparationError as error:
            raise ImageError("image", str(error)) from None
        return replace(self, unit=self.unit * contrast, preparation=how)

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


def given(face: Any, size: int) -> PreparedFace:
    """An aligned face as it is: a file, uint8 (size, size, 3) RGB, or floats (3, size, size).

    Floats that all lie in [0, 1] give a Python warning: they are meant to reach from -1 to 1.

    Raises ImageError: another size, shape or type, or an unusable file.
    """
    if isinstance(face, str | os.PathLike):
        found = _given_file(Path(face), size)
    else:
        found = _given_array(face, size)
    for warning in found.warnings:
        warnings.warn(warning, stacklevel=4)  # of who called FaceClient
    return found


def prepare(
    photo: Any,
    size: int = 64,
    *,
    number: int | None = None,
    whole: bool = False,
    resize: bool = False,
    aligned: bool = False,
    aligner: Aligner | None = None,
) -> PreparedFace:
    """A face from any picture: a path, bytes, a file object, a PIL image, or an array of a photo.

    A photo's array (or torch tensor) is uint8 (H, W, 3) RGB or (H, W) grey. A picture of exactly
    size x size pixels, a .npy file and floats (3, size, size) in [-1, 1] are taken as they are.
    In any other the largest face is found and aligned, or the `number`-th largest, from 1.

    whole: where there is no face, scale the whole picture with black around it, and warn.
    resize: do that at once, without looking for a face. aligned: the picture is an aligned crop
    of whatever size; it is only scaled. aligner: for several pictures, made once.

    Raises:
        ImageError: the picture cannot be used, has no face (without `whole`), or none of that
            number.
        DetectorError: OpenCV or the detector's model file is missing.
    """
    name = photo if isinstance(photo, str | os.PathLike) else "image"
    if _is_network_input(photo):
        if number is not None:
            raise ImageError(name, "an array is taken as it is; a face of it cannot be chosen")
        if isinstance(photo, str | os.PathLike):
            return _given_file(Path(photo), size)
        return given(photo, size)
    picture = load_picture(photo)
    if aligned:
        return _crop(picture, size, name)
    if picture.pixels.shape == (size, size, 3) and number is None:
        return PreparedFace(to_unit(picture.pixels), "as-given", _written_in(picture, size))
    try:
        if resize:
            return _scaled(letterboxed(picture.pixels, size), size, RESIZED)
        return _aligned(picture.pixels, number, aligner or Aligner(size), whole)
    except NoFaceError as error:
        raise ImageError(name, str(error)) from None


def _is_network_input(photo: Any) -> bool:
    """Whether it is an array of floats, in memory or in a file."""
    if isinstance(photo, str | os.PathLike):
        return is_npy(photo)
    array = array_of(photo)
    return array is not None and array.dtype.kind == "f"


def _given_file(file: Path, size: int) -> PreparedFace:
    if not is_npy(file):
        pixels = load_face(file, size)
        how = _written_in(load_picture(file), size)
        return PreparedFace(to_unit(pixels), "as-given", how)
    return _as_given(load_unit(file, size), size)


def _given_array(face: Any, size: int) -> PreparedFace:
    array = array_of(face)
    wanted = f"uint8 ({size}, {size}, 3) RGB or floats (3, {size}, {size}) in [-1, 1]"
    if array is None:
        raise ImageError(
            type(face).__name__,
            f"not taken; expected an aligned face: a file, {wanted} (prepare makes it of a photo)",
        )
    if array.dtype == np.uint8:
        return PreparedFace(
            validate_unit(to_unit(array), size), "as-given", Preparation.as_given(size)
        )
    if array.dtype.kind != "f":
        raise ImageError("image", f"{array.dtype} {array.shape}; expected {wanted}")
    return _as_given(validate_unit(array, size), size)


def _as_given(unit: Unit, size: int) -> PreparedFace:
    said = (UNIT_INTERVAL,) if lies_in_unit_interval(unit) else ()
    return PreparedFace(unit, "as-given", Preparation.as_given(size), said)


def _crop(picture: Picture, size: int, name: object) -> PreparedFace:
    pixels = aligned_crop(picture.pixels, size, name)
    same = pixels.shape == picture.pixels.shape
    how = _written_in(picture, size) if same else Preparation.as_given(size)
    return PreparedFace(to_unit(pixels), "as-given", how)


def _scaled(pixels: Pixels, size: int, warning: str, faces: int | None = None) -> PreparedFace:
    how = Preparation.letterboxed(size)
    return PreparedFace(to_unit(pixels), "fallback", how, (warning,), faces)


def _aligned(picture: Pixels, number: int | None, aligner: Aligner, whole: bool) -> PreparedFace:
    choice: Choice = "largest" if number is None else number - 1
    try:
        alignment = aligner.align(picture, choice, fallback=whole)
    except NoFaceError as error:
        remedy = f" ({WHOLE_REMEDY})" if number is None else ""
        raise NoFaceError(f"{error}{remedy}") from None
    crop, count = alignment.crops[0], len(alignment.faces)
    if Flag.NO_FACE in crop.flags:
        return _scaled(crop.pixels, aligner.size, Flag.NO_FACE.warning, 0)
    said = tuple(
        f"{count} faces found; the largest was taken (--face N takes another)"
        if flag is Flag.SEVERAL_FACES
        else flag.warning
        for flag in crop.flags
    )
    high, wide = picture.shape[:2]
    if crop.matrix is not None and template_shift(crop.matrix, wide, high) < _CROP_SHIFT:
        said = (*said, TWICE)
    unit = to_unit(crop.pixels)
    return PreparedFace(unit, "aligned", aligner.preparation(), said, count, number or 1)


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


def _written_in(picture: Picture, size: int) -> Preparation:
    """What a crop says about itself; nothing where its pixels were changed afterwards."""
    unknown = Preparation.as_given(size)
    text = picture.texts.get(CHUNK)
    if text is None:
        return unknown
    try:
        note = json.loads(text)
        found = Preparation.from_description(note["preparation"])
        same = note["crop"] == _digest(picture.pixels)
    except (ValueError, KeyError, TypeError, RecursionError, PreparationError):
        return unknown
    return found if same and found.size == size else unknown


def _digest(pixels: Pixels) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
