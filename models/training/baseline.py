"""The teacher on labelled photos, to compare a student with.

    python -m fhe_face.models.training.baseline FOLDER

FOLDER has one folder for each person, as for `fhe-face evaluate`, whose numbers these are to be
compared with. Prints one JSON object: the teacher on 112x112 crops, and on crops that were
reduced to 64x64 first, which is all that the student sees.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_core.streams import early_end_is_quiet
from fhe_face.models.evaluation import evaluate
from fhe_face.models.faces import Aligner
from fhe_face.models.faces.crops import warped
from fhe_face.models.faces.opencv import opencv
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.photographs import face_of, photographs
from fhe_face.models.training.teacher import SIDE, Teacher

_NUMBERS: Final = (
    "people",
    "images",
    "same_mean",
    "different_mean",
    "eer",
    "tar_at_far_1pct",
    "gallery_probe_rank1",
    "gallery_probe_rank1_mean",
)


def aligned_people(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Faces (N, 112, 112, 3) RGB of FOLDER/person/photo, and whose they are (N,).

    Photos without a face are left out. TrainingError: there is none.
    """
    aligner = Aligner()
    crops: list[NDArray[np.uint8]] = []
    labels: list[int] = []
    try:
        people = sorted(p for p in folder.iterdir() if p.is_dir())
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be read ({error.strerror})") from None
    for number, person in enumerate(people):
        for file in photographs(person):
            if (face := face_of(aligner, file)) is not None:
                crops.append(warped(*face, SIDE))
                labels.append(number)
    if not crops:
        raise TrainingError(f"{folder}: no faces in folders of people")
    return np.stack(crops), np.array(labels, np.int64)


def as_students_see(faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Faces (N, 112, 112, 3) with 64 x 64 pixels."""
    cv2 = opencv()
    return np.stack([cv2.resize(face, (64, 64)) for face in faces])


def measure(folder: Path, teacher: Teacher) -> dict[str, Any]:
    """Numbers of `models.evaluation` by kind of crop. TrainingError: no photos of people."""
    whole, labels = aligned_people(folder)
    cv2 = opencv()
    small = [cv2.resize(face, (SIDE, SIDE)) for face in as_students_see(whole)]
    answer = {}
    for name, pictures in (("teacher at 112", whole), ("teacher at 64", np.stack(small))):
        embeddings = teacher.embed(pictures).double().cpu().numpy()
        facts = evaluate(embeddings, labels.tolist()).to_json()
        answer[name] = {key: facts[key] for key in _NUMBERS}
    return answer


def main(arguments: list[str] | None = None) -> None:
    """The command line described at the top."""
    parser = argparse.ArgumentParser(prog="python -m fhe_face.models.training.baseline")
    parser.add_argument("folder", type=Path)
    print(json.dumps(measure(parser.parse_args(arguments).folder, Teacher()), indent=1))


if __name__ == "__main__":
    with early_end_is_quiet():
        main()
