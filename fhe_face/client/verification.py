"""One person or two: two embeddings, thresholds, and the answer in words."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fhe_core.files import shown
from fhe_face.client.decryption import Embedding
from fhe_face.client.embedding import Embedder
from fhe_face.client.health import HealthReport, UnhealthyResultError
from fhe_face.models.thresholds import MeasuredSet, OperatingPoint, Thresholds, Verdict
from fhe_face.photos.preparation import PreparedFace, prepare

if TYPE_CHECKING:
    from fhe_face.client.client import FaceClient

#: What people are told.
SAID = {
    Verdict.SAME: "same person",
    Verdict.DIFFERENT: "different people",
    Verdict.NOT_SURE: "not sure",
}
#: Shares from here on are told as a percentage.
_LARGE_SHARE = 0.1


@dataclass(frozen=True)
class Verification:
    """The answer for two photos.

    cosine: of both embeddings, in [-1, 1]; threshold: the cosine from which faces are the same,
    the strict one of ``thresholds``; health: of both results, which have passed.
    """

    verdict: Verdict
    cosine: float
    threshold: float
    thresholds: Thresholds
    health: tuple[HealthReport, HealthReport]

    def __repr__(self) -> str:
        return f"<Verification: {self}>"

    def __str__(self) -> str:
        return sentence(self.cosine, self.thresholds)


def cosine_of(left: Embedding, right: Embedding) -> float:
    """Of two embeddings, in [-1, 1]: independent of what normalisation left of their lengths."""
    lengths = float(np.linalg.norm(left.values) * np.linalg.norm(right.values))
    return float(np.clip(left.values @ right.values / lengths, -1.0, 1.0))


def compare(
    left: Embedding | HealthReport,
    right: Embedding | HealthReport,
    thresholds: Thresholds,
    names: tuple[str, str] = ("first face", "second face"),
) -> Verification:
    """What thresholds say about two faces that were embedded.

    names: of the photos, for the reason why there is no answer.

    Raises:
        UnhealthyResultError: a face was refused, or both; the text names the photo.
    """
    if isinstance(left, Embedding) and isinstance(right, Embedding):
        cosine = cosine_of(left, right)
        verdict = thresholds.verdict(cosine)
        both = (left.health, right.health)
        return Verification(verdict, cosine, thresholds.same_from, thresholds, both)
    refused = [
        (name, result)
        for name, result in zip(names, (left, right), strict=True)
        if isinstance(result, HealthReport)
    ]
    failures = [f"{name}: {result.message}" for name, result in refused]
    raise UnhealthyResultError(replace(refused[0][1], failures=tuple(failures)))


def verify_photos(
    client: FaceClient,
    a: Any,
    b: Any,
    server: Embedder,
    thresholds: Thresholds,
    twice: bool = False,
) -> Verification:
    """See `FaceClient.verify`."""
    size = client.engine.architecture.input_size
    names = _called(a, "first face"), _called(b, "second face")
    faces = [_face(one, size, name) for one, name in zip((a, b), names, strict=True)]
    left, right = client.embed(faces, server, twice=twice).results
    return compare(left, right, thresholds, names)


def _face(photo: Any, size: int, name: str) -> PreparedFace:
    """A photo's face; what has to be said about it is a Python warning."""
    if isinstance(photo, PreparedFace):
        return photo
    face = prepare(photo, size)
    for said in face.warnings:
        warnings.warn(f"{name}: {said}", stacklevel=4)  # of who called FaceClient.verify
    return face


def _called(photo: Any, otherwise: str) -> str:
    """The name of a photo in messages."""
    return shown(photo) if isinstance(photo, str | os.PathLike) else otherwise


def sentence(cosine: float, thresholds: Thresholds) -> str:
    """The verdict, the cosine, the threshold, and what the threshold means, in one line."""
    verdict = thresholds.verdict(cosine)
    same, different = thresholds.same_from, thresholds.different_below
    start = f"{SAID[verdict]}: cosine {cosine:.3f}"
    if verdict is Verdict.SAME:
        return f"{start}, threshold {same:.3f}, at which {passing(thresholds)}"
    if verdict is Verdict.DIFFERENT:
        return f"{start}, threshold {different:.3f}, below which {failing(thresholds)}"
    return (
        f"{start}, between the thresholds {different:.3f} (different below) and {same:.3f} "
        f"(same from there on; {passing(thresholds)})"
    )


def told(cosine: float, thresholds: Thresholds) -> dict[str, Any]:
    """The same, for JSON."""
    return {
        "verdict": thresholds.verdict(cosine).value,
        "threshold": thresholds.same_from,
        "different_below": thresholds.different_below,
        "meaning": sentence(cosine, thresholds),
    }


def passing(thresholds: Thresholds) -> str:
    """What the strict threshold does: how many strangers pass, and on which set."""
    measured, point = next(_points_at(thresholds, thresholds.same_from))
    if not point.far:
        return f"none of {measured.different_pairs:,} pairs of strangers passes on {measured.name}"
    return f"{_share(point.far, 'stranger', 'strangers')} passes on {measured.name}"


def failing(thresholds: Thresholds) -> str:
    """What the lenient threshold does: how many pairs of one person miss it, and on which set."""
    measured, point = next(_points_at(thresholds, thresholds.different_below))
    if point.tar == 1:
        return f"none of {measured.same_pairs:,} pairs of one person falls on {measured.name}"
    missed = _share(1 - point.tar, "pair of one person", "the pairs of one person")
    return f"{missed} falls on {measured.name}"


def _points_at(
    thresholds: Thresholds, cosine: float
) -> Iterator[tuple[MeasuredSet, OperatingPoint]]:
    for measured in thresholds.sets:
        for point in measured.points.values():
            if point.cosine == cosine:
                yield measured, point


def _share(share: float, one: str, many: str) -> str:
    return f"{share:.0%} of {many}" if share >= _LARGE_SHARE else f"1 {one} in {round(1 / share):,}"
