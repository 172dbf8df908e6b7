"""Everything that is measured on embeddings of people, and whether it amounts to recognition."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fhe_core.errors import Failure
from fhe_face.models.evaluation.embedding import unit
from fhe_face.models.evaluation.folds import FoldAccuracy, fold_accuracy
from fhe_face.models.evaluation.identification import SEEDS, Identification, identify
from fhe_face.models.evaluation.scores import Array, Distribution, Labels, Roc, pair_scores, roc
from fhe_face.models.evaluation.thresholds import CosineThresholds

#: The verdict is made with this confidence.
CONFIDENCE: Final = 0.999
#: So much of the way from chance to perfect must be made, at that confidence.
MIN_ADVANTAGE: Final = 0.1
#: The equal error rate must be below this share of what comparing pixels gets. A network that
#: nobody trained stays near 1: similar pictures have similar outputs whatever the weights.
MAX_PIXEL_SHARE: Final = 0.75


class EvaluationError(Failure, ValueError):
    """Images from which nothing can be measured; the text says what is missing."""

    code = "evaluation"


@dataclass(frozen=True)
class Verdict:
    """Whether a model recognises people, and the reason in one line.

    lower_bound: of the rank-1, at 99.9 % confidence; required: what it must exceed.
    """

    recognises: bool
    lower_bound: float
    required: float
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return {
            "recognises": self.recognises,
            "rank1_lower_bound": self.lower_bound,
            "rank1_required": self.required,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Baseline:
    """What comparing the pixels of the same crops gets: how easy the images are."""

    rank1: float
    eer: float

    @classmethod
    def of(
        cls, pixels: Array, labels: Labels, enrolled: NDArray[np.bool_] | None = None
    ) -> "Baseline":
        """pixels: (N, ...) from models.evaluation.embedding.pixels_as_embeddings."""
        found = identify(pixels, labels, enrolled=enrolled)
        return cls(found.rank1, roc(*pair_scores(pixels, labels)).eer)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers by name."""
        return {"gallery_probe_rank1": self.rank1, "eer": self.eer}


@dataclass(frozen=True, eq=False)
class Report:
    """What was measured on the images of several people; scores are inner products.

    identification: of the fixed split; rank1_seeds: of random splits with the seeds 0, 1, ...;
    folds: None where there are too few pairs; pixels: None where they were not given;
    same_cosines, different_cosines: of the same pairs; thresholds: measured on these.
    """

    people: int
    images: int
    same_scores: Array
    different_scores: Array
    curve: Roc
    identification: Identification
    rank1_seeds: tuple[float, ...]
    folds: FoldAccuracy | None
    pixels: Baseline | None
    verdict: Verdict
    same_cosines: Array
    different_cosines: Array
    thresholds: CosineThresholds

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, lists and objects by name."""
        same, different = Distribution.of(self.same_scores), Distribution.of(self.different_scores)
        return {
            "people": self.people,
            "images": self.images,
            "same_mean": same.mean,
            "different_mean": different.mean,
            "same": same.to_json(),
            "different": different.to_json(),
            "eer": self.curve.eer,
            "thresholds": self.thresholds.to_json(),
            "tar_at_far_1pct": self.curve.tar_at(0.01),
            "tar_at_far_01pct": self.curve.tar_at(0.001),
            "gallery_probe_rank1": self.identification.rank1,
            "gallery_probe": self.identification.to_json(),
            "gallery_probe_rank1_mean": float(np.mean(self.rank1_seeds)),
            "gallery_probe_rank1_std": float(np.std(self.rank1_seeds)),
            "gallery_probe_seeds": len(self.rank1_seeds),
            "ten_fold": None if self.folds is None else self.folds.to_json(),
            "pixels_alone": None if self.pixels is None else self.pixels.to_json(),
            "recognises": self.verdict.recognises,
            "verdict": self.verdict.to_json(),
        }


def evaluate(
    embeddings: Array,
    labels: Sequence[int] | Labels,
    pixels: Array | None = None,
    enrolled: NDArray[np.bool_] | None = None,
) -> Report:
    """Measure embeddings (N, E) of images whose people are (N,) numbers.

    Their inner products are the scores. The order within a person decides the fixed split
    (models.evaluation.identification). pixels: (N, ...) of the same images, from
    `pixels_as_embeddings`; the verdict then asks for more than they give. enrolled: (N,) which
    images are the gallery instead of that split. EvaluationError: fewer
    than two people, or no person with two images. ValueError: non-finite embeddings.
    """
    people = np.asarray(labels, dtype=np.int64)
    _, counts = np.unique(people, return_counts=True)
    if len(counts) < 2:
        raise EvaluationError(
            f"images of {len(counts)} people; it takes two to see whether they are told apart"
        )
    if counts.max() < 2:
        raise EvaluationError("every person has one image only; it takes two to recognise somebody")
    if enrolled is not None:
        _require_gallery(people, enrolled)
    same, different = pair_scores(embeddings, people)
    same_cosines, different_cosines = pair_scores(unit(embeddings), people)
    found = identify(embeddings, people, enrolled=enrolled)
    curve = roc(same, different)
    baseline = None if pixels is None else Baseline.of(pixels, people, enrolled)
    return Report(
        people=len(counts),
        images=len(people),
        same_scores=same,
        different_scores=different,
        curve=curve,
        identification=found,
        rank1_seeds=tuple(identify(embeddings, people, seed).rank1 for seed in range(SEEDS)),
        folds=fold_accuracy(embeddings, people),
        pixels=baseline,
        verdict=judge(found, curve.eer, baseline),
        same_cosines=same_cosines,
        different_cosines=different_cosines,
        thresholds=CosineThresholds.of(same_cosines, different_cosines),
    )


def _require_gallery(people: Labels, enrolled: NDArray[np.bool_]) -> None:
    if not np.isin(people[~enrolled], people[enrolled]).any():
        raise EvaluationError(
            "none of the probes' people is enrolled; folders of one person must have one name"
        )
    if len(np.unique(people[enrolled])) < 2:
        raise EvaluationError("one person is enrolled only: there is nobody to confuse with")


def judge(found: Identification, eer: float, pixels: Baseline | None = None) -> Verdict:
    """Whether gallery-probe results are recognition; similarity to a changed copy never counts.

    The rank-1 that the hits prove with 99.9 % confidence (Clopper and Pearson) must lie above
    chance by a tenth of what there is to gain, and where pixels are given, the equal error rate
    must be a quarter below theirs.
    """
    required = found.chance + MIN_ADVANTAGE * (1 - found.chance)
    lower = _lower_bound(found.hits, found.probes)

    def verdict(recognises: bool, reason: str) -> Verdict:
        scored = f"gallery-probe rank-1 {found.rank1:.3f} of {found.probes} probes, chance "
        return Verdict(recognises, lower, required, f"{reason}: {scored}{found.chance:.3f}")

    if lower <= required:
        if _lower_bound(found.probes, found.probes) <= required:
            return verdict(False, "too few images to tell")
        return verdict(False, "does not recognise people")
    if pixels is not None and eer >= MAX_PIXEL_SHARE * pixels.eer:
        return verdict(
            False,
            "does not recognise people, hardly better than comparing pixels (equal error rate "
            f"{eer:.3f}, of pixels {pixels.eer:.3f})",
        )
    return verdict(True, "recognises people")


def _lower_bound(hits: int, probes: int) -> float:
    if not hits:
        return 0.0
    from scipy import special  # takes longer to import than a gallery to open

    return float(special.betaincinv(hits, probes - hits + 1, 1 - CONFIDENCE))
