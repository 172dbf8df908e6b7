"""How faces were prepared: what enrolment and query must agree on. numpy-free, stored as JSON."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from models.faces.errors import ManifestError
from models.faces.geometry import SIZES

VERSION: Final = 1
TEMPLATE: Final = "arcface-112"
NORMALISATION: Final = "(x - 127.5) / 127.5"
#: The procedure from photo to crop; another number for anything that changes pixels on purpose.
PROCEDURE: Final = "yunet-5-scales/umeyama/bilinear/replicate/1"


@dataclass(frozen=True)
class Manifest:
    """How crops and embeddings were made.

    size: side of the crops; detector and model: SHA-256 of the files, 64 hexadecimal digits;
    flip: whether embeddings are the average over the face and its mirror image.
    """

    size: int
    detector: str
    model: str
    flip: bool = False
    template: str = TEMPLATE
    procedure: str = PROCEDURE
    normalisation: str = NORMALISATION
    version: int = VERSION

    def __post_init__(self) -> None:
        """ManifestError for values of another type or form."""
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not field.type:
                raise ManifestError(f"manifest: {field.name} is {value!r}, not {field.type}")
        if self.version != VERSION:
            raise ManifestError(f"manifest: version {self.version}; this program knows {VERSION}")
        if self.size not in SIZES:
            raise ManifestError(f"manifest: size {self.size}; it must be one of {SIZES}")
        for name in ("detector", "model"):
            value = getattr(self, name)
            if len(value) != 64 or set(value) - set("0123456789abcdef"):
                raise ManifestError(f"manifest: {name} is {value!r}, not a SHA-256")

    def to_json(self) -> str:
        """Canonical JSON: sorted keys, no blanks."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Manifest":
        """The manifest that `to_json` wrote; ManifestError for anything else."""
        try:
            found: Any = json.loads(text)
        except (ValueError, RecursionError):
            raise ManifestError("manifest: not JSON") from None
        names = {field.name for field in fields(cls)}
        if not isinstance(found, dict) or set(found) != names:
            raise ManifestError(f"manifest: expected an object with exactly {sorted(names)}")
        return cls(**found)

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hexadecimal: equal for equal preparation."""
        return hashlib.sha256(self.to_json().encode("ascii")).hexdigest()


def require_same(enrolled: Manifest, query: Manifest) -> None:
    """ManifestError naming every difference: such embeddings must not be compared."""
    differences = [
        f"{field.name} {_short(enrolled, field.name)} and {_short(query, field.name)}"
        for field in fields(Manifest)
        if getattr(enrolled, field.name) != getattr(query, field.name)
    ]
    if differences:
        raise ManifestError(
            "the enrolled face and the query were prepared differently, so that comparing them "
            f"means nothing: {'; '.join(differences)}"
        )


def _short(manifest: Manifest, name: str) -> str:
    value = getattr(manifest, name)
    return f"{value[:16]}..." if name in ("detector", "model") else repr(value)
