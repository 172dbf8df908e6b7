"""Probes against enrolled people: by single photos, by mean templates, and centred.

The pairs are (probe, entry): what a gallery meets, where `report` compares all images with all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fhe_face.models.evaluation.bootstrap import Interval, eer_interval
from fhe_face.models.evaluation.scores import Array, Labels, Roc, at_threshold, roc
from fhe_face.models.templates import centred, mean_templates, unit

Method = Literal["single", "template", "centred"]
METHODS: Final[tuple[Method, ...]] = ("single", "template", "centred")


@dataclass(frozen=True, eq=False)
class Lookup:
    """Scores (P, G) of P probes with G entries, and whom they show: probes (P,), entries (G,).

    An entry is a photo, or somebody's template. Probes of people who are not enrolled have no
    entry of their own: they count among the pairs of different people only.
    """

    scores: Array
    probes: Labels
    entries: Labels

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """(P, G): whether entry and probe show one person."""
        return np.asarray(self.probes[:, None] == self.entries[None])

    @property
    def same(self) -> Array:
        """Scores of the pairs of one person."""
        return self.scores[self.right]

    @property
    def different(self) -> Array:
        """Scores of the pairs of different people."""
        return self.scores[~self.right]

    @cached_property
    def curve(self) -> Roc:
        """ValueError where there is no pair of one person, or none of different people."""
        return roc(self.same, self.different)

    @cached_property
    def ranks(self) -> Labels:
        """Of each probe whose person is enrolled: 1 where nobody else scores as high, and so on.

        People are ranked, by the best of their entries; a tie counts against the probe.
        """
        people = np.unique(self.entries)
        best = np.stack([self.scores[:, self.entries == one].max(axis=1) for one in people], 1)
        place = np.searchsorted(people, self.probes)
        known = np.flatnonzero(np.isin(self.probes, people))
        own = best[known, place[known]]
        return np.asarray((best[known] >= own[:, None]).sum(axis=1), dtype=np.int64)

    def rank(self, k: int) -> float:
        """Share of the known probes whose person is among the first k."""
        return float(np.mean(self.ranks <= k))

    def at(self, threshold: float) -> dict[str, float]:
        """As `scores.at_threshold`."""
        return at_threshold(self.same, self.different, threshold)

    def interval(self, seed: int = 0) -> Interval:
        """Of the equal error rate, by drawing people again."""
        probe, _ = np.nonzero(self.right)
        other_probe, other_entry = np.nonzero(~self.right)
        return eer_interval(
            self.same,
            self.different,
            self.probes[probe],
            np.stack([self.probes[other_probe], self.entries[other_entry]], axis=1),
            seed,
        )

    def to_json(self, top: Sequence[int] = (), threshold: float | None = None) -> dict[str, Any]:
        """Plain values by name. top: further ranks; threshold: adds TAR and FAR there."""
        facts: dict[str, Any] = {
            "probes": len(self.ranks),
            "probes_of_strangers": len(self.probes) - len(self.ranks),
            "entries": len(self.entries),
            "enrolled": len(np.unique(self.entries)),
            "same_pairs": int(self.right.sum()),
            "different_pairs": int((~self.right).sum()),
            "eer": self.curve.eer,
            "eer_interval": self.interval().to_json(),
            "tar_at_far_1pct": self.curve.tar_at(0.01),
            "tar_at_far_01pct": self.curve.tar_at(0.001),
            "rank1": self.rank(1),
            "ranks": {str(k): self.rank(k) for k in top},
        }
        if threshold is not None:
            facts["at_threshold"] = self.at(threshold)
        return facts


def look_up(
    enrolled: Array,
    owners: Labels,
    probes: Array,
    people: Labels,
    method: Method,
    weights: Array | None = None,
) -> Lookup:
    """Cosines of probes (P, F) with what was enrolled, (G, F) of the people (G,) `owners`.

    single: with every photo; template: with everybody's mean of unit embeddings; centred: that,
    less the mean of all templates, the probes likewise. weights: (G,) of the photos in the means.
    Galleries do the same (fhe_face.gallery), with the centre of the moment of their calibration.

    ValueError (TemplateError): nobody is enrolled, or numbers are not finite.
    """
    photos, probes = unit(enrolled), unit(probes)
    if method == "single":
        return Lookup(probes @ photos.T, people, owners)
    entries, whose = mean_templates(photos, owners, weights)
    if method == "centred":
        centre = entries.mean(axis=0)
        entries, probes = centred(entries, centre), centred(probes, centre)
    return Lookup(probes @ entries.T, people, whose)
