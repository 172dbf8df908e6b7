"""Training data without people: generated faces, aligned, with the teacher's embeddings.

    python -m fhe_face.models.training.generated OUT --count 16000 --seed 1

writes OUT/faces.npy (N, 80, 80, 3) uint8 RGB, the 64x64 aligned crop with a margin of 8 pixels,
so that training can shift and turn it, and OUT/targets.npy (N, 128) float32, unit length.
"""

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_core.streams import early_end_is_quiet
from fhe_face.models.faces import ARCFACE_112, Detector, similarity
from fhe_face.models.faces.geometry import Matrix
from fhe_face.models.faces.opencv import opencv
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.gan import GAN_SHA256, FaceGenerator
from fhe_face.models.training.teacher import DIMENSION, SFACE_SHA256, Teacher

#: Side of the stored pictures, and the margin around the crop of 64.
CANVAS: Final = 80
MARGIN: Final = 8
_TEMPLATE: Final = 112
TEMPLATE_MARGIN: Final = _TEMPLATE * MARGIN // 64
#: Side of an aligned picture, and what of it the teacher sees.
ALIGNED: Final = _TEMPLATE + 2 * TEMPLATE_MARGIN
INNER: Final = slice(TEMPLATE_MARGIN, -TEMPLATE_MARGIN)
_ENLARGE: Final = 3
_PAD: Final = 32
_SCORE: Final = 0.7
_MAX_TRIES: Final = 4


@dataclass(frozen=True, eq=False)
class Drawn:
    """The same faces as they are stored (N, 80, 80, 3), and for the teacher (N, 112, 112, 3)."""

    small: NDArray[np.uint8]
    large: NDArray[np.uint8]

    @classmethod
    def of(cls, aligned: NDArray[np.uint8]) -> "Drawn":
        """From the template with its margin, (N, 140, 140, 3)."""
        cv2 = opencv()
        small = [cv2.resize(f, (CANVAS, CANVAS), interpolation=cv2.INTER_LINEAR) for f in aligned]
        return cls(np.stack(small), for_teacher(aligned))


def for_teacher(aligned: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Without the margin: (N, 140, 140, 3) to (N, 112, 112, 3)."""
    return np.ascontiguousarray(aligned[:, INNER, INNER])


def with_margin(picture: NDArray[np.uint8], matrix: Matrix) -> NDArray[np.uint8]:
    """A picture under a transform to the 112x112 template, and 14 pixels around it: (140, 140, 3),
    bilinear, the border repeated."""
    cv2 = opencv()
    moved = matrix + np.array([[0, 0, TEMPLATE_MARGIN]] * 2)
    out: NDArray[np.uint8] = cv2.warpAffine(
        picture, moved, (ALIGNED, ALIGNED), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return out


class QuickAligner:
    """Generated faces have one known size: one look at the picture and one at its mirror image
    are enough, a tenth of the time of `models.faces.Aligner`."""

    def __init__(self) -> None:
        """DetectorError where OpenCV or the detector's file is missing."""
        self._cv2 = opencv()
        side = _ENLARGE * 64 + 2 * _PAD
        self._network = self._cv2.FaceDetectorYN.create(
            str(Detector().path), "", (side, side), _SCORE
        )

    def align(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """(64, 64, 3) RGB to the template at 112 with a margin of 14: (140, 140, 3), or None."""
        cv2 = self._cv2
        big = cv2.resize(picture, None, fx=_ENLARGE, fy=_ENLARGE, interpolation=cv2.INTER_CUBIC)
        framed = cv2.copyMakeBorder(big, *[_PAD] * 4, cv2.BORDER_REPLICATE)[..., ::-1]
        one, two = self._landmarks(framed), self._landmarks(framed[:, ::-1])
        if one is None or two is None:
            return None
        two[:, 0] = framed.shape[1] - 1 - two[:, 0]
        points = (one + two[[1, 0, 2, 4, 3]]) / 2
        return with_margin(big, similarity(points - _PAD, ARCFACE_112))

    def _landmarks(self, bgr: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        found = self._network.detect(np.ascontiguousarray(bgr))[1]
        if found is None:
            return None
        best: Any = max(found, key=lambda row: row[-1])
        return np.asarray(best[4:14], np.float64).reshape(5, 2)


def aligned_faces(seed: int, batch: int = 64) -> Iterator[NDArray[np.uint8]]:
    """Endless batches (up to `batch`, 140, 140, 3) of generated faces that were found."""
    aligner = QuickAligner()
    for pictures in FaceGenerator().batches(seed, batch):
        found = [face for face in map(aligner.align, pictures) if face is not None]
        if found:
            yield np.stack(found)


def generate(out: Path, count: int, seed: int, device: str = "cpu") -> Iterator[int]:
    """Fill `out`; yields how many are done. TrainingError: it exists already, or count < 1."""
    if count < 1:
        raise TrainingError(f"count is {count}; it must be at least 1")
    if (out / "faces.npy").exists():
        raise TrainingError(f"{out}: holds faces.npy already; give a new folder")
    out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher(device=device)
    part = out / "faces.npy.part"
    faces = np.lib.format.open_memmap(part, "w+", np.uint8, (count, CANVAS, CANVAS, 3))
    targets = np.empty((count, DIMENSION), np.float32)
    done = 0
    for batch in aligned_faces(seed):
        batch = batch[: count - done]
        rows = slice(done, done + len(batch))
        drawn = Drawn.of(batch)
        faces[rows] = drawn.small
        targets[rows] = teacher.embed(drawn.large).cpu().numpy()
        done += len(batch)
        yield done
        if done == count:
            break
    faces.flush()
    np.save(out / "targets.npy", targets)
    facts = {"count": count, "seed": seed, "generator": GAN_SHA256, "teacher": SFACE_SHA256}
    (out / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    os.replace(part, out / "faces.npy")


def main(arguments: list[str] | None = None) -> None:
    """The command line described at the top."""
    parser = argparse.ArgumentParser(prog="python -m fhe_face.models.training.generated")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=16_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    for done in generate(options.out, options.count, options.seed, options.device):
        print(f"\r{done} of {options.count}", end="", flush=True)
    print()


if __name__ == "__main__":
    with early_end_is_quiet():
        main()
