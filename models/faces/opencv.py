"""OpenCV, which is optional: imported when it is needed, with one clear error where it is not."""

import importlib
from typing import Any, Final

from fhe_face.models.faces.errors import DetectorError

#: What makes face preparation work, in the versions that were tried.
INSTALL: Final = "pip install 'fhe-face[client]'"


def opencv() -> Any:
    """The module cv2. DetectorError where it cannot be imported or has no face detector."""
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        reason = "is not installed" if _absent(error) else f"cannot be imported ({error})"
        raise DetectorError(f"face preparation needs OpenCV, which {reason}: {INSTALL}") from None
    if not hasattr(cv2, "FaceDetectorYN"):
        raise DetectorError(
            f"OpenCV {getattr(cv2, '__version__', '?')} has no FaceDetectorYN: {INSTALL}"
        )
    return cv2


def _absent(error: ImportError) -> bool:
    return isinstance(error, ModuleNotFoundError) and error.name == "cv2"
