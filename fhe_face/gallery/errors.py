"""What can go wrong with a gallery, each with one clear line."""

from __future__ import annotations

from fhe_core.errors import Failure


class GalleryError(Failure, ValueError):
    """A gallery cannot do what was asked; the text says what would be right."""

    code = "gallery"


class RecordError(GalleryError):
    """Something sealed cannot be opened: damaged, or made for another gallery, model or photo."""

    code = "gallery-record"


class OtherModel(GalleryError):
    """A face was embedded or prepared in another way than those of the gallery."""

    code = "gallery-model"


class UnknownSubject(GalleryError):
    """The gallery has no such subject or template."""

    code = "unknown-subject"


class CalibrationError(GalleryError):
    """A gallery has too few pairs to set thresholds by them."""

    code = "calibration"


class Busy(GalleryError):
    """The gallery was changed by others so often meanwhile that this was given up."""

    code = "gallery-busy"
