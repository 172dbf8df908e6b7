"""From any photo to aligned face crops: plaintext, on the client, never sent anywhere.

    aligner = Aligner(size=64)
    alignment = aligner.align(photo)          # uint8 (H, W, 3) RGB
    alignment.crops[0].pixels                 # uint8 (64, 64, 3), ArcFace template
    alignment.warnings                        # empty when nothing has to be said
    aligner.preparation()                     # what must be the same for faces that are compared

Detection needs OpenCV and the YuNet model file (`INSTALL`); importing this package needs neither.
"""

from fhe_face.models.faces.alignment import Aligner, Alignment, Choice, Crop, Flag
from fhe_face.models.faces.crops import letterboxed, mirrored
from fhe_face.models.faces.detection import Detector
from fhe_face.models.faces.errors import DetectorError, FaceError, NoFaceError, PreparationError
from fhe_face.models.faces.face import MAX_SIDE, Face
from fhe_face.models.faces.geometry import ARCFACE_112, SIZES, similarity, template_shift
from fhe_face.models.faces.model_file import DETECTOR_SHA256, DETECTOR_VARIABLE
from fhe_face.models.faces.opencv import INSTALL
from fhe_face.models.faces.preparation import Preparation, whatever_contrast

__all__ = [
    "ARCFACE_112",
    "DETECTOR_SHA256",
    "DETECTOR_VARIABLE",
    "INSTALL",
    "MAX_SIDE",
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
    "template_shift",
    "whatever_contrast",
]
