"""The modes of ``fhe-face evaluate``: what each measures on the same faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.commands.evaluate_study import Rows, Study, details
from fhe_face.models.evaluation.embedding import Embeddings, Mode, pixels_as_embeddings
from fhe_face.models.evaluation.report import EvaluationError, Report, evaluate
from fhe_face.models.evaluation.scores import Array
from fhe_face.output import Output
from fhe_face.photos.people import Faces

if TYPE_CHECKING:
    from fhe_face.commands.evaluate_encrypted import EncryptedRun


@dataclass(frozen=True, eq=False)
class Measured:
    """One mode: its report, the images that the health check refused, and facts of its own.

    embeddings: (M, F) of the healthy of the faces (N,).
    """

    report: Report
    refused: list[dict[str, Any]]
    extra: dict[str, Any]
    embeddings: Array
    healthy: Rows

    def studied(self, study: Study) -> Measured:
        """With what is measured beyond the report."""
        faces = study.faces
        labels = faces.labels[self.healthy]
        photos = [str(p) for p, fine in zip(faces.photos, self.healthy, strict=True) if fine]
        found = details(
            *(self.report, self.embeddings, labels, faces.names, photos),
            study.request.threshold,
        )
        found["lookup"] = study.measured(self.embeddings, self.healthy)
        return replace(self, extra={**self.extra, **found})

    def to_json(self) -> dict[str, Any]:
        """Numbers by name; `images` are those that were measured."""
        facts = self.report.to_json()
        facts["evaluated"] = facts.pop("images")
        return {
            **facts,
            "refused": len(self.refused),
            "refused_images": self.refused,
            **self.extra,
        }


def _refusals(
    faces: Faces, norms: Sequence[float | None], healthy: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    return [
        {"image": str(photo), "squared_norm": norm}
        for photo, norm, fine in zip(faces.photos, norms, healthy, strict=True)
        if not fine
    ]


def in_the_clear(
    faces: Faces,
    raw: Embeddings,
    mode: Mode,
    normalisation: FittedNormalisation,
    enrolled: Rows | None,
) -> Measured:
    healthy = raw.healthy(normalisation.interval)
    refused = _refusals(faces, raw.squared_norms.tolist(), healthy)
    embeddings = raw.normalised(mode, normalisation)[healthy]
    report = _report(embeddings, healthy, faces, refused, enrolled)
    return Measured(report, refused, {}, embeddings, healthy)


def under_encryption(
    faces: Faces,
    raw: Embeddings,
    normalisation: FittedNormalisation,
    run: EncryptedRun,
    output: Output,
    enrolled: Rows | None,
) -> Measured:
    outcomes = run.embed(faces.crops, output)
    healthy = np.array([outcome.values is not None for outcome in outcomes], dtype=bool)
    refused = _refusals(faces, [outcome.squared_norm for outcome in outcomes], healthy)
    for entry, reason in zip(refused, (o.reason for o in outcomes if o.reason), strict=True):
        entry["reason"] = reason
    values = [outcome.values for outcome in outcomes if outcome.values is not None]
    embeddings = np.stack(values) if values else np.zeros((0, raw.raw.shape[1]))
    wanted = raw.normalised("polynomial", normalisation)[healthy]
    report = _report(embeddings, healthy, faces, refused, enrolled)
    contrasts = np.array([outcome.contrast for outcome in outcomes])
    # The clear ones are of the faces as they are.
    alike = contrasts[healthy] == 1
    found, wanted = embeddings[alike], wanted[alike]
    cosines = np.sum(found * wanted, axis=1) / (
        np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    )
    errors = np.linalg.norm(found - wanted, axis=1) / np.linalg.norm(wanted, axis=1)
    expected = raw.healthy(normalisation.interval)
    same_decision = np.where(expected, healthy, ~healthy | (contrasts < 1))
    seconds = [outcome.seconds for outcome in outcomes]
    extra = {
        "embed_seconds_mean": float(np.mean(seconds)),
        "with_less_contrast": int(np.count_nonzero(healthy & (contrasts < 1))),
        "cosine_to_cleartext_min": float(cosines.min(initial=1)),
        "relative_l2_error_max": float(errors.max(initial=0)),
        "health_agrees_with_cleartext": int(np.count_nonzero(same_decision)),
    }
    return Measured(report, refused, extra, embeddings, healthy)


def _report(
    embeddings: NDArray[np.float64],
    healthy: NDArray[np.bool_],
    faces: Faces,
    refused: Sequence[dict[str, Any]],
    enrolled: Rows | None,
) -> Report:
    """Of the embeddings of the healthy faces."""
    try:
        return evaluate(
            embeddings,
            faces.labels[healthy],
            pixels_as_embeddings(faces.crops[healthy]),
            None if enrolled is None else enrolled[healthy],
        )
    except EvaluationError as error:
        lost = {
            "refused by the health check": len(refused),
            "without a face": len(faces.no_face),
            "unreadable": len(faces.unreadable),
        }
        named = ", ".join(f"{count} {what}" for what, count in lost.items() if count)
        raise EvaluationError(f"{error}" + (f" ({named})" if named else "")) from None


def norms_of(raw: Embeddings, normalisation: FittedNormalisation) -> dict[str, Any]:
    """Of the healthy images, before normalisation."""
    norms = raw.squared_norms[raw.healthy(normalisation.interval)]
    return {
        "minimum": float(norms.min()) if norms.size else None,
        "mean": float(norms.mean()) if norms.size else None,
        "maximum": float(norms.max()) if norms.size else None,
    }
