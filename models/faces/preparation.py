"""How a face was prepared: what enrolment and query must agree on. Stored as JSON."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from fhe_face.models.faces.errors import PreparationError
from fhe_face.models.faces.geometry import SIZES

VERSION: Final = 1
TEMPLATE: Final = "arcface-112"
NORMALISATION: Final = "x / 127.5 - 1"
#: A normalisation with less contrast, as :meth:`Preparation.with_contrast` writes it.
_SOFTER: Final = re.compile(r"(?P<contrast>[01]\.[0-9]{6}) \* \((?P<plain>[^*]*)\)")
#: From photo to crop; another number for anything that changes pixels on purpose.
ALIGNED: Final = "yunet-5-scales/umeyama/bilinear/replicate/2"
LETTERBOXED: Final = "letterbox/bicubic/black/1"
AS_GIVEN: Final = "as-given"
#: Where there is no template or detector, or nobody knows which.
NONE: Final = "none"
UNKNOWN: Final = "unknown"
_LEAST: Final = 1e-6  # of a contrast, in the digits that are written


@dataclass(frozen=True)
class Preparation:
    """How a crop was made. The model is no part of it: a client does not know it.

    size: side of the crop; template: what it is aligned to; procedure: from photo to crop;
    detector: SHA-256 of the model file, "none" or "unknown"; normalisation: from pixels x to
    the network's input; flip: whether embeddings average over the face and its mirror image;
    fallback: whether the whole picture was taken because no face was found (or looked for).
    """

    size: int
    template: str
    procedure: str
    detector: str
    fallback: bool = False
    flip: bool = False
    normalisation: str = NORMALISATION
    version: int = VERSION

    def __post_init__(self) -> None:
        """PreparationError for values of another type or form."""
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not field.type:
                raise PreparationError(
                    f"preparation: {field.name} is {value!r}; expected {field.type}"
                )
        if self.version != VERSION:
            raise PreparationError(
                f"preparation: version {self.version}; this program knows {VERSION}"
            )
        if self.size not in SIZES:
            raise PreparationError(f"preparation: size {self.size}; it must be one of {SIZES}")

    @classmethod
    def aligned(cls, size: int, detector: str) -> "Preparation":
        """By `Aligner`, with the detector of this SHA-256."""
        return cls(size, TEMPLATE, ALIGNED, detector)

    @classmethod
    def letterboxed(cls, size: int) -> "Preparation":
        """The whole picture, scaled, with black around it."""
        return cls(size, NONE, LETTERBOXED, NONE, fallback=True)

    @classmethod
    def as_given(cls, size: int) -> "Preparation":
        """A crop of the right size from somewhere else."""
        return cls(size, UNKNOWN, AS_GIVEN, UNKNOWN)

    def with_flip(self, flip: bool) -> "Preparation":
        """The same crop for a network that averages over both views, or does not."""
        return replace(self, flip=flip)

    def with_contrast(self, contrast: float) -> "Preparation":
        """The same crop with this part, above 0 and at most 1, of the contrast that it has.

        PreparationError for another part.
        """
        if not _LEAST <= contrast <= 1:
            raise PreparationError(f"a contrast of {contrast:g}; it must be above 0, at most 1")
        if contrast == 1:
            return self
        before = _SOFTER.fullmatch(self.normalisation)
        left = max(_LEAST, contrast * (float(before["contrast"]) if before else 1))
        plain = before["plain"] if before else self.normalisation
        return replace(self, normalisation=f"{left:.6f} * ({plain})")

    def describe(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def from_description(cls, content: Any) -> "Preparation":
        """Inverse of `describe`; PreparationError for anything else."""
        names = {field.name for field in fields(cls)}
        if not isinstance(content, dict) or set(content) != names:
            raise PreparationError(f"preparation: expected an object with {sorted(names)}")
        return cls(**content)


def whatever_contrast(content: Mapping[str, Any]) -> dict[str, Any]:
    """A description with the contrast left out. Embeddings of one crop at 0.9 of its contrast and
    as it is have a cosine of 0.998 (median of photographs, official weights)."""
    found = dict(content)
    softer = _SOFTER.fullmatch(str(found.get("normalisation")))
    if softer:
        found["normalisation"] = softer["plain"]
    return found
