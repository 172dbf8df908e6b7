"""Photos of a folder and the face that each shows: to train on, or to be measured with."""

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fhe_face.models.faces import Aligner, NoFaceError
from fhe_face.models.faces.geometry import Matrix
from fhe_face.models.training.errors import TrainingError

_SUFFIXES: Final = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".webp"))


def photographs(folder: Path) -> list[Path]:
    """Those directly in a folder, in order. TrainingError: it cannot be read."""
    try:
        return sorted(file for file in folder.iterdir() if file.suffix.lower() in _SUFFIXES)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be read ({error.strerror})") from None


def face_of(aligner: Aligner, file: Path) -> tuple[NDArray[np.uint8], Matrix] | None:
    """A photo (H, W, 3) RGB, and the transform of its most certain face to the 112x112 template;
    None without a face. TrainingError: it cannot be read."""
    try:
        with Image.open(file) as opened:
            photo = np.array(ImageOps.exif_transpose(opened).convert("RGB"), np.uint8)
    except (OSError, Image.DecompressionBombError) as error:
        raise TrainingError(f"{file}: cannot be read ({error})") from None
    try:
        matrix = aligner.align(photo, fallback=False).crops[0].matrix
    except NoFaceError:
        return None
    return None if matrix is None else (photo, matrix)
