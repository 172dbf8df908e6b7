"""How many healthy embeddings an hour a folder gives in which some faces diverge.

A model: measured seconds of a batch, and what `FaceClient.embed` does with it (`CONTRASTS`).
"""

from __future__ import annotations

from typing import Final

#: Of a folder's faces, those that diverge as they are: 1 of the 55 photographs of the official
#: example with the official weights. All of them are healthy with less contrast (docs/health.md).
DIVERGING: Final = 1 / 55


def batches_again(faces: int, diverging: float = DIVERGING) -> float:
    """The share of batches in which at least one face diverges: all of them are computed again."""
    return 1 - (1 - diverging) ** faces


def healthy_per_hour(seconds_per_face: float, faces: int, *, begins_softer: bool) -> float:
    """Healthy embeddings per hour in batches of so many faces.

    begins_softer: faces have less contrast from the first round on (`contrast=0.9`), so that there
    is no second one.
    """
    rounds = 1.0 if begins_softer else 1 + batches_again(faces)
    return 3600 / (seconds_per_face * rounds)
