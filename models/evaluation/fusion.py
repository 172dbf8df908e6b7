"""Two networks, one answer: scores as margins over each network's threshold, with weights.

A network that refuses a face says nothing about its pairs, and weighs nothing there. Margins, as
cosines of two networks have different middles: where one is missing, the other's scale would
otherwise be mixed with that of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.evaluation.lookup import Lookup
from fhe_face.models.evaluation.scores import Array, Labels

#: Below every margin.
_NOBODY: Final = -3.0


@dataclass(frozen=True, eq=False)
class Voice:
    """What one network says of pairs: cosines (...), NaN where it refused a face.

    threshold: from which cosine on it says "same"; weight: above 0.
    """

    scores: Array
    threshold: float
    weight: float

    def __post_init__(self) -> None:
        """ValueError: a weight that is no number above 0, or a threshold that is no number."""
        if not 0 < self.weight < np.inf or not np.isfinite(self.threshold):
            raise ValueError(f"weight {self.weight}, threshold {self.threshold}")

    @property
    def margins(self) -> Array:
        """How far beyond the threshold, negative below it."""
        return self.scores - self.threshold


def fused(voices: Sequence[Voice]) -> Array:
    """The weighted mean of the margins of all that say something; NaN where nobody does.

    ValueError: no voice, or scores of different shapes.
    """
    if not voices or len({voice.scores.shape for voice in voices}) != 1:
        raise ValueError("fusion takes the scores of the same pairs by one or more networks")
    margins = np.stack([voice.margins for voice in voices])
    weights = np.array([voice.weight for voice in voices])
    said = np.isfinite(margins)
    shares = weights.reshape(-1, *(1,) * (margins.ndim - 1)) * said
    total = shares.sum(axis=0)
    summed = (np.where(said, margins, 0.0) * shares).sum(axis=0)
    return np.where(total > 0, summed / np.where(total > 0, total, 1.0), np.nan)


def disagreement(voices: Sequence[Voice]) -> NDArray[np.bool_]:
    """Where one network says "same" and another "different"; never where one says nothing."""
    margins = np.stack([voice.margins for voice in voices])
    everybody = np.isfinite(margins).all(axis=0)
    with np.errstate(invalid="ignore"):
        verdicts = margins >= 0
    return np.asarray(everybody & (verdicts != verdicts[0]).any(axis=0))


def fused_lookup(voices: Sequence[Voice], probes: Labels, entries: Labels) -> Lookup:
    """Who probes are, by all networks together; probes that all of them refuse are left out.

    voices: (P, G); probes: (P,) whom they show, entries: (G,) whose they are. An entry of which no
    network says anything is similar to nobody.
    """
    scores = fused(voices)
    said = np.isfinite(scores).any(axis=1)
    kept = scores[said]
    return Lookup(np.where(np.isfinite(kept), kept, _NOBODY), probes[said], entries)


@dataclass(frozen=True, eq=False)
class Named:
    """Whom each of two or more networks names: people (N, P), of the probes (P,) `rows` that
    all of them have an opinion on."""

    people: Labels
    rows: NDArray[np.intp]

    @classmethod
    def by(cls, voices: Sequence[Voice], entries: Labels) -> "Named":
        """entries: (G,) whose they are."""
        scores = np.stack([voice.scores for voice in voices])
        rows = np.flatnonzero(np.isfinite(scores).any(axis=2).all(axis=0))
        return cls(entries[np.nanargmax(scores[:, rows], axis=2)], rows)

    @property
    def apart(self) -> NDArray[np.bool_]:
        """(P,): where they do not name one person."""
        return np.asarray((self.people != self.people[0]).any(axis=0))


@dataclass(frozen=True)
class Disagreements:
    """Pairs on which networks differ. right: of them, on how many each network was right."""

    pairs: int
    of: int
    right: tuple[int, ...]

    @classmethod
    def counted(cls, voices: Sequence[Voice], same: NDArray[np.bool_]) -> "Disagreements":
        """same: whether each pair shows one person."""
        apart = disagreement(voices)
        with np.errstate(invalid="ignore"):
            right = [int(np.count_nonzero(((v.margins >= 0) == same)[apart])) for v in voices]
        said = np.isfinite(np.stack([v.margins for v in voices])).all(axis=0)
        return cls(int(apart.sum()), int(said.sum()), tuple(right))

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return {"pairs": self.pairs, "of": self.of, "right": list(self.right)}
