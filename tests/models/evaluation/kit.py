"""Embeddings of made-up people."""

import numpy as np
from numpy.typing import NDArray


def clusters(
    people: int, images: int, noise: float, seed: int = 0
) -> tuple[NDArray[np.float64], list[int]]:
    """Unit embeddings around one centre a person, and labels."""
    draw = np.random.default_rng(seed)
    centres = np.repeat(draw.normal(size=(people, 32)), images, axis=0)
    found = centres + noise * draw.normal(size=centres.shape)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found, [k // images for k in range(people * images)]
