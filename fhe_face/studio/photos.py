"""A photo on the page: what was found in it, and what becomes the network's input."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fhe_core.files import one_line
from fhe_face.models.architecture import PATCH_SIZE
from fhe_face.models.faces import Aligner, Alignment, Face, NoFaceError
from fhe_face.photos.images import ImageError, load_picture, to_unit
from fhe_face.photos.preparation import PreparedFace, prepare
from fhe_face.studio.pictures import JPEG, PNG, Pictures, Pixels, exact, patches_of, preview

_MAX_NAME: Final = 60
_NO_FACE: Final = "no face found; a larger face, seen from the front, is found most easily"


@dataclass(frozen=True, eq=False)
class Mark:
    """A face in a photo, in pixels: x, y, width, height, and the five landmarks."""

    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...] = ()
    chosen: bool = True


@dataclass(frozen=True, eq=False)
class Look:
    """A photo with its largest face. picture, crop, patches: names of pictures.

    size: wide and high, in pixels; marks: largest face first; said: one line each; content: the
    photo as it was given.
    """

    name: str
    content: bytes
    size: tuple[int, int]
    picture: str
    crop: str
    patches: tuple[str, ...]
    marks: tuple[Mark, ...]
    roll: float | None
    face: PreparedFace
    said: tuple[str, ...]

    @property
    def pictures(self) -> tuple[str, ...]:
        """All names."""
        return self.picture, self.crop, *self.patches


class Looks:
    """Makes them. Thread-safe: the detector is used by one thread at a time."""

    def __init__(self, size: int, pictures: Pictures) -> None:
        """size: of the network's faces, in pixels.

        Raises:
            DetectorError: OpenCV or the detector's model file is missing.
        """
        self._aligner = Aligner(size)
        self._size = size
        self._pictures = pictures
        self._lock = threading.Lock()

    def of(self, content: bytes, name: str) -> Look:
        """The look of an encoded picture; name: of its file, for messages.

        Raises:
            ImageError: it is no picture that can be used, or shows no face.
        """
        label = shortened(name)
        try:
            pixels = load_picture(content).pixels
            alignment = self._aligned(pixels)
            if alignment is None:
                face = prepare(content, self._size)
                return self._look(label, content, pixels, face, (), None)
        except ImageError as error:
            raise ImageError(label, str(error).partition(": ")[2]) from None
        except NoFaceError:
            raise ImageError(label, _NO_FACE) from None
        crop, count = alignment.crops[0], len(alignment.faces)
        how = self._aligner.preparation()
        unit = to_unit(crop.pixels)
        face = PreparedFace(unit, "aligned", how, alignment.warnings, count, 1)
        return self._look(label, content, pixels, face, alignment.faces, crop.roll)

    def _aligned(self, pixels: Pixels) -> Alignment | None:
        """None for an aligned crop, which is taken as it is."""
        if pixels.shape == (self._size, self._size, 3):
            return None
        with self._lock:
            return self._aligner.align(pixels, fallback=False)

    def _look(
        self,
        name: str,
        content: bytes,
        photo: Pixels,
        face: PreparedFace,
        faces: Sequence[Face],
        roll: float | None,
    ) -> Look:
        keep, crop = self._pictures.keep, _pixels(face)
        high, wide = photo.shape[:2]
        return Look(
            name,
            content,
            (wide, high),
            keep(JPEG, preview(photo)),
            keep(PNG, exact(crop)),
            tuple(keep(PNG, exact(patch)) for patch in patches_of(crop, PATCH_SIZE)),
            tuple(_mark(one, number == 0) for number, one in enumerate(faces)),
            roll,
            face,
            face.warnings,
        )


def shortened(name: str) -> str:
    """The last part of a file's name, for messages."""
    last = one_line(name.replace("\\", "/").rpartition("/")[2]) or "photo"
    return last if len(last) <= _MAX_NAME else f"{last[: _MAX_NAME - 1]}…"


def _pixels(face: PreparedFace) -> Pixels:
    """The network's input as a picture again, uint8 (S, S, 3)."""
    return np.rint((face.unit.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)


def _mark(face: Face, chosen: bool) -> Mark:
    points = tuple((float(x), float(y)) for x, y in face.landmarks)
    return Mark(face.box, points, chosen)
