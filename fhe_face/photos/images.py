"""Images from files and memory to the network's input, on the client. Everything wrong is one
ImageError."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fhe_face.models.faces import letterboxed
from fhe_face.photos.decoding import Picture, converted, decode
from fhe_face.photos.image_error import ImageError

__all__ = [
    "ImageError",
    "Picture",
    "Unit",
    "aligned_crop",
    "array_of",
    "decode_photo",
    "is_npy",
    "lies_in_unit_interval",
    "load_face",
    "load_photo",
    "load_picture",
    "load_unit",
    "to_unit",
    "validate_unit",
]

_NPY_MAGIC: Final = b"\x93NUMPY"
_URL: Final = re.compile(r"(https?|ftp|file|s3|gs):/|data:", re.IGNORECASE)
#: For arrays that are photos.
_PHOTO_ARRAY: Final = "expected a photo as uint8 (H, W, 3) RGB"

Unit = NDArray[np.float64]


def load_picture(photo: object) -> Picture:
    """A picture of any size: a file, its bytes, a file object, a PIL image, or an array.

    Arrays (and torch tensors) are uint8 (H, W, 3) RGB or (H, W) grey. Raises ImageError: it is
    something else, or as `decoding.decode` does.
    """
    if isinstance(photo, str | os.PathLike):
        return _from_file(Path(photo))
    if isinstance(photo, bytes | bytearray | memoryview):
        return decode(io.BytesIO(photo), "bytes")
    if isinstance(photo, Image.Image):
        return converted(photo, "PIL image")
    if hasattr(photo, "read"):
        return _from_stream(photo)
    array = array_of(photo)
    if array is None:
        raise ImageError(
            type(photo).__name__,
            "not taken; expected a path, bytes, a file object, a PIL image, or uint8 (H, W, 3) RGB",
        )
    return Picture(_photo_array(array))


def array_of(value: Any) -> NDArray[Any] | None:
    """An array, or what can be made one without looking into it (torch tensors); else None.

    Raises ImageError where the value cannot be converted.
    """
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Image.Image) or not hasattr(type(value), "__array__"):
        return None
    try:
        value = value.detach().cpu() if hasattr(value, "detach") else value
        return np.asarray(value)
    except Exception as error:  # of whatever library it is
        raise ImageError(type(value).__name__, f"cannot be read as an array ({error})") from None


def load_face(
    path: str | os.PathLike[str], size: int = 64, resize: bool = False
) -> NDArray[np.uint8]:
    """An aligned face as uint8 (size, size, 3) RGB.

    Pixels are converted as `decoding.decode` does. With `resize` an image of another size is
    scaled with its aspect ratio kept and black padding. Raises ImageError: an unusable file, or
    another size without `resize`.
    """
    file = Path(path)
    pixels = load_photo(file)
    high, wide = pixels.shape[:2]
    if (wide, high) == (size, size):
        return pixels
    if not resize:
        raise ImageError(
            file,
            f"is {wide}x{high} pixels; expected an aligned face of "
            f"{size}x{size} (fhe-face align makes one of a photo)",
        )
    return letterboxed(pixels, size)


def aligned_crop(pixels: NDArray[np.uint8], size: int, name: object) -> NDArray[np.uint8]:
    """An aligned crop of any size, uint8 (S, S, 3), scaled to `size`; ImageError: not square."""
    high, wide = pixels.shape[:2]
    if high != wide:
        raise ImageError(name, f"is {wide}x{high} pixels; an aligned crop is square")
    return pixels if wide == size else letterboxed(pixels, size)


def load_photo(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """A picture of any size as uint8 (H, W, 3) RGB, converted as `load_face` does.

    Raises ImageError as `load_face` does, but for the size.
    """
    return _from_file(Path(path)).pixels


def decode_photo(data: bytes, name: str) -> NDArray[np.uint8]:
    """An encoded picture as `load_photo` gives it; `name` stands for the file in messages.

    Raises ImageError as `load_photo` does.
    """
    return decode(io.BytesIO(data), name).pixels


def _from_file(file: Path) -> Picture:
    _starts_with(file, b"")
    with file.open("rb") as stream:
        return decode(stream, file, file.suffix.lower())


def _from_stream(stream: Any) -> Picture:
    name = str(getattr(stream, "name", "file object"))
    try:
        data = stream.read()
    except (OSError, ValueError) as error:
        raise ImageError(name, f"cannot be read ({error})") from None
    if not isinstance(data, bytes):
        raise ImageError(name, 'gives text; open it as "rb"')
    return decode(io.BytesIO(data), name)


def _photo_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or not array.size:
        raise ImageError("array", f"{array.dtype} {array.shape}; {_PHOTO_ARRAY}")
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    if array.shape[2] != 3:
        raise ImageError("array", f"uint8 {array.shape}; {_PHOTO_ARRAY}")
    return np.array(array)


def to_unit(image: NDArray[np.uint8]) -> Unit:
    """uint8 RGB (S, S, 3) to float64 (3, S, S) in [-1, 1]: x / 127.5 - 1, as CryptoFace does.

    Raises ImageError for another shape or type.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ImageError("image", f"{image.dtype} {image.shape}; expected uint8 (S, S, 3) RGB")
    if image.shape[0] != image.shape[1]:
        raise ImageError("image", f"shape {image.shape} is not square")
    return np.ascontiguousarray(image.transpose(2, 0, 1)) / 127.5 - 1


def to_pixels(unit: Unit) -> NDArray[np.uint8]:
    """Inverse of `to_unit`, rounded: (3, S, S) in [-1, 1] to uint8 RGB (S, S, 3)."""
    return np.rint((unit.transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)


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


def lies_in_unit_interval(unit: Unit) -> bool:
    """Whether values are as if they were scaled to [0, 1] and not to [-1, 1]: nearly no photo
    has only bright pixels. A picture of one value is not."""
    return bool(unit.size) and 0 <= float(unit.min()) < float(unit.max())


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
        problem = "no such file; expected an image"
        if _URL.match(str(file)):
            problem = "is a URL, which is not fetched; download the picture and give the file"
        raise ImageError(_short(file), problem) from None
    except ValueError:  # a null byte
        raise ImageError(_short(file), "no such file; expected an image") from None
    except OSError as error:
        if _URL.match(str(file)):
            raise ImageError(_short(file), "is a URL; expected a file, or its bytes") from None
        raise ImageError(file, f"cannot be read ({error.strerror})") from None


def _short(file: Path) -> str:
    """A name for a message: some "paths" are whole pictures."""
    name = str(file)
    return name if len(name) <= 300 else f"{name[:60]}..."
