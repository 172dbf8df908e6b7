"""The pictures that a network is balanced on, drawn from a seed: no photos are needed.

Every server makes the same ones, so that equal weights give equal plaintexts, bit for bit.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_SEED: Final = 0
_COUNT: Final = 16


def calibration_images(size: int) -> NDArray[np.uint8]:
    """The same 16 pictures always, uint8 (16, size, size, 3), as `images` makes them."""
    return images(np.random.default_rng(_SEED), _COUNT, size)


def images(generator: np.random.Generator, count: int, size: int) -> NDArray[np.uint8]:
    """Smooth random images with a natural (1/f) spectrum, uint8 (count, size, size, 3)."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None])
    falloff = 1 / np.maximum(frequency, 1 / size)[..., None] ** generator.uniform(
        1.0, 1.8, (count, 1, 1, 1)
    )
    noise = generator.normal(size=(count, size, size, 3)) + generator.normal(
        size=(count, size, size, 1)
    )
    smooth = np.fft.ifft2(np.fft.fft2(noise, axes=(1, 2)) * falloff, axes=(1, 2)).real
    smooth /= np.abs(smooth).max(axis=(1, 2, 3), keepdims=True)
    contrast = generator.uniform(40, 130, (count, 1, 1, 1))
    level = generator.uniform(80, 180, (count, 1, 1, 1))
    return np.clip(level + contrast * smooth, 0, 255).astype(np.uint8)
