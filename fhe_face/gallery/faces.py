"""From a photo to the faces in it, each prepared as the gallery's faces are."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from fhe_core.files import explain, open_regular, shown
from fhe_face.gallery.facts import Facts
from fhe_face.models.faces import Aligner, Crop, Flag, NoFaceError
from fhe_face.models.faces.face import Box, Pixels
from fhe_face.models.faces.preparation import ALIGNED
from fhe_face.photos.images import (
    ImageError,
    array_of,
    is_npy,
    load_picture,
    to_unit,
)
from fhe_face.photos.preparation import PreparedFace, prepare

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A face of a photo.

    number: from 1, largest first; box: x, y, width, height in pixels, None for a crop;
    warnings: one line each, without the photo's name.
    """

    prepared: PreparedFace
    number: int
    box: Box | None = None
    warnings: tuple[str, ...] = ()


@dataclass
class FaceReader:
    """Finds the faces of photos for one gallery, whose preparation decides how.

    One instance must not be used by several threads at once. aligner: made when first needed.
    """

    facts: Facts
    aligner: Aligner | None = field(default=None, repr=False)

    def read(self, photo: Any, *, every: bool) -> list[FoundFace]:
        """The faces of a photo as `prepare` takes them, largest first; every: not only that one.

        An aligned crop of the network's size is one face. There is always at least one.

        Raises:
            ImageError: the photo cannot be used, or shows no face.
            OtherModel: it was prepared in another way than the gallery's faces.
            DetectorError: OpenCV or the detector's model file is missing.
        """
        found = self._faces(photo, every)
        for face in found:
            how = face.prepared.preparation.with_flip(self.facts.preparation.flip)
            self.facts.require_preparation(how, name_of(photo))
        return found

    def aligner_of(self, size: int) -> Aligner | None:
        """The aligner that is there, if it is for such faces."""
        return self.aligner if self.aligner is not None and self.aligner.size == size else None

    def _faces(self, photo: Any, every: bool) -> list[FoundFace]:
        if isinstance(photo, PreparedFace):
            return [FoundFace(photo, 1)]
        size = self.facts.preparation.size
        aligns = self.facts.preparation.procedure == ALIGNED
        if not aligns or _is_input(photo):
            return [_given(prepare(photo, size, aligned=not aligns and not _is_input(photo)))]
        picture = load_picture(photo)
        if picture.pixels.shape == (size, size, 3):
            return [_given(prepare(photo, size))]
        return self._aligned(picture.pixels, name_of(photo), every)

    def _aligned(self, pixels: Pixels, name: str, every: bool) -> list[FoundFace]:
        if self.aligner is None:
            self.aligner = Aligner(self.facts.preparation.size)
        try:
            alignment = self.aligner.align(pixels, "all" if every else "largest", fallback=False)
        except NoFaceError as error:
            raise ImageError(name, str(error)) from None
        count = len(alignment.faces)
        return [self._found(crop, number, count) for number, crop in enumerate(alignment.crops, 1)]

    def _found(self, crop: Crop, number: int, count: int) -> FoundFace:
        assert self.aligner is not None
        said = tuple(
            f"{count} faces found; the largest was taken"
            if flag is Flag.SEVERAL_FACES
            else flag.warning
            for flag in crop.flags
        )
        how = self.aligner.preparation()
        face = PreparedFace(to_unit(crop.pixels), "aligned", how, said, count, number)
        return FoundFace(face, number, None if crop.face is None else crop.face.box, said)


def _given(face: PreparedFace) -> FoundFace:
    return FoundFace(face, 1, None, face.warnings)


def _is_input(photo: Any) -> bool:
    """Whether it is the network's input already: floats, in memory or in a file."""
    if isinstance(photo, str | os.PathLike):
        return is_npy(photo)
    array = array_of(photo)
    return array is not None and array.dtype.kind == "f"


def name_of(photo: Any) -> str:
    """A photo in messages."""
    return shown(photo) if isinstance(photo, str | os.PathLike) else "the photo"


def content_digest(photo: Any) -> bytes:
    """SHA-256 of a photo's bytes, or of its pixels where it has none.

    Raises:
        FileError: the file cannot be read.
        ImageError: it is nothing that can be a photo.
    """
    if isinstance(photo, str | os.PathLike):
        return _of_file(Path(photo))
    digest = hashlib.sha256()
    if isinstance(photo, bytes | bytearray | memoryview):
        digest.update(photo)
        return digest.digest()
    array = photo.unit if isinstance(photo, PreparedFace) else array_of(photo)
    if array is None:
        array = load_picture(photo).pixels
    digest.update(repr((array.shape, str(array.dtype))).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def _of_file(path: Path) -> bytes:
    digest = hashlib.sha256()
    with open_regular(path) as stream:
        try:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        except OSError as error:
            raise explain(path, "read", error) from error
    return digest.digest()
