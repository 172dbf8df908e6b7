"""A photo with a box and a label for each face, because people would rather look than read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from fhe_core.files import FileKind, write_whole

_SOFTWARE: Final = "Software"
_OURS: Final = b"fhe-face labelled photo"
_START: Final = 4096
#: Letters are this part of the longer side of the picture, within limits in pixels.
_LETTERS: Final = 1 / 40
_LEAST, _MOST = 14, 96
#: Smaller pictures are enlarged, so that names can be read.
_SMALLEST: Final = 480
#: Found on most systems with desktops; the built-in font has Latin letters only.
_FONTS: Final = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf")
_MAX_NAME: Final = 40

Colour = tuple[int, int, int]
Area = tuple[float, float, float, float]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _is_labelled(stream: BinaryIO) -> bool:
    return _OURS in stream.read(_START)


#: What a labelled photo may replace; a photo is none.
LABELLED: Final = FileKind("a labelled photo", _is_labelled)


@dataclass(frozen=True)
class Label:
    """What is written beside a face. box: x, y, width, height in pixels; None: all of it."""

    box: tuple[float, float, float, float] | None
    text: str
    colour: Colour


def labelled(photo: NDArray[np.uint8], labels: Sequence[Label]) -> Image.Image:
    """The photo, uint8 (H, W, 3), with all boxes and labels; a small one is enlarged."""
    picture = Image.fromarray(photo)
    factor = max(1, -(-_SMALLEST // max(picture.size)))
    if factor > 1:
        wide, high = picture.size
        picture = picture.resize((wide * factor, high * factor), Image.Resampling.LANCZOS)
    draw = ImageDraw.Draw(picture)
    height = int(min(max(max(picture.size) * _LETTERS, _LEAST), _MOST))
    font = _font(height)
    areas = [_area(label, factor, picture.size) for label in labels]
    for label, area in zip(labels, areas, strict=True):
        draw.rectangle(area, outline=label.colour, width=max(2, height // 8))
    taken: list[Area] = []
    for label, area in zip(labels, areas, strict=True):
        text = _shortened(label.text)
        place = _place(area, _size(draw, text, font, height), picture.size, taken)
        taken.append(place)
        draw.rectangle(place, fill=label.colour)
        draw.text((place[0] + height / 4, place[1] + height / 8), text, _ink(label.colour), font)
    return picture


def save(picture: Image.Image, path: Path) -> None:
    """Write it as PNG, readable by its owner only: it shows faces with names.

    Raises:
        ReplacementError: a file of another kind stands there.
        FileError: it cannot be written.
    """
    mark = PngImagePlugin.PngInfo()
    mark.add_text(_SOFTWARE, _OURS.decode())
    content = io.BytesIO()
    picture.save(content, "PNG", pnginfo=mark)
    write_whole(path, content.getvalue(), private=True, kind=LABELLED)


def _font(height: int) -> Font:
    for name in _FONTS:
        try:
            return ImageFont.truetype(name, height)
        except OSError:
            continue
    return ImageFont.load_default(height)


def _area(label: Label, factor: int, size: tuple[int, int]) -> Area:
    if label.box is None:
        return 0, 0, size[0] - 1, size[1] - 1
    x, y, wide, high = (factor * n for n in label.box)
    return x, y, x + wide, y + high


def _size(draw: ImageDraw.ImageDraw, text: str, font: Font, height: int) -> tuple[float, float]:
    return draw.textlength(text, font) + height / 2, 1.35 * height


def _place(
    area: Area, size: tuple[float, float], picture: tuple[int, int], taken: Sequence[Area]
) -> Area:
    """Above the box, below it, or inside, where it hides no other label and fits the picture."""
    left = min(max(area[0], 0), max(0.0, picture[0] - size[0]))
    tops = (area[1] - size[1], area[3], area[1], area[3] - size[1])
    places = []
    for top in tops:
        inside = min(max(top, 0), max(0.0, picture[1] - size[1]))
        places.append((left, inside, left + size[0], inside + size[1]))
    free = [place for place in places if not any(_meet(place, other) for other in taken)]
    return (free or places)[0]


def _meet(one: Area, other: Area) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _ink(colour: Colour) -> Colour:
    """Black or white, whichever can be read on a colour."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def _shortened(text: str) -> str:
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain if len(plain) <= _MAX_NAME else f"{plain[: _MAX_NAME - 1]}…"
