"""From any photo to aligned face crops: plaintext, on the client, never sent anywhere.

    aligner = Aligner(size=64)
    alignment = aligner.align(photo)          # uint8 (H, W, 3) RGB
    alignment.crops[0].pixels                 # uint8 (64, 64, 3), ArcFace template
    alignment.warnings                        # empty when nothing has to be said
    aligner.preparation()                     # what must be the same for faces that are compared

Detection needs OpenCV and the YuNet model file (`INSTALL`); importing this package needs neither.
"""

from models.faces.alignment import Aligner, Alignment, Choice, Crop, Flag
from models.faces.crops import letterboxed, mirrored
from models.faces.detection import Detector
from models.faces.errors import DetectorError, FaceError, NoFaceError, PreparationError
from models.faces.face import Face
from models.faces.geometry import ARCFACE_112, SIZES, similarity
from models.faces.model_file import DETECTOR_SHA256, DETECTOR_VARIABLE
from models.faces.opencv import INSTALL
from models.faces.preparation import Preparation

__all__ = [
    "ARCFACE_112",
    "DETECTOR_SHA256",
    "DETECTOR_VARIABLE",
    "INSTALL",
    "SIZES",
    "Aligner",
    "Alignment",
    "Choice",
    "Crop",
    "Detector",
    "DetectorError",
    "Face",
    "FaceError",
    "Flag",
    "NoFaceError",
    "Preparation",
    "PreparationError",
    "letterboxed",
    "mirrored",
    "similarity",
]
