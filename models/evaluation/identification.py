"""Gallery and probes: who of the enrolled people is it?"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.evaluation.scores import Array, Labels

#: Random splits beside the fixed one.
SEEDS: Final = 10


@dataclass(frozen=True)
class Identification:
    """How many probes were recognised.

    hits of probes: the enrolled image with the highest score shows the probe's person, and no
    image of another person has the same score; chance: the share that guessing an enrolled image
    would get; gallery: enrolled images.
    """

    hits: int
    probes: int
    gallery: int
    chance: float

    @property
    def rank1(self) -> float:
        """Share of the probes that were recognised."""
        return self.hits / self.probes

    def to_json(self) -> dict[str, Any]:
        """Plain numbers by name."""
        return {**asdict(self), "rank1": self.rank1}


def enrol(
    labels: Sequence[int] | Labels, count: int | None, seed: int | None = None
) -> NDArray[np.bool_]:
    """Which images (N,) are enrolled: `count` of every person, None: half, rounded down.

    Without a seed the first in the given order, with one random ones. Of a person with no more
    images than that all are enrolled, and none is looked up; at least one always is.
    """
    people = np.asarray(labels, dtype=np.int64)
    draw = None if seed is None else np.random.default_rng(seed)
    chosen = np.zeros(len(people), dtype=bool)
    for person in np.unique(people):
        own = np.flatnonzero(people == person)
        if draw is not None:
            own = draw.permutation(own)
        wanted = len(own) // 2 if count is None else count
        chosen[own[: max(1, wanted)]] = True
    return chosen


def split(labels: Sequence[int] | Labels, seed: int | None = None) -> tuple[Labels, Labels]:
    """Indices of gallery and probes: of every person half the images, rounded down, are enrolled.

    Without a seed these are the first ones in the given order (of a folder: sorted by name); with
    one, random ones. A person with a single image is enrolled and never looked up.
    """
    chosen = enrol(labels, None, seed)
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def identify(
    embeddings: Array,
    labels: Sequence[int] | Labels,
    seed: int | None = None,
    enrolled: NDArray[np.bool_] | None = None,
) -> Identification:
    """Look every probe up in the gallery of `split`; score: inner product with (N, E) embeddings.

    enrolled: (N,) which images the gallery is instead; probes of others are left out.
    ValueError: one person only, or no person with two images.
    """
    people = np.asarray(labels, dtype=np.int64)
    if enrolled is None:
        gallery, probes = split(people, seed)
    else:
        gallery = np.flatnonzero(enrolled)
        probes = np.flatnonzero(~enrolled & np.isin(people, people[gallery]))
    if not len(probes):
        raise ValueError("no person has two images: there is nothing to look up")
    right = people[probes][:, None] == people[gallery][None]
    if right.all():
        raise ValueError("one person only: there is nobody to confuse with")
    scores = embeddings[probes] @ embeddings[gallery].T
    own = np.where(right, scores, -np.inf).max(axis=1)
    other = np.where(right, -np.inf, scores).max(axis=1)
    hits = int(np.count_nonzero(own > other))
    return Identification(hits, len(probes), len(gallery), float(right.mean()))
