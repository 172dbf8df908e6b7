"""Verification as LFW does it: ten folds, the threshold of each from the nine others."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.evaluation.scores import Array, Labels, roc

FOLDS: Final = 10
#: As in LFW: of one person and as many of different people, in every fold.
MAX_PAIRS: Final = 300
#: Below two people in every fold, folds cannot be made of whole people.
_MIN_PEOPLE: Final = 2 * FOLDS

Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class FoldAccuracy:
    """Mean accuracy over the folds with its standard error, and the mean threshold.

    pairs: of all folds, half of them of one person; by: "people" where no person is in two folds,
    "pairs" where there are too few people for that.
    """

    accuracy: float
    standard_error: float
    threshold: float
    pairs: int
    by: Literal["people", "pairs"]

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


def fold_accuracy(
    embeddings: Array, labels: Sequence[int] | Labels, seed: int = 0
) -> FoldAccuracy | None:
    """Ten-fold accuracy of same-or-different; pairs are drawn by the seed.

    None where there are fewer than ten pairs of one person or of different people.
    """
    people = np.asarray(labels, dtype=np.int64)
    folds, by = make_folds(people, seed)
    if not folds:
        return None
    scored = [tuple(_scores(embeddings, pairs) for pairs in fold) for fold in folds]
    accuracies, thresholds = [], []
    for k, (same, different) in enumerate(scored):
        others = scored[:k] + scored[k + 1 :]
        threshold = best_threshold(
            np.concatenate([s for s, _ in others]), np.concatenate([d for _, d in others])
        )
        right = np.count_nonzero(same >= threshold) + np.count_nonzero(different < threshold)
        accuracies.append(right / (len(same) + len(different)))
        thresholds.append(threshold)
    return FoldAccuracy(
        float(np.mean(accuracies)),
        float(np.std(accuracies, ddof=1) / np.sqrt(FOLDS)),
        float(np.mean(thresholds)),
        sum(len(same) + len(different) for same, different in folds),
        by,
    )


def make_folds(
    people: Labels, seed: int
) -> tuple[list[tuple[Pairs, Pairs]], Literal["people", "pairs"]]:
    """Ten times (pairs of one person, as many of different people), each (M, 2) indices.

    The same seed gives the same pairs. No folds where there are too few pairs.
    """
    draw = np.random.default_rng(seed)
    with_pair, counts = np.unique(people, return_counts=True)
    with_pair = with_pair[counts > 1]
    if len(with_pair) >= _MIN_PEOPLE:
        groups = np.array_split(draw.permutation(with_pair), FOLDS)
        drawn = [_pairs(np.flatnonzero(np.isin(people, group)), people, draw) for group in groups]
        size = min(MAX_PAIRS, *(min(map(len, pair)) for pair in drawn))
        return [(same[:size], different[:size]) for same, different in drawn], "people"
    same, different = _pairs(np.arange(len(people)), people, draw)
    size = min(MAX_PAIRS, len(same) // FOLDS, len(different) // FOLDS)
    if not size:
        return [], "pairs"
    cuts = [slice(k * size, (k + 1) * size) for k in range(FOLDS)]
    return [(same[cut], different[cut]) for cut in cuts], "pairs"


def best_threshold(same: Array, different: Array) -> float:
    """Accept from here on: the most right answers, the middle between the scores around it.

    Of several equally good places, the highest.
    """
    curve = roc(same, different)
    right = curve.tar * len(same) + (1 - curve.far) * len(different)
    best = int(np.argmax(np.round(right)))  # counts: rounding takes away what division left
    above = curve.thresholds[best]
    if best + 1 == len(curve.thresholds):
        return float(above)
    below = curve.thresholds[best + 1]
    if best == 0:  # nothing is accepted
        return float(np.nextafter(below, np.inf))
    middle = (above + below) / 2
    return float(middle if middle > below else above)


def _pairs(images: Labels, people: Labels, draw: np.random.Generator) -> tuple[Pairs, Pairs]:
    """All pairs of some images in random order: of one person, and of different people."""
    first, second = np.triu_indices(len(images), 1)
    pairs = np.stack([images[first], images[second]], axis=1)
    equal = people[pairs[:, 0]] == people[pairs[:, 1]]
    return draw.permutation(pairs[equal]), draw.permutation(pairs[~equal])


def _scores(embeddings: Array, pairs: Pairs) -> Array:
    return np.asarray(np.einsum("pe,pe->p", embeddings[pairs[:, 0]], embeddings[pairs[:, 1]]))
