"""Thresholds of a gallery from its own pairs, never from probes.

The rule is that of weights (fhe_face.models.thresholds): a match from the strictest of the
thresholds for equal errors, FAR 1 % and FAR 0.1 % on; unknown below the more lenient of those for
equal errors and FRR 1 %. Where pairs are too few to state FAR 1 %, nobody of other people that was
seen may pass instead; where they are too few for FRR 1 %, no pair of one person may fall. Where
that leaves a gap between the two, its middle third is uncertain: nothing was seen there. Photos
that look more like somebody else are no part of what was seen: one wrong label would decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_face.gallery.decisions import Decision, fitted_temperature
from fhe_face.gallery.errors import CalibrationError
from fhe_face.gallery.facts import Mode
from fhe_face.models.evaluation.scores import roc
from fhe_face.models.evaluation.thresholds import CosineThresholds
from fhe_face.models.templates import Array, centred, mean_template, unit
from fhe_face.models.thresholds import MeasuredSet, Thresholds

#: People from which on scores are centred, unless the caller says otherwise.
CENTRE_FROM: Final = 10
#: Fewer pairs say nothing about thresholds.
MIN_SAME: Final = 10
MIN_DIFFERENT: Final = 100
#: People, photos of each, and photos beyond these are not compared: pairs grow with their square.
MAX_PEOPLE: Final = 500
MAX_PHOTOS: Final = 50
MAX_COMPARED: Final = 4000
#: Photos to look at that are told.
MAX_SUSPECTS: Final = 20
_SET: Final = "this gallery"


@dataclass(frozen=True)
class Suspect:
    """A photo that is more like somebody else than like its person: a wrong label, or a bad photo.

    own, other: the scores with its subject's other photos, and with the likelier subject.
    """

    template: str
    subject: str
    likelier: str
    own: float
    other: float


@dataclass(frozen=True, eq=False)
class Calibrated:
    """What a gallery decides by from now on, and what was measured.

    suspects: photos to look at, worst first: one wrong label spoils thresholds.
    centre: (F,), None where there are too few people; eer_before: of raw scores, eer_after: as
    the gallery scores now, both shares; people: that were compared.
    """

    decision: Decision
    centre: Array | None
    eer_before: float
    eer_after: float
    people: int
    same_pairs: int
    different_pairs: int
    measured: MeasuredSet
    suspects: tuple[Suspect, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values by name, without the centre."""
        named = ("eer_before", "eer_after", "people", "same_pairs", "different_pairs")
        return {
            **{name: getattr(self, name) for name in named},
            "centred": self.centre is not None,
            "decision": asdict(self.decision),
            "measured": self.measured.to_json(),
            "suspects": [asdict(one) for one in self.suspects],
        }

    def summary(self) -> str:
        """One line for people."""
        how = "centred" if self.centre is not None else "not centred"
        return (
            f"equal error rate {self.eer_before:.2%} before, {self.eer_after:.2%} now ({how}), "
            f"from {self.same_pairs} pairs of one person and {self.different_pairs} of different "
            f"ones; match from {self.decision.same_from:.3f}, unknown below "
            f"{self.decision.different_below:.3f}"
        )


@dataclass(frozen=True, eq=False)
class Pairs:
    """Scores of one person's pairs (s,), and of different people's (d,).

    probes: (p, people) scores of every probe with every person, own: (p,) the right one;
    photos: (p,) which of that person's photos it is.
    """

    same: Array
    different: Array
    probes: Array
    own: NDArray[np.intp]
    photos: NDArray[np.intp]

    def others(self) -> Array:
        """The scores (p, people) with everybody else."""
        scores = np.array(self.probes)
        scores[np.arange(len(self.own)), self.own] = -np.inf
        return scores

    def right(self) -> Array:
        """The scores (p,) with the own person."""
        return self.probes[np.arange(len(self.own)), self.own]


@dataclass(frozen=True, eq=False)
class Person:
    """A subject's templates: their ids, and weighed embeddings (k, F)."""

    subject: str
    templates: tuple[str, ...]
    embeddings: Array


@dataclass
class Sample:
    """People whose pairs are compared, chosen while all go by; the gallery's mean is of all.

    Those with several photos come first, then by their ids, which are as good as random.
    """

    people: int = 0
    _sum: Array | None = None
    _kept: dict[tuple[bool, str], Person] = field(default_factory=dict)

    def add(self, subject: str, templates: Sequence[str], embeddings: Array) -> None:
        """A person's weighed embeddings (k, F), with the ids of the templates."""
        self.people += 1
        mean = mean_template(embeddings)
        self._sum = mean if self._sum is None else self._sum + mean
        few = Person(subject, tuple(templates[:MAX_PHOTOS]), embeddings[:MAX_PHOTOS])
        self._kept[len(embeddings) < 2, subject] = few
        if len(self._kept) > 2 * MAX_PEOPLE:
            self._kept = dict(sorted(self._kept.items(), key=_place)[:MAX_PEOPLE])

    @property
    def chosen(self) -> list[Person]:
        """At most so many people, with not too many photos all together."""
        people = [own for _, own in sorted(self._kept.items(), key=_place)[:MAX_PEOPLE]]
        each = max(2, MAX_COMPARED // max(len(people), 1))
        return [Person(one.subject, one.templates[:each], one.embeddings[:each]) for one in people]

    @property
    def centre(self) -> Array:
        """The mean (F,) of all people's means: everybody counts once."""
        if self._sum is None:
            raise CalibrationError("the gallery is empty: enrol people first")
        return self._sum / self.people


def _place(item: tuple[tuple[bool, str], Person]) -> tuple[bool, str]:
    return item[0]


def calibrate(
    sample: Sample, mode: Mode, date: str, version: str, centre_from: int = CENTRE_FROM
) -> Calibrated:
    """Thresholds, the centre and the temperature; centre_from: people from which on centred.

    Raises:
        CalibrationError: too few people or photos; the text says how many there are.
    """
    people = sample.chosen
    if not people:
        raise CalibrationError("the gallery is empty: enrol people first")
    chosen = [one.embeddings for one in people]
    before = pairs_of(chosen, mode, None)
    _require_enough(before, sample.people)
    centre = sample.centre if sample.people >= max(centre_from, 2) else None
    after = before if centre is None else pairs_of(chosen, mode, centre)
    points = CosineThresholds.of(after.same, after.different)
    counts = len(after.same), len(after.different)
    measured = points.named(_SET, len(chosen), *counts, date, version)
    suspects = suspects_of(people, after)
    seen = pairs_of(_without(people, suspects), mode, centre) if suspects else after
    first = decided(seen if len(seen.same) and len(seen.different) else after, measured)
    decision = replace(first, temperature=fitted_temperature(after.probes, after.own, first))
    before_eer, after_eer = (roc(pairs.same, pairs.different).eer for pairs in (before, after))
    told = suspects[:MAX_SUSPECTS]
    return Calibrated(decision, centre, before_eer, after_eer, len(chosen), *counts, measured, told)


def _without(people: Sequence[Person], suspects: Sequence[Suspect]) -> list[Array]:
    left_out = {one.template for one in suspects}
    kept = [
        one.embeddings[[template not in left_out for template in one.templates]] for one in people
    ]
    return [own for own in kept if len(own)]


def decided(pairs: Pairs, measured: MeasuredSet) -> Decision:
    """By the rule above; pairs: of what was seen."""
    thresholds = Thresholds((measured,))
    same_from, different_below = thresholds.same_from, thresholds.different_below
    lowest, highest = float(pairs.same.min()), float(pairs.different.max())
    if measured.far_1pct is None:
        same_from = max(same_from, float(np.nextafter(highest, np.inf)))
    if measured.frr_1pct is None:
        different_below = min(different_below, lowest)
    if lowest > highest and (measured.far_1pct is None or measured.frr_1pct is None):
        third = (lowest - highest) / 3
        different_below, same_from = highest + third, lowest - third
    return Decision(
        float(np.clip(same_from, -1.0, 1.0)),
        float(np.clip(different_below, -1.0, 1.0)),
        origin="calibration",
    )


def pairs_of(people: Sequence[Array], mode: Mode, centre: Array | None) -> Pairs:
    """Every photo against the templates as a probe would be.

    MEAN: against the mean of its person's other photos, and the means of others. EACH: against
    each photo, pairs once; a person's score is the best of its photos'.
    """
    return _by_mean(people, centre) if mode is Mode.MEAN else _by_each(people, centre)


def suspects_of(people: Sequence[Person], pairs: Pairs) -> tuple[Suspect, ...]:
    """The photos that somebody else is likelier for, worst first."""
    if not len(pairs.own):
        return ()
    own, others = pairs.right(), pairs.others()
    likelier = others.argmax(axis=1)
    behind = others.max(axis=1) - own
    found = []
    for row in np.argsort(-behind, kind="stable"):
        if behind[row] <= 0:
            break
        one = people[pairs.own[row]]
        found.append(
            Suspect(
                one.templates[pairs.photos[row]],
                one.subject,
                people[likelier[row]].subject,
                float(own[row]),
                float(others[row, likelier[row]]),
            )
        )
    return tuple(found)


def _by_mean(people: Sequence[Array], centre: Array | None) -> Pairs:
    means = np.stack([centred(mean_template(own), centre) for own in people])
    rows, owners = [], []
    for number, own in enumerate(people):
        if len(own) < 2:
            continue
        probes = centred(unit(own), centre)
        scores = probes @ means.T
        others = unit(own.sum(axis=0) - own)  # of each photo, the mean of the others
        scores[:, number] = np.sum(probes * centred(others, centre), axis=1)
        rows.append(scores)
        owners += [number] * len(own)
    return _collected(rows, owners, len(people))


def _by_each(people: Sequence[Array], centre: Array | None) -> Pairs:
    labels = np.repeat(np.arange(len(people)), [len(own) for own in people])
    templates = centred(unit(np.concatenate(list(people))), centre)
    scores = templates @ templates.T
    first, second = np.triu_indices(len(labels), 1)
    equal = labels[first] == labels[second]
    np.fill_diagonal(scores, -np.inf)
    best = np.stack([scores[:, labels == number].max(axis=1) for number in range(len(people))], 1)
    several = np.isfinite(best[np.arange(len(labels)), labels])
    flat = scores[first, second]
    photos = np.concatenate([np.arange(len(own)) for own in people])
    return Pairs(flat[equal], flat[~equal], best[several], labels[several], photos[several])


def _collected(rows: Sequence[Array], owners: Sequence[int], people: int) -> Pairs:
    scores = np.concatenate(rows) if rows else np.zeros((0, people))
    own = np.array(owners, dtype=np.intp)
    right = np.zeros(scores.shape, dtype=bool)
    right[np.arange(len(own)), own] = True
    photos = np.concatenate([np.arange(n) for n in np.bincount(own) if n] or [own])
    return Pairs(scores[right], scores[~right], scores, own, photos)


def _require_enough(pairs: Pairs, people: int) -> None:
    if len(pairs.same) < MIN_SAME or len(pairs.different) < MIN_DIFFERENT:
        raise CalibrationError(
            f"the gallery has {len(pairs.same)} pairs of one person and {len(pairs.different)} of "
            f"different people ({people} people); thresholds take at least {MIN_SAME} and "
            f"{MIN_DIFFERENT}: enrol more photos of each person, or more people"
        )
