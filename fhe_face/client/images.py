"""Images from files to the network's input, on the client. Everything wrong is one ImageError."""

import io
import os
import warnings
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from fhe_face.models.faces import letterboxed

MAX_PIXELS: Final = 50_000_000
MAX_SIDE: Final = 20_000
# Formats that Pillow decodes by itself (EPS would start Ghostscript).
_FORMATS: Final = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_DAMAGED: Final = "truncated or damaged image; expected a whole PNG or JPEG"
_NPY_MAGIC: Final = b"\x93NUMPY"

Unit = NDArray[np.float64]


class ImageError(ValueError):
    """An image that cannot be used; the text names the file and says what would be right."""

    def __init__(self, path: object, problem: str) -> None:
        """`path`: the file (or what the array is called); `problem`: what is wrong with it."""
        super().__init__(f"{path}: {problem}")
        self._given = (str(path), problem)

    def __reduce__(self) -> tuple[type["ImageError"], tuple[str, str]]:
        """What makes it again, in another process."""
        return type(self), self._given


def load_face(
    path: str | os.PathLike[str], size: int = 64, resize: bool = False
) -> NDArray[np.uint8]:
    """An aligned face as uint8 (size, size, 3) RGB.

    Grey, palette, transparent (over black), 16-bit and CMYK images are converted, the EXIF
    orientation is applied. With `resize` an image of another size is scaled with its aspect
    ratio kept and black padding. Raises ImageError: missing, truncated, damaged or no image,
    animated or with several pages, more than 50 million pixels, another size without `resize`.
    """
    file = Path(path)
    image = _decoded(file)
    pixels = np.array(image, dtype=np.uint8)
    if image.size == (size, size):
        return pixels
    if not resize:
        raise ImageError(
            file,
            f"is {image.width}x{image.height} pixels; expected an aligned face of "
            f"{size}x{size} (fhe-face align makes one of a photo)",
        )
    return letterboxed(pixels, size)


def load_photo(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """A picture of any size as uint8 (H, W, 3) RGB, converted as `load_face` does.

    Raises ImageError as `load_face` does, but for the size.
    """
    return np.array(_decoded(Path(path)), dtype=np.uint8)


def decode_photo(data: bytes, name: str) -> NDArray[np.uint8]:
    """An encoded picture as `load_photo` gives it; `name` stands for the file in messages.

    Raises ImageError as `load_photo` does.
    """
    file = Path(name)
    return np.array(_converted(file, _parsed(file, io.BytesIO(data))), dtype=np.uint8)


def _decoded(file: Path) -> Image.Image:
    return _converted(file, _open(file))


def _converted(file: Path, image: Image.Image) -> Image.Image:
    with image as opened:
        _refuse_by_header(file, opened)
        try:
            return _to_rgb(file, ImageOps.exif_transpose(opened))
        except ImageError:
            raise
        except Exception:  # decoders raise many kinds for damaged files
            raise ImageError(file, _DAMAGED) from None


def to_unit(image: NDArray[np.uint8]) -> Unit:
    """uint8 RGB (S, S, 3) to float64 (3, S, S) in [-1, 1]: x / 127.5 - 1, as CryptoFace does.

    Raises ImageError for another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError("image", f"{image.dtype} {image.shape}; expected uint8 (S, S, 3) RGB")
    if image.shape[0] != image.shape[1]:
        raise ImageError("image", f"shape {image.shape} is not square")
    return np.ascontiguousarray(image.transpose(2, 0, 1)) / 127.5 - 1


def validate_unit(array: NDArray[Any], size: int | None = None, name: object = "image") -> Unit:
    """The array as float64 (3, S, S) after checking it; `size`: S where it is known.

    Raises ImageError naming `name`: another shape or type, NaN, infinite, outside [-1, 1].
    """
    wanted = f"(3, {size}, {size})" if size else "(3, S, S)"
    shape = array.shape
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2] or (size or shape[1]) != shape[1]:
        raise ImageError(name, f"shape is {shape}; expected {wanted}, values in [-1, 1]")
    if array.dtype.kind != "f":
        raise ImageError(name, f"type is {array.dtype}; expected floating point in [-1, 1]")
    unit = np.array(array, dtype=np.float64)
    if not np.isfinite(unit).all():
        raise ImageError(name, "holds NaN or infinite values; expected values in [-1, 1]")
    low, high = (float(unit.min()), float(unit.max())) if unit.size else (0.0, 0.0)
    if low < -1 or high > 1:
        raise ImageError(
            name, f"values in [{low:g}, {high:g}]; expected [-1, 1], that is pixel / 127.5 - 1"
        )
    return unit


def load_unit(path: str | os.PathLike[str], size: int = 64, resize: bool = False) -> Unit:
    """The network's input, float64 (3, size, size) in [-1, 1], from an image or a .npy file.

    A .npy holds floats (3, size, size) in [-1, 1] or uint8 (size, size, 3); it is never resized.
    Raises ImageError as `load_face` and `validate_unit` do.
    """
    file = Path(path)
    if is_npy(file):
        return _load_npy(file, size)
    return validate_unit(to_unit(load_face(file, size, resize)), size, file)


def is_npy(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a .npy array, by content or name; ImageError where it is unreadable."""
    file = Path(path)
    return _starts_with(file, _NPY_MAGIC) or file.suffix == ".npy"


def png_text(path: str | os.PathLike[str], key: str) -> str | None:
    """A text that a PNG file carries; None for other files and where there is none."""
    with _open(Path(path)) as image:
        text = image.info.get(key) if image.format == "PNG" else None
    return text if isinstance(text, str) else None


def _load_npy(file: Path, size: int) -> Unit:
    try:
        # Mapped, not read: a header that claims more than the file holds allocates nothing.
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception:  # numpy parses the header as Python: errors of many kinds
        raise ImageError(
            file, f"not a readable .npy array; expected floats (3, {size}, {size}) in [-1, 1]"
        ) from None
    if not isinstance(array, np.ndarray):
        raise ImageError(file, "an archive; expected one .npy array")
    if array.dtype == np.uint8:
        if array.shape != (size, size, 3):
            raise ImageError(file, f"uint8 {array.shape}; expected ({size}, {size}, 3) RGB")
        return to_unit(np.array(array))
    return validate_unit(array, size, file)


def _starts_with(file: Path, magic: bytes) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(len(magic)) == magic
    except FileNotFoundError:
        raise ImageError(file, "no such file; expected an image") from None
    except OSError as error:
        raise ImageError(file, f"cannot be read ({error.strerror})") from None


def _open(file: Path) -> Image.Image:
    """Read the header only; nothing is decoded yet."""
    _starts_with(file, b"")
    return _parsed(file, file)


def _parsed(file: Path, source: Path | BinaryIO) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(source, formats=_FORMATS)
    except Image.DecompressionBombError:
        raise ImageError(file, f"more than {MAX_PIXELS} pixels; expected a face crop") from None
    except UnidentifiedImageError:
        raise ImageError(file, "not an image; expected PNG, JPEG, WebP, BMP or TIFF") from None
    except Exception:  # decoders raise many kinds for damaged files
        raise ImageError(file, _DAMAGED) from None


def _refuse_by_header(file: Path, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
        raise ImageError(
            file,
            f"is {image.width}x{image.height}, more than {MAX_PIXELS} pixels or {MAX_SIDE} a side",
        )
    try:
        frames = int(getattr(image, "n_frames", 1))
    except Exception:  # counting frames reads on in the file
        raise ImageError(file, _DAMAGED) from None
    # An MPO is a photograph with a preview or a second eye: its first picture is the photograph.
    if frames > 1 and image.format != "MPO":
        raise ImageError(file, f"has {frames} frames or pages; expected one still image")


def _to_rgb(file: Path, image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        image = _from_16_bit(file, image)
    elif image.mode == "F":
        raise ImageError(file, "has floating-point pixels of unknown range; expected 8 or 16 bit")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, rgba).convert("RGB")
    return image.convert("RGB")


def _from_16_bit(file: Path, image: Image.Image) -> Image.Image:
    pixels = np.array(image).astype(np.int64)
    if pixels.size and (pixels.min() < 0 or pixels.max() > 65535):
        raise ImageError(file, "has 32-bit pixels beyond 65535; expected 8 or 16 bit")
    return Image.fromarray(np.rint(pixels / 257).astype(np.uint8))
