"""What a client does with embeddings that no server normalised: length and direction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler.layouts import powers_of_two

Slots = NDArray[np.float64]


def normalised(embeddings: Slots, length: int, period: int, block: int) -> tuple[Slots, Slots]:
    """Slots [N] of embeddings, each divided by the length of its own; and squared norms [N].

    length: of an embedding, in the first slots of every ``block``; period: it repeats after so
    many, zeros in between. A squared norm is that of a period from its slot on, so that it is the
    same wherever embeddings repeat. Both are what a server computes under encryption, but exact.
    """
    with np.errstate(all="ignore"):
        norms = embeddings**2
        for amount in powers_of_two(period):
            norms = norms + np.roll(norms, -amount)
        faces = embeddings.reshape(-1, block)
        lengths = np.sqrt(np.sum(faces[:, :length] ** 2, axis=1, keepdims=True))
        return (faces / lengths).ravel(), norms
