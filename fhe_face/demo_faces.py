"""Two face crops that the project draws itself, for the demo: nobody's photograph."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Shapes are placed on a square of this side.
SIZE: Final = 64
_FINE: Final = 4
Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Look:
    """What differs between the two pictures of the same drawn person."""

    light: float
    smile: float
    turn: float
    background: tuple[float, float, float]


def demo_faces(size: int = SIZE) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Two pictures of the same drawn person, each uint8 (size, size, 3) RGB, always the same.

    Light, expression and background differ. Eyes, nose and mouth are where the ArcFace template
    has them, so the crops count as aligned.
    """
    first = _Look(light=0.10, smile=0.4, turn=0.0, background=(118, 128, 138))
    second = _Look(light=-0.12, smile=1.2, turn=0.8, background=(128, 120, 108))
    return _draw(first, size), _draw(second, size)


def _draw(look: _Look, size: int) -> NDArray[np.uint8]:
    rows, columns = (np.indices((size * _FINE,) * 2) + 0.5) * (SIZE / (size * _FINE))
    x, y = columns - look.turn, rows
    canvas = np.empty((*x.shape, 3))
    canvas[:] = look.background
    canvas *= (1.05 - 0.1 * rows / SIZE)[..., None]
    paint = _Brush(canvas)
    paint.on(_ellipse(x, y, 32, 27, 30, 31), (58, 42, 34))
    paint.on(_ellipse(x, y, 32, 66, 12, 20), (178, 134, 110))
    paint.on(_ellipse(x, y, 32, 35, 24, 32), (204, 160, 134))
    paint.on(_ellipse(x, y, 30, 2, 24, 8), (62, 46, 38))
    for side in (-1.0, 1.0):
        eye = 32 + 10.5 * side
        paint.on(_ellipse(x, y, eye, 29.5, 6.5, 4.5), (182, 138, 114), 0.7)
        paint.on(_ellipse(x, y, eye, 29.8, 4.2, 2.1), (226, 218, 212))
        paint.on(_ellipse(x, y, eye, 29.8, 1.9, 1.9), (66, 48, 38))
        paint.on(_ellipse(x, y, eye, 27.6, 4.8, 0.7), (92, 64, 52))
        arch = 23.6 + 0.03 * (x - eye - side) ** 2
        paint.on(_ellipse(x, y - arch, eye, 0, 6.2, 1.1), (78, 56, 46))
        paint.on(_ellipse(x, y, 32 + 15 * side, 42, 6, 5), (208, 148, 128), 0.5)
        paint.on(_ellipse(x, y, 32 + 2.3 * side, 43.0, 1.4, 0.8), (138, 92, 76))
    paint.on(_ellipse(x, y, 32, 37, 2.0, 7), (216, 174, 148), 0.6)
    paint.on(_ellipse(x, y, 32, 42.2, 4.2, 2.2), (194, 146, 122), 0.8)
    bend = look.smile * 0.012 * (x - 32) ** 2
    paint.on(_ellipse(x, y + bend, 32, 53.2, 8.5, 2.6), (176, 98, 92))
    paint.on(_ellipse(x, y + bend, 32, 53.0, 7.6, 0.5), (118, 62, 58))
    shade = 1 + look.light * (x - 32) / 32 - 0.22 * ((x - 32) / 32) ** 2 - 0.06 * (y - 30) / 32
    soft = canvas * shade[..., None]
    small = soft.reshape(size, _FINE, size, _FINE, 3).mean(axis=(1, 3))
    return np.clip(np.rint(_blur(small)), 0, 255).astype(np.uint8)


class _Brush:
    """Paints soft-edged shapes on a canvas (H, W, 3)."""

    def __init__(self, canvas: Array) -> None:
        self.canvas = canvas

    def on(self, mask: Array, colour: tuple[float, float, float], opacity: float = 1.0) -> None:
        share = (opacity * mask)[..., None]
        self.canvas += share * (np.array(colour, dtype=np.float64) - self.canvas)


def _ellipse(x: Array, y: Array, cx: float, cy: float, rx: float, ry: float) -> Array:
    """1 inside, 0 outside, with an edge about a pixel wide."""
    radius = np.hypot((x - cx) / rx, (y - cy) / ry)
    return np.asarray(np.clip(0.5 + (1 - radius) * min(rx, ry), 0, 1))


def _blur(image: Array) -> Array:
    """A 3x3 binomial blur with the border repeated: (H, W, 3) to the same."""
    for axis in (0, 1):
        padded = np.pad(image, [(1, 1) if k == axis else (0, 0) for k in range(3)], mode="edge")
        before, here, after = (
            np.take(padded, range(k, k + image.shape[axis]), axis) for k in range(3)
        )
        image = (before + 2 * here + after) / 4
    return image
