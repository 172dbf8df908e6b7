"""A picture of what the alignment did, for people: photo, landmarks, crop, remarks."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from fhe_face.models.faces import Face

Pixels = NDArray[np.uint8]

#: Cells of a page.
COLUMNS: Final = 3
ROWS: Final = 8
_PHOTO: Final = 200
_MAX_ENLARGED: Final = 2.0
_CROP: Final = 128
_GAP: Final = 8
_LINE: Final = 15
_LINES: Final = 5
_LETTERS: Final = 48
_CELL: Final = (_PHOTO + _CROP + 3 * _GAP, _PHOTO + _LINES * _LINE + 2 * _GAP)
_PAPER: Final = (250, 250, 250)
_INK: Final = (20, 20, 20)
_ALARM: Final = (190, 0, 0)
_BOX: Final = (0, 200, 0)
_OTHER: Final = (255, 170, 0)
_MARK: Final = (255, 0, 90)


@dataclass(frozen=True, eq=False)
class Cell:
    """One face, or an image without one.

    photo: at the size of the cell already, or None where it could not be read; remarks are
    drawn in red.
    """

    title: str
    photo: Image.Image | None
    crop: Pixels | None = None
    text: str = ""
    remarks: Sequence[str] = ()


@dataclass
class ContactSheet:
    """Cells that become pages; only the cells of the current page are kept."""

    cells: list[Cell] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether the page has no room left."""
        return len(self.cells) >= COLUMNS * ROWS

    def add(self, cell: Cell) -> None:
        """Add a cell to the current page."""
        self.cells.append(cell)

    def page(self) -> Image.Image:
        """The current page; the next one starts empty."""
        columns = min(COLUMNS, max(1, len(self.cells)))
        rows = max(1, -(-len(self.cells) // COLUMNS))
        sheet = Image.new("RGB", (columns * _CELL[0], rows * _CELL[1]), _PAPER)
        for number, cell in enumerate(self.cells):
            row, column = divmod(number, COLUMNS)
            _draw(sheet, cell, column * _CELL[0] + _GAP, row * _CELL[1] + _GAP)
        self.cells.clear()
        return sheet


def marked(photo: Pixels, face: Face | None = None, others: Sequence[Face] = ()) -> Image.Image:
    """The photo, at the cell's size, with the boxes of all faces and the landmarks of one."""
    picture = Image.fromarray(photo)
    factor = min(_PHOTO / max(picture.size), _MAX_ENLARGED)
    wide, high = (max(1, round(n * factor)) for n in picture.size)
    method = Image.Resampling.BOX if factor < 1 else Image.Resampling.BICUBIC
    picture = picture.resize((wide, high), method)
    scale = np.array(picture.size) / np.array([photo.shape[1], photo.shape[0]])
    draw = ImageDraw.Draw(picture)
    for other in others:
        if other is not face:
            _box(draw, other, scale, _OTHER)
    if face is not None:
        _box(draw, face, scale, _BOX)
        for x, y in (face.landmarks + 0.5) * scale:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_MARK)
    return picture


def _box(
    draw: ImageDraw.ImageDraw, face: Face, scale: NDArray[np.float64], colour: tuple[int, int, int]
) -> None:
    left, top = np.array(face.box[:2]) * scale
    width, height = np.array(face.box[2:]) * scale
    draw.rectangle((left, top, left + width, top + height), outline=colour, width=2)


def _draw(sheet: Image.Image, cell: Cell, left: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    if cell.photo is None:
        draw.rectangle((left, top, left + _PHOTO, top + _PHOTO), outline=_ALARM)
    else:
        sheet.paste(cell.photo, (left, top))
    if cell.crop is not None:
        crop = Image.fromarray(cell.crop).resize((_CROP, _CROP), Image.Resampling.NEAREST)
        sheet.paste(crop, (left + _PHOTO + _GAP, top))
    lines = [(line, _INK) for text in (cell.title, cell.text) for line in _wrapped(text)]
    lines += [(line, _ALARM) for remark in cell.remarks for line in _wrapped(remark)]
    font = ImageFont.load_default()
    for number, (line, colour) in enumerate(lines[:_LINES]):
        draw.text((left, top + _PHOTO + 4 + number * _LINE), line, fill=colour, font=font)


def _wrapped(text: str) -> list[str]:
    # The built-in font has few letters beyond these.
    plain = text.encode("latin-1", "replace").decode("latin-1")
    return textwrap.wrap(plain, _LETTERS, max_lines=3, placeholder="...")
