"""Crops of faces, aligned to the ArcFace template, and what a person must know about them."""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

import numpy as np

from fhe_face.models.faces.crops import letterboxed, warped
from fhe_face.models.faces.detection import Detector
from fhe_face.models.faces.errors import FaceError, NoFaceError
from fhe_face.models.faces.face import Face, Pixels, check_image
from fhe_face.models.faces.geometry import (
    ARCFACE_112,
    SIZES,
    TEMPLATE_SIDE,
    Matrix,
    moved,
    outside_share,
    roll_of,
    scale_of,
    similarity,
)
from fhe_face.models.faces.preparation import Preparation

#: Which face: the largest, all of them, or one by its place in `Alignment.faces` (from 0).
Choice = Literal["largest", "all"] | int

_MAX_ENLARGEMENT: Final = 1.5
_MAX_OUTSIDE: Final = 0.4
_MAX_FIT_ERROR: Final = 0.2
_SURE_SCORE: Final = 0.85
_SURE_SCALES: Final = 4


class Flag(str, Enum):
    """What is unusual about a crop; the value is for machines, `warning` for people."""

    NO_FACE = "no-face"
    SEVERAL_FACES = "several-faces"
    SMALL = "small"
    OUTSIDE = "outside"
    POSE = "pose"
    UNCERTAIN = "uncertain"

    @property
    def warning(self) -> str:
        """One line without the picture's name."""
        return _WARNINGS[self]


_WARNINGS: Final = {
    Flag.NO_FACE: "no face found; the whole picture was scaled, black around it, not aligned: "
    "its embedding means little",
    Flag.SEVERAL_FACES: "several faces found; the largest was taken",
    Flag.SMALL: "the face is small and was enlarged more than 1.5 times",
    Flag.OUTSIDE: "more than 40 % of the crop lies outside the picture (border repeated)",
    Flag.POSE: "the landmarks do not fit a frontal face: a profile, or a wrong detection",
    Flag.UNCERTAIN: "the detector is not sure that this is a face",
}


@dataclass(frozen=True, eq=False)
class Crop:
    """One crop: uint8 (S, S, 3) RGB. Without a face, the others are None and NO_FACE is set.

    matrix: (2, 3), from the picture to the 112x112 template; fit_error: root mean square
    distance of the landmarks to the template, in eye distances; outside: share of the crop that
    lies outside the picture.
    """

    pixels: Pixels
    flags: tuple[Flag, ...]
    face: Face | None = None
    matrix: Matrix | None = None
    fit_error: float | None = None
    outside: float | None = None

    @property
    def roll(self) -> float | None:
        """How many degrees the crop was turned by."""
        return None if self.matrix is None else roll_of(self.matrix)


@dataclass(frozen=True, eq=False)
class Alignment:
    """All faces of a picture, largest first, and the crops of those that were chosen."""

    faces: tuple[Face, ...]
    crops: tuple[Crop, ...]

    @property
    def flags(self) -> tuple[Flag, ...]:
        """Of all crops, each once."""
        return tuple(flag for flag in Flag if any(flag in crop.flags for crop in self.crops))

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each of the flags."""
        return tuple(flag.warning for flag in self.flags)


class Aligner:
    """Finds faces and cuts them out. One instance must not be used by several threads at once."""

    def __init__(self, size: int = 64, detector: Detector | None = None) -> None:
        """`size`: 64, 96 or 128 (FaceError for another); `detector`: default `Detector()`."""
        if size not in SIZES:
            raise FaceError(f"size is {size}; it must be one of {', '.join(map(str, SIZES))}")
        self.size = size
        self.detector = detector or Detector()

    def preparation(self) -> Preparation:
        """How aligned crops are made here."""
        return Preparation.aligned(self.size, self.detector.digest)

    def align(
        self, image: Pixels, choice: Choice = "largest", *, fallback: bool = True
    ) -> Alignment:
        """The crops of a picture, uint8 (H, W, 3) RGB.

        Where there is no face, the whole picture is scaled with black padding and flagged, or
        with `fallback=False` NoFaceError is raised; that is also raised for a place in the list
        of faces where there is none. FaceError: the image has another type or shape.
        """
        check_image(image)
        faces = self.detector.faces(image)
        if isinstance(choice, int):
            if not 0 <= choice < len(faces):
                raise NoFaceError(f"face {choice + 1} was asked for, {len(faces)} found")
            return Alignment(faces, (self.crop(image, faces[choice]),))
        if not faces:
            if not fallback:
                raise NoFaceError("no face found")
            return Alignment((), (Crop(letterboxed(image, self.size), (Flag.NO_FACE,)),))
        if choice == "all":
            return Alignment(faces, tuple(self.crop(image, face) for face in faces))
        crop = self.crop(image, faces[0], several=len(faces) > 1)
        return Alignment(faces, (crop,))

    def crop(self, image: Pixels, face: Face, *, several: bool = False) -> Crop:
        """One face of a picture on the template; `several`: flag that there were others."""
        matrix = similarity(face.landmarks, ARCFACE_112)
        high, wide = image.shape[:2]
        distance = moved(matrix, face.landmarks) - ARCFACE_112
        eyes = float(np.linalg.norm(ARCFACE_112[1] - ARCFACE_112[0]))
        fit_error = float(np.sqrt(np.square(distance).sum(axis=1).mean())) / eyes
        outside = outside_share(matrix, wide, high)
        set_flags = {
            Flag.SEVERAL_FACES: several,
            Flag.SMALL: scale_of(matrix) * self.size / TEMPLATE_SIDE > _MAX_ENLARGEMENT,
            Flag.OUTSIDE: outside > _MAX_OUTSIDE,
            Flag.POSE: fit_error > _MAX_FIT_ERROR,
            Flag.UNCERTAIN: face.score < _SURE_SCORE or face.scales < _SURE_SCALES,
        }
        flags = tuple(flag for flag, is_set in set_flags.items() if is_set)
        return Crop(warped(image, matrix, self.size), flags, face, matrix, fit_error, outside)
