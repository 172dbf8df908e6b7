"""How well embeddings tell people apart. numpy and scipy only.

The headline is the gallery-probe rank-1: some images of a person are enrolled, the others are
looked up. Similarity of an image to a changed copy of itself says nothing about people; a model
can have 0.999 of that and recognise nobody (docs/evaluation.md).
"""

from fhe_face.models.evaluation.embedding import Embeddings, embed_crops, pixels_as_embeddings
from fhe_face.models.evaluation.identification import Identification, enrol, identify, split
from fhe_face.models.evaluation.lookup import Lookup, look_up
from fhe_face.models.evaluation.report import (
    Baseline,
    EvaluationError,
    Report,
    Verdict,
    evaluate,
    judge,
)
from fhe_face.models.evaluation.scores import Distribution, Roc, pair_scores, roc

__all__ = [
    "Baseline",
    "Distribution",
    "Embeddings",
    "EvaluationError",
    "Identification",
    "Lookup",
    "Report",
    "Roc",
    "Verdict",
    "embed_crops",
    "enrol",
    "evaluate",
    "identify",
    "judge",
    "look_up",
    "pair_scores",
    "pixels_as_embeddings",
    "roc",
    "split",
]
