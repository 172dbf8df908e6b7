"""Pictures for the page, in memory only, each under a name that nobody can guess."""

from __future__ import annotations

import io
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fhe_core.formats.ciphertexts import Bundle

Pixels = NDArray[np.uint8]

PNG: Final = "image/png"
JPEG: Final = "image/jpeg"
#: The longer side of a photo on the page, in pixels.
_PREVIEW: Final = 720
_NOISE: Final = (256, 96)
#: Of a residue, so many of its low bytes are shown: the others are partly or always zero.
_LOW_BYTES: Final = 4
_KEPT: Final = 400


@dataclass
class Pictures:
    """The last pictures that were shown; older ones are forgotten."""

    _known: OrderedDict[str, tuple[str, bytes]] = field(default_factory=OrderedDict, repr=False)

    def keep(self, kind: str, content: bytes) -> str:
        """A picture's new name."""
        name = secrets.token_urlsafe(16)
        self._known[name] = kind, content
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return name

    def get(self, name: str) -> tuple[str, bytes] | None:
        """A picture's media type and bytes."""
        return self._known.get(name)

    def forget(self, *names: str) -> None:
        """Pictures that are not shown any more."""
        for name in names:
            self._known.pop(name, None)


def preview(photo: Pixels) -> bytes:
    """A photo as JPEG, not larger than the page needs; nothing that the file said beside."""
    picture = Image.fromarray(photo)
    picture.thumbnail((_PREVIEW, _PREVIEW), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return _encoded(picture, "JPEG", quality=88)


def exact(pixels: Pixels) -> bytes:
    """A crop as PNG, pixel for pixel."""
    return _encoded(Image.fromarray(pixels), "PNG")


def patches_of(crop: Pixels, side: int) -> list[Pixels]:
    """Square patches of a crop, row by row: what the network sees, each by itself."""
    rows, columns = (n // side for n in crop.shape[:2])
    return [
        crop[row * side : (row + 1) * side, column * side : (column + 1) * side]
        for row in range(rows)
        for column in range(columns)
    ]


def noise(bundle: Bundle) -> bytes:
    """Real bytes of a ciphertext as grey pixels: the low ones of its first residues."""
    wide, high = _NOISE
    first = next(iter(bundle.items.values())).residues.reshape(-1)[: wide * high // _LOW_BYTES]
    low = np.ascontiguousarray(first).astype("<u8").view(np.uint8).reshape(-1, 8)[:, :_LOW_BYTES]
    pixels = np.resize(low.reshape(-1), (high, wide))
    return _encoded(Image.fromarray(pixels), "PNG")


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()
