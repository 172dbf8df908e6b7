"""What lies at the server and only the client can read: records, names, reasons, settings.

AES-256-GCM with keys that are derived from the gallery's secret key, one for each purpose. What a
text belongs to is authenticated with it, so nothing can be moved to another place.
"""

from __future__ import annotations

import json
import os
from typing import Final

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from fhe_core.secret.key import SecretKey
from fhe_face.gallery.errors import GalleryError, RecordError
from fhe_face.gallery.facts import Facts

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
#: Numbers of a unit vector are multiples of this: the rounding is far below the noise of a score.
STEP: Final = 1 / 32767
#: Texts are padded to multiples of this, so that their lengths tell little.
_PAD: Final = 64
_MAX_NAME_BYTES: Final = 1024
_PURPOSES: Final = ("records", "names", "reasons", "settings")

Array = NDArray[np.float64]


class Vault:
    """Seals and opens for one gallery, one model and one preparation."""

    def __init__(self, key: SecretKey, facts: Facts, features: int) -> None:
        """features: numbers of an embedding."""
        self.facts = facts
        self.features = features
        self._ciphers = {name: AESGCM(key.derive(f"gallery {name}")) for name in _PURPOSES}

    @property
    def record_bytes(self) -> int:
        """Of every record."""
        return NONCE_BYTES + 2 * self.features + TAG_BYTES

    def seal_record(self, template: str, embedding: Array) -> bytes:
        """An embedding (F,) of length 1 at most as fixed point; template: its id."""
        if embedding.shape != (self.features,) or not (np.abs(embedding) <= 1 + 1e-9).all():
            raise GalleryError(f"not a unit embedding of {self.features} numbers")
        numbers = np.rint(np.clip(embedding, -1, 1) / STEP).astype("<i2")
        return self._seal("records", numbers.tobytes(), self._of(template))

    def open_record(self, template: str, record: bytes) -> Array:
        """Inverse of `seal_record`, up to half a `STEP`.

        Raises:
            RecordError: damaged, or of another gallery, template, model or preparation.
        """
        opened = None
        if len(record) == self.record_bytes:
            opened = self._open("records", record, self._of(template))
        if opened is None:
            raise RecordError(
                f"the record of template {template} cannot be opened: it is damaged, or was made "
                "for another gallery, model or preparation"
            )
        return np.frombuffer(opened, "<i2").astype(np.float64) * STEP

    def seal_name(self, subject: str, name: str) -> bytes:
        """A person's name, padded; subject: the id it belongs to.

        Raises:
            GalleryError: more than 1,024 bytes.
        """
        text = name.encode("utf-8", "surrogatepass")
        if not text or len(text) > _MAX_NAME_BYTES:
            raise GalleryError(f"a name has 1 to {_MAX_NAME_BYTES} bytes, this one {len(text)}")
        return self._seal("names", _padded(text), (subject,))

    def open_name(self, subject: str, sealed: bytes) -> str:
        """Inverse of `seal_name`; RecordError for anything else."""
        return self._text("names", sealed, subject, "the name of subject")

    def seal_reason(self, source: str, reason: str) -> bytes:
        """Why a photo was refused; source: its id."""
        text = reason.encode("utf-8", "surrogatepass")[:_MAX_NAME_BYTES]
        return self._seal("reasons", _padded(text), (source,))

    def open_reason(self, source: str, sealed: bytes) -> str:
        """Inverse of `seal_reason`; RecordError for anything else."""
        return self._text("reasons", sealed, source, "the reason of photo")

    def seal_settings(self, content: bytes) -> bytes:
        """The gallery's settings."""
        return self._seal("settings", content, ())

    def open_settings(self, sealed: bytes) -> bytes:
        """Inverse of `seal_settings`; RecordError for anything else."""
        opened = self._open("settings", sealed, ())
        if opened is None:
            raise RecordError(
                "the gallery's settings cannot be opened: they are damaged, or belong to another "
                "gallery.key"
            )
        return opened

    def _of(self, template: str) -> tuple[str, ...]:
        return template, self.facts.model, self.facts.preparation_digest

    def _text(self, purpose: str, sealed: bytes, owner: str, what: str) -> str:
        opened = self._open(purpose, sealed, (owner,))
        if opened is None:
            raise RecordError(f"{what} {owner} cannot be opened: it is damaged")
        return opened.rstrip(b"\0").decode("utf-8", "replace")

    def _seal(self, purpose: str, content: bytes, bound: tuple[str, ...]) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._ciphers[purpose].encrypt(nonce, content, self._bound(purpose, bound))

    def _open(self, purpose: str, sealed: bytes, bound: tuple[str, ...]) -> bytes | None:
        try:
            nonce, content = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
            return self._ciphers[purpose].decrypt(nonce, content, self._bound(purpose, bound))
        except (InvalidTag, ValueError):
            return None

    def _bound(self, purpose: str, bound: tuple[str, ...]) -> bytes:
        return json.dumps([purpose, self.facts.gallery, *bound]).encode()


def _padded(text: bytes) -> bytes:
    return text + b"\0" * (-len(text) % _PAD)
