"""What ``fhe-face evaluate`` measures beyond the report: enrolled people, small probes, people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_face.commands.evaluate_request import Request
from fhe_face.failures import USAGE, CommandError
from fhe_face.models.evaluation.bootstrap import eer_interval, pair_people
from fhe_face.models.evaluation.details import by_person, worst_pairs
from fhe_face.models.evaluation.embedding import unit
from fhe_face.models.evaluation.identification import SEEDS, enrol
from fhe_face.models.evaluation.lookup import Lookup, Method, look_up
from fhe_face.models.evaluation.report import EvaluationError, Report
from fhe_face.models.evaluation.resolution import reduced
from fhe_face.models.evaluation.scores import Array, at_threshold
from fhe_face.models.quality import photo_weights
from fhe_face.photos.people import Faces

#: Pairs of either kind that are listed, and drawn by --worst.
WORST = 12
Rows = NDArray[np.bool_]
#: Crops (N, S, S, 3) to embeddings (N, F) and which of them are healthy (N,).
Embed = Callable[[NDArray[np.uint8]], tuple[Array, Rows]]


@dataclass(frozen=True, eq=False)
class Study:
    """Who is enrolled, and what is asked about it.

    enrolled: (N,) of the faces; the same photos before refusals, whatever a network refuses.
    """

    request: Request
    faces: Faces
    enrolled: Rows
    weights: Array | None

    @classmethod
    def of(cls, request: Request, faces: Faces, gallery: Rows | None) -> Study:
        """gallery: (N,) the faces of --gallery; None: each person's first photos are enrolled.

        Raises:
            EvaluationError, CommandError: nobody is left to look up.
        """
        enrolled = enrol(faces.labels, request.count) if gallery is None else gallery
        if not (~enrolled).any():
            if request.count is None:
                raise EvaluationError("every person has one image only, so nobody is looked up")
            raise CommandError(
                f"--templates {request.count}: nobody has more photos, so nobody is looked up",
                USAGE,
            )
        weights = photo_weights(faces.crops) if request.quality else None
        return cls(request, faces, enrolled, weights)

    @property
    def told(self) -> str:
        """The protocol, for people."""
        weighed = ", weighed by their sharpness" if self.weights is not None else ""
        if self.request.gallery is not None:
            return f"all photos of the gallery folder are enrolled{weighed}; the others are probes"
        count = self.request.count
        how = "the first half" if count is None else f"the first {count}"
        return f"{how} of each person's photos by name are enrolled{weighed}; the rest are probes"

    def lookups(self, embeddings: Array, healthy: Rows) -> dict[Method, Lookup]:
        """By each method asked for. embeddings: (M, F) of the healthy of the faces (N,)."""
        return self._by_method(embeddings, healthy, self.enrolled)

    def measured(self, embeddings: Array, healthy: Rows) -> dict[str, Any]:
        """`lookups` as JSON; with random splits, where a folder was split."""
        found: dict[str, Any] = {
            method: lookup.to_json((self.request.top,), self.request.threshold)
            for method, lookup in self.lookups(embeddings, healthy).items()
        }
        if self.request.gallery is None and self.request.templates is not None:
            splits = [
                self._by_method(
                    embeddings, healthy, enrol(self.faces.labels, self.request.count, seed)
                )
                for seed in range(SEEDS)
            ]
            for method in self.request.methods:
                rates = [split[method].curve.eer for split in splits]
                found[method]["eer_splits_mean"] = float(np.mean(rates))
                found[method]["eer_splits_std"] = float(np.std(rates))
        return found

    def probe_sizes(self, embeddings: Array, healthy: Rows, embed: Embed) -> list[dict[str, Any]]:
        """The probes with fewer and fewer pixels, against the enrolled at full size."""
        full = self.faces.crops.shape[1]
        gallery = (self.enrolled & healthy)[healthy]
        rows = [self._row(full, self.lookups(embeddings, healthy), 0)]
        labels = self.faces.labels
        for size in self.request.sizes:
            if size >= full:
                continue
            small, fine = embed(reduced(self.faces.crops[~self.enrolled], size))
            people = labels[~self.enrolled][fine]
            refused = int(np.count_nonzero(~fine))
            try:
                found = {
                    method: look_up(
                        *(embeddings[gallery], labels[healthy][gallery], small[fine], people),
                        *(method, self._weights(self.enrolled & healthy)),
                    )
                    for method in self.request.methods
                }
                rows.append(self._row(size, found, refused))
            except ValueError:
                rows.append(
                    {"size": size, "refused": refused, **dict.fromkeys(self.request.methods)}
                )
        return rows

    def _row(self, size: int, found: dict[Method, Lookup], refused: int) -> dict[str, Any]:
        request = self.request
        shown: dict[str, Any] = {
            m: one.to_json((request.top,), request.threshold) for m, one in found.items()
        }
        return {"size": size, "refused": refused, **shown}

    def _by_method(self, embeddings: Array, healthy: Rows, enrolled: Rows) -> dict[Method, Lookup]:
        gallery, labels = enrolled[healthy], self.faces.labels[healthy]
        if not gallery.any() or gallery.all():
            raise EvaluationError("the health check refused all enrolled faces, or all probes")
        sides = embeddings[gallery], labels[gallery], embeddings[~gallery], labels[~gallery]
        weights = self._weights(enrolled & healthy)
        found = {method: look_up(*sides, method, weights) for method in self.request.methods}
        if any(not one.right.any() or one.right.all() for one in found.values()):
            raise EvaluationError(
                "the health check left no probe of somebody enrolled, or one person only"
            )
        return found

    def _weights(self, chosen: Rows) -> Array | None:
        return None if self.weights is None else self.weights[chosen]


def details(
    report: Report, embeddings: Array, labels: NDArray[np.int64], names: Sequence[str],
    photos: Sequence[str], threshold: float | None,
) -> dict[str, Any]:  # fmt: skip
    """Of all pairs of one mode: intervals, a threshold that was asked for, people, worst pairs.

    embeddings: (M, F) of the photos (M,), labels: (M,) places in `names`.
    """
    units = unit(embeddings)
    interval = eer_interval(report.same_scores, report.different_scores, *pair_people(labels))
    same, different = worst_pairs(units, labels, WORST)
    facts: dict[str, Any] = {
        "eer_interval": interval.to_json(),
        "per_person": [one.to_json() for one in by_person(units, labels, names)],
        "worst": {
            kind: [
                {"images": [photos[p.first], photos[p.second]], "cosine": p.cosine} for p in pairs
            ]
            for kind, pairs in (("same", same), ("different", different))
        },
    }
    if threshold is not None:
        facts["at_threshold"] = at_threshold(
            report.same_cosines, report.different_cosines, threshold
        )
    return facts


def overlap(faces: Faces, gallery: Rows) -> dict[str, Any]:
    """Of a gallery's folder and the probes': people in both, and pictures in both."""
    names = np.array([photo.person for photo in faces.photos])
    enrolled, looked_up = set(names[gallery].tolist()), set(names[~gallery].tolist())
    pictures = [
        sorted((str(faces.photos[i].path), str(faces.photos[j].path)))
        for i, j in faces.alike
        if gallery[i] != gallery[j]
    ]
    return {
        "people": sorted(enrolled & looked_up),
        "only_enrolled": sorted(enrolled - looked_up),
        "only_probes": sorted(looked_up - enrolled),
        "pictures": pictures,
    }
