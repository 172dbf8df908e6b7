"""The worst pairs of an evaluation as a picture: crops side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from fhe_face.photos.contact_sheet import COLUMNS, ROWS, Cell, ContactSheet
from fhe_face.photos.labelled import save
from fhe_face.photos.people import Faces

_SIDE: Final = 160
_GAP: Final = 4
_TITLES: Final = {"same": "one person", "different": "different people"}


def draw_worst(
    faces: Faces, worst: Mapping[str, Sequence[Mapping[str, Any]]], target: Path
) -> None:
    """Draw pairs, as `evaluate` has them in JSON, into a .png readable by its owner only.

    Raises:
        FileError, ReplacementError: it cannot be written.
    """
    place = {str(photo): number for number, photo in enumerate(faces.photos)}
    sheet = ContactSheet()
    for kind, pairs in worst.items():
        for pair in pairs:
            if len(sheet.cells) < COLUMNS * ROWS:
                one, two = (place[name] for name in pair["images"])
                title = f"{_TITLES[kind]}: cosine {pair['cosine']:.3f}"
                text = " and ".join(pair["images"])
                sheet.add(Cell(title, _beside(faces, one, two), None, text))
    save(sheet.page(), target)


def _beside(faces: Faces, one: int, two: int) -> Image.Image:
    picture = Image.new("RGB", (2 * _SIDE + _GAP, _SIDE), (250, 250, 250))
    for number, place in enumerate((one, two)):
        crop = Image.fromarray(faces.crops[place])
        scaled = crop.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        picture.paste(scaled, (number * (_SIDE + _GAP), 0))
    return picture
