"""How far an equal error rate can be trusted: intervals by drawing people again.

Pairs are not independent: all pairs of a person stand or fall with that person. So people are
drawn with replacement, and a pair counts as often as both of its people were drawn (Bolle et al.,
"The relation between the ROC curve and the CMC" and "Error analysis of pattern recognition
systems: the subsets bootstrap", 2004; here with people as the subsets).
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from fhe_face.models.evaluation.scores import Array, Labels, equal_errors

REPLICATES: Final = 300
#: With fewer people an interval is a hint: they hardly differ between the draws.
FEW_PEOPLE: Final = 20
_SHARE: Final = 0.95
#: More pairs of different people are thinned out: people, not pairs, make the interval wide.
_MOST_PAIRS: Final = 200_000


@dataclass(frozen=True)
class Interval:
    """95 % of the draws gave an equal error rate between low and high, shares in 0..1."""

    low: float
    high: float
    people: int

    def to_json(self) -> dict[str, Any]:
        """Plain numbers by name; few_people: it is a hint only."""
        return {**asdict(self), "few_people": self.people < FEW_PEOPLE}


def eer_interval(
    same: Array, different: Array, same_people: Labels, different_people: Labels, seed: int = 0
) -> Interval:
    """same: scores (S,) of one person's pairs, of whom (S,); different: (D,), of whom (D, 2).

    The same seed gives the same interval. Draws in which no pair of either kind is left are
    drawn again.
    """
    random = np.random.default_rng(seed)
    if len(different) > _MOST_PAIRS:
        kept = np.sort(random.choice(len(different), _MOST_PAIRS, replace=False))
        different, different_people = different[kept], different_people[kept]
    people, where = np.unique(
        np.concatenate([same_people, different_people.reshape(-1)]), return_inverse=True
    )
    first = np.concatenate([where[: len(same)], where[len(same) :: 2]])
    second = np.concatenate([where[: len(same)], where[len(same) + 1 :: 2]])
    genuine = np.arange(len(first)) < len(same)
    scores = np.concatenate([same, different])
    order = np.argsort(-scores, kind="stable")
    first, second, genuine = first[order], second[order], genuine[order]
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found: list[float] = []
    while len(found) < REPLICATES:
        drawn = np.bincount(random.integers(len(people), size=len(people)), minlength=len(people))
        weights = drawn.astype(np.float64)
        own = np.where(genuine, weights[first], 0.0)
        other = np.where(genuine, 0.0, weights[first] * weights[second])
        if own.any() and other.any():
            found.append(_eer(np.cumsum(own)[last], np.cumsum(other)[last]))
        elif len(people) < 2:
            break
    edge = 100 * (1 - _SHARE) / 2
    low, high = np.percentile(found, [edge, 100 - edge]) if found else (0.0, 1.0)
    return Interval(float(low), float(high), len(people))


def pair_people(labels: Labels) -> tuple[Labels, Labels]:
    """The people of all pairs in the order of `scores.pair_scores`: (S,), and (D, 2)."""
    first, second = np.triu_indices(len(labels), 1)
    equal = labels[first] == labels[second]
    others = np.stack([labels[first[~equal]], labels[second[~equal]]], axis=1)
    return labels[first[equal]], others


def _eer(right: Array, wrong: Array) -> float:
    """Of cumulated weights at every distinct score."""
    tar = np.concatenate([[0.0], right / right[-1]])
    far = np.concatenate([[0.0], wrong / wrong[-1]])
    return equal_errors(far, tar)
