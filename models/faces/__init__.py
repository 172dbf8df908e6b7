"""From any photo to aligned face crops: plaintext, on the client, never sent anywhere.

    aligner = Aligner(size=64)
    alignment = aligner.align(photo)          # uint8 (H, W, 3) RGB
    alignment.crops[0].pixels                 # uint8 (64, 64, 3), ArcFace template
    alignment.warnings                        # empty when nothing has to be said

Detection needs OpenCV and the YuNet model file (`INSTALL`); importing this package needs neither.
"""

from models.faces.alignment import Aligner, Alignment, Choice, Crop, Flag, letterboxed, mirrored
from models.faces.detection import DETECTOR_SHA256, DETECTOR_VARIABLE, Detector, Face
from models.faces.errors import DetectorError, FaceError, ManifestError, NoFaceError
from models.faces.geometry import ARCFACE_112, SIZES, similarity
from models.faces.manifest import Manifest, require_same
from models.faces.opencv import INSTALL

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
    "Manifest",
    "ManifestError",
    "NoFaceError",
    "letterboxed",
    "mirrored",
    "require_same",
    "similarity",
]
