"""What can go wrong between a photo and a face crop; every text is one line."""

from fhe_core.errors import Failure


class FaceError(Failure, ValueError):
    """Base of the errors of this package, and an image or a choice that makes no sense."""

    code = "face"


class DetectorError(FaceError):
    """The detector cannot run: OpenCV or the model file is missing, damaged or another one."""

    code = "detector"


class NoFaceError(FaceError):
    """There is no face in the picture, or not the one that was asked for."""

    code = "no-face"


class PreparationError(FaceError):
    """A description of how a face was prepared that cannot be read."""

    code = "preparation"
