"""What a gallery is: public, immutable but by a rewrite, and no secret of anybody."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any, Final

from fhe_face.facts import differences
from fhe_face.gallery.errors import GalleryError, OtherModel
from fhe_face.models.faces import Preparation, PreparationError

VERSION: Final = 1
_HEX: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}")


class Mode(str, Enum):
    """What is searched: one mean of a subject's templates, or each template by itself."""

    MEAN = "mean"
    EACH = "each"

    @classmethod
    def of(cls, text: str) -> Mode:
        """GalleryError: another word."""
        try:
            return cls(text)
        except ValueError:
            raise GalleryError(f"template is 'mean' or 'each', not {text!r}") from None


@dataclass(frozen=True)
class Facts:
    """Stored with the gallery, where its server can read them.

    gallery: a random id; parameters: digest of the small ring's; key_id: of the gallery's key;
    model: digest of the weights' tensors; preparation: of every face; names: whether they are kept.
    """

    gallery: str
    parameters: str
    key_id: str
    model: str
    preparation: Preparation
    mode: Mode = Mode.MEAN
    names: bool = False
    version: int = VERSION

    @property
    def preparation_digest(self) -> str:
        """SHA-256 of the preparation, hexadecimal."""
        text = json.dumps(self.preparation.describe(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "mode": self.mode.value, "preparation": self.preparation.describe()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Facts:
        """Inverse of `to_json`.

        Raises:
            GalleryError: anything else, or a gallery of a later version.
        """
        version = content.get("version")
        if version != VERSION:
            raise GalleryError(
                f"the gallery has version {str(version)[:20]!r}; this program reads {VERSION}"
            )
        try:
            values = {**content, "mode": Mode(content["mode"])}
            values["preparation"] = Preparation.from_description(content["preparation"])
            found = cls(**values)
            digests = (found.gallery, found.parameters, found.key_id, found.model)
            valid = type(found.names) is bool and all(map(_is_digest, digests))
        except (KeyError, TypeError, ValueError, PreparationError):
            valid = False
        if not valid:
            raise GalleryError("the gallery's description is damaged")
        return found

    def require_model(self, model: str, what: str) -> None:
        """Refuse what embeds with other weights.

        Raises:
            OtherModel: the text names both.
        """
        if model != self.model:
            raise OtherModel(
                f"{what} embeds with the weights {model[:12]}..., the gallery was enrolled with "
                f"{self.model[:12]}...: scores between them mean nothing; use those weights, or "
                "rebuild the gallery"
            )

    def require_preparation(self, preparation: Preparation, what: str) -> None:
        """Refuse a face that was prepared in another way.

        Raises:
            OtherModel: the text names every difference.
        """
        if preparation != self.preparation:
            own, other = self.preparation.describe(), preparation.describe()
            raise OtherModel(
                f"{what} was prepared in another way than the gallery's faces "
                f"({differences(own, other)})"
            )


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and bool(_HEX.fullmatch(value))
