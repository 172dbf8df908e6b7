"""Labelled faces out of InsightFace's .bin verification files (`models.training.pairs`)."""

import numpy as np

from fhe_face.models.training.pairs import Pairs, decoded, parse, read_pairs
from fhe_face.models.training.people import People

__all__ = ["Pairs", "parse", "people_of", "read_pairs"]


def people_of(pairs: Pairs, size: int = 64) -> People:
    """Crops and people of a verification set.

    The format names nobody: images joined by a chain of "same person" pairs (an image being
    known again by its bytes) are one person. Two groups may still show one person, which makes
    such a set poor training data. Images are aligned crops, scaled to `size`.
    TrainingError: an image that cannot be decoded.
    """
    numbers, encoded = pairs.distinct()
    places = numbers.tolist()
    parent = list(range(len(encoded)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    for number, same in enumerate(pairs.same):
        if same:
            parent[root(places[2 * number])] = root(places[2 * number + 1])
    groups = np.array([root(place) for place in range(len(encoded))])
    labels = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    crops = [decoded(image, number, size) for number, image in enumerate(encoded)]
    return People(np.stack(crops), labels)
