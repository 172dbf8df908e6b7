"""From encoded pictures to pixels, with bounded memory. Everything wrong is one ImageError."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features
from PIL.JpegImagePlugin import JpegImageFile, jpeg_factory

from fhe_face.models.faces import MAX_SIDE
from fhe_face.photos.image_error import ImageError
from fhe_face.photos.picture_kinds import HEAD, TAKEN, is_avif, refusal

Pixels = NDArray[np.uint8]

#: Pixels of a picture in memory. A JPEG beyond them is decoded at half its size.
MAX_PIXELS: Final = 64_000_000
#: Pixels of a JPEG: phones make up to 200 million.
MAX_JPEG_PIXELS: Final = 4 * MAX_PIXELS
# Formats that Pillow decodes by itself (EPS would start Ghostscript).
_FORMATS: Final = ("PNG", "JPEG", "BMP", "DIB", "GIF", "TIFF", "WEBP", "PPM", "AVIF")
_DAMAGED: Final = "truncated or damaged image; expected a whole one"
_ORIENTATION: Final = 0x0112
_SUBFILE: Final = 254
_PREVIEW_OR_MASK: Final = 1 | 4
_MAX_PAGES: Final = 16
_JPEG: Final = b"\xff\xd8\xff"
_JPEG_END: Final = b"\xff\xd9"
#: A JPEG without its end is read into memory.
_MAX_REPAIRED: Final = 1 << 28

#: What brings a picture upright, by its EXIF orientation.
_UPRIGHT: Final[Mapping[int, Callable[[Pixels], Pixels]]] = {
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1),
    6: lambda p: p.swapaxes(0, 1)[:, ::-1],
    7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
    8: lambda p: p.swapaxes(0, 1)[::-1],
}


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels, uint8 (H, W, 3) RGB, upright; texts: what a PNG file says beside them."""

    pixels: Pixels
    texts: Mapping[str, str] = field(default_factory=dict)


def decode(source: BinaryIO, name: object, suffix: str = "") -> Picture:
    """The picture in a stream, from its beginning; `name` stands for it in messages.

    Grey, palette, transparent (over black), 16-bit and CMYK pictures are converted; of EXIF only
    the orientation is read. A JPEG of more than 64 million pixels comes at half its size. A JPEG
    that lacks only its end marker is taken, and a TIFF whose other pages are previews or masks.

    Raises ImageError: no picture or a format that is not supported (named where it is known),
    truncated, damaged, animated, with several pages, or too large.
    """
    with warnings.catch_warnings():  # Pillow warns of odd metadata that nobody asked for
        warnings.simplefilter("ignore")
        try:
            return _decoded(source, name, suffix)
        except ImageError:
            raise
        except Exception:  # decoders raise many kinds for damaged files
            raise ImageError(name, _DAMAGED) from None


def converted(image: Image.Image, name: object) -> Picture:
    """A picture that Pillow has opened or made, as `decode` gives it; see there."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _refuse_size(image, name, MAX_PIXELS)
            _refuse_frames(image, name)
            return Picture(_upright(image, np.array(_to_rgb(image, name))), _texts(image))
        except ImageError:
            raise
        except Exception:
            raise ImageError(name, _DAMAGED) from None


def _decoded(source: BinaryIO, name: object, suffix: str) -> Picture:
    head = source.read(HEAD)
    source.seek(0)
    problem = refusal(head, suffix)
    if problem is None and is_avif(head) and not features.check("avif"):
        problem = "is AVIF, which the installed Pillow does not read; save it as JPEG"
    if problem is not None:
        raise ImageError(name, problem)
    with _opened(source, name, head) as image:
        _refuse_size(image, name, MAX_JPEG_PIXELS if _is_jpeg(image) else MAX_PIXELS)
        _refuse_frames(image, name)
        loaded = _loaded(image, source, name)
        pixels = np.array(_to_rgb(loaded, name))
        return Picture(_upright(image, pixels), _texts(image))


def _opened(source: BinaryIO, name: object, head: bytes) -> Image.Image:
    """Read the header only; nothing is decoded yet."""
    try:
        if head.startswith(_JPEG):  # Pillow's own limit lies below what phones make
            return jpeg_factory(source)
        return Image.open(source, formats=_FORMATS)
    except Image.DecompressionBombError:
        raise ImageError(name, f"has {_limit(MAX_PIXELS)}") from None
    except UnidentifiedImageError:
        raise ImageError(name, f"not an image; expected {TAKEN}") from None


def _is_jpeg(image: Image.Image) -> bool:
    return isinstance(image, JpegImageFile)


def _limit(pixels: int) -> str:
    return (
        f"more than {pixels // 1_000_000} million pixels or {MAX_SIDE} a side, the limit for its "
        "format; make it smaller"
    )


def _refuse_size(image: Image.Image, name: object, limit: int) -> None:
    if image.width * image.height > limit or max(image.size) > MAX_SIDE:
        raise ImageError(name, f"is {image.width}x{image.height}, {_limit(limit)}")


def _refuse_frames(image: Image.Image, name: object) -> None:
    frames = int(getattr(image, "n_frames", 1))
    # An MPO is a photograph with a preview or a second eye: its first picture is the photograph.
    if frames < 2 or image.format == "MPO":
        return
    if image.format != "TIFF" or not _only_previews(image, frames):
        raise ImageError(name, f"has {frames} frames or pages; expected one still image")


def _only_previews(image: Any, frames: int) -> bool:
    """Whether all pages of a TIFF but the first are previews of it or masks."""
    size = image.size
    for page in range(1, min(frames, _MAX_PAGES)):
        image.seek(page)
        smaller = image.width < size[0] and image.height < size[1]
        if not (smaller or int(image.tag_v2.get(_SUBFILE, 0)) & _PREVIEW_OR_MASK):
            return False
    image.seek(0)
    return frames <= _MAX_PAGES


def _loaded(image: Image.Image, source: BinaryIO, name: object) -> Image.Image:
    try:
        _load(image)
    except Exception:
        if image.format == "JPEG" and not image.info.get("progressive"):
            whole = _without_end(source)
            if whole is not None:
                return whole
        raise ImageError(name, _DAMAGED) from None
    return image


def _load(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        image.draft(None, (image.width // 2, image.height // 2))
    image.load()


def _without_end(source: BinaryIO) -> Image.Image | None:
    """A JPEG that lacks only its end marker, as some IP cameras write it.

    Where all pixels are there, it does not matter what follows them: two continuations must
    give one picture. Where anything else is missing, they are decoded as pixels and differ.
    """
    source.seek(0)
    data = source.read(_MAX_REPAIRED + 1)
    if len(data) > _MAX_REPAIRED or data.endswith(_JPEG_END):
        return None
    found: list[Image.Image] = []
    for more in (b"\0" * HEAD, b"\x55" * HEAD):
        image = JpegImageFile(io.BytesIO(data.rstrip(b"\xff") + more + _JPEG_END))
        _load(image)
        found.append(image)
    return found[0] if found[0].tobytes() == found[1].tobytes() else None


def _upright(image: Image.Image, pixels: Pixels) -> Pixels:
    try:
        orientation = image.getexif().get(_ORIENTATION)
    except Exception:  # whatever else is in EXIF, the pixels are fine
        orientation = None
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _texts(image: Image.Image) -> dict[str, str]:
    if image.format != "PNG":
        return {}
    return {str(key): text for key, text in image.info.items() if isinstance(text, str)}


def _to_rgb(image: Image.Image, name: object) -> Image.Image:
    if image.mode.startswith("I"):
        image = _from_16_bit(image, name)
    elif image.mode == "F":
        raise ImageError(name, "has floating-point pixels of unknown range; expected 8 or 16 bit")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_16_bit(image: Image.Image, name: object) -> Image.Image:
    pixels = np.array(image).astype(np.int64)
    if pixels.size and (pixels.min() < 0 or pixels.max() > 65535):
        raise ImageError(name, "has 32-bit pixels beyond 65535; expected 8 or 16 bit")
    return Image.fromarray(np.rint(pixels / 257).astype(np.uint8))
