"""Who is hard and which pictures are: results by person, and the pairs that went most wrong."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fhe_face.models.evaluation.embedding import unit
from fhe_face.models.evaluation.scores import Array, Labels


@dataclass(frozen=True)
class PersonResult:
    """One person among the others, by cosines of single images.

    same_mean, same_min: with their other images, None of a single image; nearest: whom an image
    of somebody else comes closest to, different_max: how close; taken_for: images that are
    closer to somebody else than to any other image of their own person.
    """

    person: str
    images: int
    same_mean: float | None
    same_min: float | None
    nearest: str | None
    different_max: float | None
    taken_for: int

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


@dataclass(frozen=True)
class Pair:
    """Two images by their places, and their cosine."""

    first: int
    second: int
    cosine: float


def by_person(embeddings: Array, labels: Labels, names: Sequence[str]) -> list[PersonResult]:
    """Results of everybody, hardest first: least similar to themselves.

    embeddings: (N, F), labels: (N,) places in `names`.
    """
    scores = _cosines(embeddings)
    np.fill_diagonal(scores, np.nan)
    found = []
    for person in np.unique(labels):
        own = labels == person
        same, other = scores[np.ix_(own, own)], scores[np.ix_(own, ~own)]
        several = own.sum() > 1
        best_own = np.nanmax(same, axis=1) if several else np.full(1, np.nan)
        _, column = np.unravel_index(np.argmax(other), other.shape) if other.size else (0, None)
        nearest = None if column is None else names[int(labels[~own][column])]
        found.append(
            PersonResult(
                names[int(person)],
                int(own.sum()),
                float(np.nanmean(same)) if several else None,
                float(np.nanmin(same)) if several else None,
                nearest,
                float(other.max()) if other.size else None,
                int(np.count_nonzero(other.max(axis=1) >= best_own)) if other.size else 0,
            )
        )
    return sorted(found, key=lambda one: (one.same_min is None, one.same_min or 0.0, one.person))


def worst_pairs(
    embeddings: Array, labels: Labels, count: int
) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    """Least similar pairs of one person, and most similar ones of different people, worst first.

    embeddings: (N, F), labels: (N,); at most `count` of each.
    """
    scores = _cosines(embeddings)
    first, second = np.triu_indices(len(labels), 1)
    cosines = scores[first, second]
    equal = labels[first] == labels[second]

    def chosen(places: Labels, order: Array) -> tuple[Pair, ...]:
        taken = places[np.argsort(order, kind="stable")[:count]]
        return tuple(Pair(int(first[k]), int(second[k]), float(cosines[k])) for k in taken)

    same, different = np.flatnonzero(equal), np.flatnonzero(~equal)
    return chosen(same, cosines[same]), chosen(different, -cosines[different])


def _cosines(embeddings: Array) -> Array:
    units = unit(embeddings)
    return np.asarray(units @ units.T)
