"""Opaque names for subjects, photos and faces: the server can neither read nor guess them."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final

from fhe_face.gallery.errors import GalleryError

_OWN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEX: Final = 32
SECRET_BYTES: Final = 32


def checked(own: str, what: str) -> str:
    """An id that the caller chose.

    Raises:
        GalleryError: it is no text of 1 to 64 letters, digits, dots, underscores and hyphens.
    """
    if not isinstance(own, str) or not _OWN.fullmatch(own):
        raise GalleryError(
            f"{what} {str(own)[:80]!r}: an id has 1 to 64 of the characters A-Z a-z 0-9 . _ -"
        )
    return own


@dataclass(frozen=True)
class Ids:
    """HMAC-SHA256 with a secret of the gallery; the same input gives the same 32 hex digits.

    The secret stays when the gallery gets a new key, so ids do too.
    """

    secret: bytes = field(repr=False)

    def subject(self, name: str) -> str:
        """Of a person, by the name that the caller uses."""
        return self._digest("subject", name.encode("utf-8", "surrogatepass"))

    def source(self, content: bytes) -> str:
        """Of a photo, by the digest of its content."""
        return self._digest("source", content)

    def template(self, source: str, number: int) -> str:
        """Of a face of a photo, from 1, largest first."""
        return self._digest("template", f"{source} {number}".encode())

    def stranger(self, source: str, number: int) -> str:
        """Of the subject that a face is where nobody says whose face it is."""
        return self._digest("stranger", f"{source} {number}".encode())

    def _digest(self, what: str, content: bytes) -> str:
        message = what.encode() + b"\0" + content
        return hmac.new(self.secret, message, hashlib.sha256).hexdigest()[:_HEX]
