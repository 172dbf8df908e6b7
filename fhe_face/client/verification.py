"""Are two faces of one person? The answer that thresholds of the network give to a cosine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fhe_face.client.decryption import Embedding
from fhe_face.client.embedding import Embedded
from fhe_face.client.health import HealthReport, UnhealthyResultError
from fhe_face.models.thresholds import Thresholds, Verdict


@dataclass(frozen=True)
class Verification:
    """What is said about two faces, and the cosine that it follows from, which stays here."""

    verdict: Verdict
    cosine: float


def verified(found: Embedded, thresholds: Thresholds) -> Verification:
    """The answer for the two faces that were embedded.

    Raises:
        UnhealthyResultError: one of them has no embedding; the text says which.
    """
    embeddings: list[Embedding] = []
    for name, result in zip(("first", "second"), found.results, strict=True):
        if isinstance(result, HealthReport):
            failures = tuple(f"{name} face: {failure}" for failure in result.failures)
            raise UnhealthyResultError(
                HealthReport(result.squared_norms, result.interval, failures, result.cause)
            )
        embeddings.append(result)
    one, other = (embedding.values for embedding in embeddings)
    cosine = float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
    return Verification(thresholds.verdict(cosine), cosine)
