"""Portraits that the project draws itself: nobody's photograph, always the same.

For whoever has no photo at hand, for tests, and for the pictures in the documentation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

WIDE: Final = 360
HIGH: Final = 440
#: Drawn larger and reduced, so that edges are smooth.
_FINE: Final = 3
#: Pixels of a portrait for a unit of the drawing; the face's middle is at (0, 0).
_UNIT: Final = 3.3


@dataclass(frozen=True)
class Person:
    """What makes somebody: colours, and distances in units of which a face is about 48 wide."""

    skin: Colour = (214, 168, 140)
    hair: Colour = (62, 46, 38)
    iris: Colour = (66, 52, 42)
    lips: Colour = (176, 98, 92)
    shirt: Colour = (72, 98, 128)
    width: float = 24.0
    eyes: float = 10.5
    brow: float = 1.3
    nose: float = 1.0
    mouth: float = 8.6
    long_hair: bool = False


@dataclass(frozen=True)
class Look:
    """What differs between pictures of one person."""

    light: float = 0.1
    smile: float = 1.4
    turn: float = 0.0
    background: Colour = (176, 190, 200)


ANN: Final = Person(hair=(92, 58, 36), lips=(186, 92, 92), shirt=(58, 112, 108), long_hair=True)
BEN: Final = Person(
    skin=(150, 104, 78),
    hair=(30, 26, 26),
    iris=(44, 32, 26),
    lips=(142, 80, 74),
    shirt=(164, 116, 60),
    width=25.5,
    eyes=11.0,
    brow=1.9,
    nose=1.35,
    mouth=9.6,
)
CARA: Final = Person(
    skin=(232, 194, 170),
    hair=(196, 150, 84),
    iris=(84, 112, 132),
    lips=(200, 112, 110),
    shirt=(120, 88, 138),
    width=22.6,
    eyes=10.0,
    brow=1.0,
    nose=0.85,
    mouth=7.8,
    long_hair=True,
)
PEOPLE: Final = {"Ann": ANN, "Ben": BEN, "Cara": CARA}
_FIRST: Final = Look(0.08, 1.3, 0.4, (178, 190, 198))
_SECOND: Final = Look(-0.12, 1.9, 1.0, (204, 192, 174))


def portraits() -> tuple[Pixels, Pixels]:
    """Two pictures of one drawn person, each uint8 (440, 360, 3) RGB."""
    return portrait(ANN, _FIRST), portrait(ANN, _SECOND)


def variants(person: Person) -> tuple[Pixels, Pixels]:
    """Two pictures of somebody, as `portraits`."""
    return portrait(person, _FIRST), portrait(person, _SECOND)


def group(*people: Person) -> Pixels:
    """Several people beside each other, in one picture."""
    looks = [replace(_SECOND, turn=0.6 * (-1) ** n) for n in range(len(people))]
    return np.concatenate(
        [portrait(one, look) for one, look in zip(people, looks, strict=True)], axis=1
    )


def portrait(person: Person, look: Look) -> Pixels:
    """One picture, uint8 (440, 360, 3) RGB."""
    brush = _Brush()
    _behind(brush, person, look)
    _head(brush, person, look)
    _features(brush, person, look)
    _fringe(brush, person, look)
    return brush.picture(look.light)


class _Brush:
    """Paints ellipses on a large canvas, in units around the face's middle."""

    def __init__(self) -> None:
        self._image = Image.new("RGB", (WIDE * _FINE, HIGH * _FINE))

    def fill(self, top: Colour, bottom: Colour) -> None:
        rows = np.linspace(0, 1, self._image.height)[:, None, None]
        colours = np.array(top) * (1 - rows) + np.array(bottom) * rows
        whole = np.broadcast_to(colours, (self._image.height, self._image.width, 3))
        self._image = Image.fromarray(np.rint(whole).astype(np.uint8))

    def on(
        self, x: float, y: float, wide: float, high: float, colour: Colour, soft: float = 0.0
    ) -> None:
        """An ellipse by its middle and half axes; soft: blurred by so many units."""
        scale = _UNIT * _FINE
        middle = self._image.width / 2 + x * scale, self._image.height * 0.48 + y * scale
        room = 3 * soft * scale + 2
        left, top = (
            math.floor(middle[0] - wide * scale - room),
            math.floor(middle[1] - high * scale - room),
        )
        size = math.ceil(2 * (wide * scale + room)), math.ceil(2 * (high * scale + room))
        box = (
            middle[0] - wide * scale - left,
            middle[1] - high * scale - top,
            middle[0] + wide * scale - left,
            middle[1] + high * scale - top,
        )
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).ellipse(box, fill=255)
        if soft:
            mask = mask.filter(ImageFilter.GaussianBlur(soft * scale))
        self._image.paste(colour, (left, top, left + size[0], top + size[1]), mask)

    def picture(self, light: float) -> Pixels:
        small = self._image.resize((WIDE, HIGH), Image.Resampling.LANCZOS)
        across = np.linspace(-1, 1, WIDE)[None, :, None]
        shade = 1 + light * across - 0.06 * across**2
        return np.clip(np.rint(np.asarray(small) * shade), 0, 255).astype(np.uint8)


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _darker(colour: Colour, share: float) -> Colour:
    return _mixed(colour, (30, 18, 14), share)


def _lighter(colour: Colour, share: float) -> Colour:
    return _mixed(colour, (255, 244, 236), share)


def _behind(brush: _Brush, person: Person, look: Look) -> None:
    brush.fill(_lighter(look.background, 0.25), _darker(look.background, 0.12))
    wide = person.width
    if person.long_hair:
        brush.on(0, 12, wide + 8, 44, _darker(person.hair, 0.15))
    brush.on(0, 78, 46, 34, person.shirt)
    brush.on(0, 44, 11.5, 18, _darker(person.skin, 0.22))
    brush.on(0, 50, 12, 7, _darker(person.skin, 0.10), 1.5)


def _head(brush: _Brush, person: Person, look: Look) -> None:
    wide = person.width
    brush.on(0, -8, wide + 4, 31, person.hair)
    for side in (-1, 1):
        brush.on(side * (wide + 0.5), 3, 3.2, 6, _darker(person.skin, 0.14))
    brush.on(0, 1, wide, 33, person.skin)
    brush.on(0, 12, wide * 0.78, 21, _lighter(person.skin, 0.06), 4)
    for side in (-1, 1):
        brush.on(side * 15 + look.turn, 11, 6, 5, _mixed(person.skin, person.lips, 0.25), 3)


def _features(brush: _Brush, person: Person, look: Look) -> None:
    turn, skin = look.turn, person.skin
    for side in (-1, 1):
        x = side * person.eyes + turn
        brush.on(x, -3.2, 6.6, 4.4, _darker(skin, 0.14), 1.2)
        brush.on(x, -3.0, 4.4, 2.3, (236, 230, 224))
        brush.on(x + 0.3 * turn, -3.0, 2.1, 2.2, person.iris)
        brush.on(x + 0.3 * turn, -3.0, 1.0, 1.0, (18, 14, 12))
        brush.on(x + 0.3 * turn + 0.6, -3.8, 0.45, 0.45, (250, 250, 250))
        brush.on(x, -5.2, 4.9, 0.8, _darker(person.hair, 0.35))
        for part in range(-4, 5):
            brush.on(
                x + 1.45 * part,
                -10.2 + 0.07 * part * part,
                1.5,
                person.brow,
                _darker(person.hair, 0.1),
            )
    brush.on(turn, 4, 2.0 * person.nose, 7, _lighter(skin, 0.16), 1.2)
    brush.on(turn, 9.6, 4.3 * person.nose, 2.3, _darker(skin, 0.08), 0.8)
    for side in (-1, 1):
        brush.on(side * 2.4 * person.nose + turn, 10.4, 1.3, 0.8, _darker(skin, 0.42), 0.2)
    steps = 24
    for part in range(-steps, steps + 1):
        across = part / steps
        bend = look.smile * 1.3 * across * across
        thick = 2.4 * (1 - across * across) + 0.5
        brush.on(turn + person.mouth * across, 20.4 - bend, 1.0, thick, person.lips)
    for part in range(-steps, steps + 1):
        across = part / steps
        bend = look.smile * 1.3 * across * across
        brush.on(
            turn + 0.92 * person.mouth * across, 20.2 - bend, 0.8, 0.42, _darker(person.lips, 0.45)
        )


def _fringe(brush: _Brush, person: Person, look: Look) -> None:
    wide = person.width
    brush.on(-0.4 * wide, -27, 0.75 * wide, 9.5, person.hair)
    brush.on(0.4 * wide, -28, 0.75 * wide, 8.5, person.hair)
    brush.on(-0.3 * wide + look.turn, -31, 0.5 * wide, 3, _lighter(person.hair, 0.16), 2)
    if person.long_hair:
        for side in (-1, 1):
            brush.on(side * (wide + 2.2), 10, 5.2, 34, person.hair, 0.4)
