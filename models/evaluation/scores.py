"""Scores of pairs of images, and the error rates that follow from them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

#: A rate is stated only where so many false accepts are to be expected at it.
MIN_FALSE_ACCEPTS: Final = 10


@dataclass(frozen=True)
class Distribution:
    """Of scores: how many, mean, standard deviation, ends."""

    pairs: int
    mean: float
    std: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, scores: Array) -> "Distribution":
        """Of at least one finite score, (N,); ValueError for others."""
        _check(scores, "scores")
        ends = float(scores.min()), float(scores.max())
        return cls(len(scores), float(scores.mean()), float(scores.std()), *ends)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers by name."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Roc:
    """Shares of pairs with score >= threshold, for every distinct score, highest first.

    thresholds (T,) start with infinity, where nothing is accepted; far: of different people's
    pairs, tar: of one person's pairs, (T,), both from 0 to 1; different: how many pairs of
    different people there are.
    """

    thresholds: Array
    far: Array
    tar: Array
    different: int

    @property
    def eer(self) -> float:
        """Where as many pairs are wrongly accepted as wrongly refused, as a share in 0..1.

        Between two thresholds the rates are joined by straight lines. Equal scores are accepted
        or refused together.
        """
        return equal_errors(self.far, self.tar)

    def tar_at(self, far: float) -> float | None:
        """The largest share of right accepts with at most so many false ones, not interpolated.

        None where there are too few pairs of different people to state it: ten false accepts
        have to be possible, that is 10 / far pairs.
        """
        if self.different * far < MIN_FALSE_ACCEPTS * (1 - 1e-12):
            return None
        return float(self.tar[self.far <= far * (1 + 1e-12)].max())


def equal_errors(far: Array, tar: Array) -> float:
    """Where two rates (T,), each rising from 0 to 1, make as many errors of either kind."""
    above = far - (1 - tar)  # from -1 to 1, and it never falls
    after = int(np.argmax(above >= 0))
    low, high = above[after - 1], above[after]
    part = -low / (high - low)
    return float(far[after - 1] + part * (far[after] - far[after - 1]))


def at_threshold(same: Array, different: Array, threshold: float) -> dict[str, float]:
    """The threshold with TAR and FAR, accepting from it on, by name."""
    tar, far = float(np.mean(same >= threshold)), float(np.mean(different >= threshold))
    return {"threshold": threshold, "tar": tar, "far": far}


def pair_scores(embeddings: Array, labels: Sequence[int] | Labels) -> tuple[Array, Array]:
    """Inner products of all pairs of images: of one person, and of different people.

    embeddings: (N, E), normalised as the mode has it; labels: (N,). Each unordered pair counts
    once. ValueError: lengths that do not fit, or non-finite embeddings.
    """
    people = np.asarray(labels, dtype=np.int64)
    if embeddings.ndim != 2 or people.shape != embeddings.shape[:1]:
        raise ValueError(f"embeddings {embeddings.shape} with labels {people.shape}")
    if not np.isfinite(embeddings).all():
        raise ValueError("embeddings: NaN or infinite values; leave refused images out before")
    first, second = np.triu_indices(len(people), 1)
    scores = (embeddings @ embeddings.T)[first, second]
    equal = people[first] == people[second]
    return scores[equal], scores[~equal]


def roc(same: Array, different: Array) -> Roc:
    """The curve of the scores of one person's pairs, (S,), and of different people's, (D,).

    ValueError where one of them is empty or not finite.
    """
    _check(same, "same")
    _check(different, "different")
    scores = np.concatenate([same, different])
    genuine = np.concatenate([np.ones(len(same), np.int64), np.zeros(len(different), np.int64)])
    order = np.argsort(-scores, kind="stable")
    scores, genuine = scores[order], genuine[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)  # of each distinct score
    right = np.cumsum(genuine)[last]
    accepted = last + 1
    return Roc(
        np.concatenate([[np.inf], scores[last]]),
        np.concatenate([[0.0], (accepted - right) / len(different)]),
        np.concatenate([[0.0], right / len(same)]),
        len(different),
    )


def _check(scores: Array, name: str) -> None:
    if scores.ndim != 1 or not scores.size or not np.isfinite(scores).all():
        raise ValueError(f"{name}: {scores.shape}; it must be at least one finite score")
