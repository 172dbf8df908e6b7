"""Every face twice in one bundle: what the noise of an encryption decides differs between both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from fhe_core.normalisation import AnyNormalisation
from fhe_face.client.decryption import Embedding
from fhe_face.client.health import HealthReport, check_copies

T = TypeVar("T")
Found = Embedding | HealthReport


def doubled(faces: Sequence[T]) -> list[T]:
    """Each face twice in a row."""
    return [face for face in faces for _ in range(2)]


def agreed(found: Sequence[Found], normalisation: AnyNormalisation) -> list[Found]:
    """The results of ``doubled`` faces as one each: refused unless both are healthy and agree."""
    return [_one(found[n], found[n + 1], normalisation) for n in range(0, len(found), 2)]


def _one(first: Found, second: Found, normalisation: AnyNormalisation) -> Found:
    if isinstance(first, HealthReport):
        return first
    if isinstance(second, HealthReport):
        return second
    copies = [first, second]
    norms = [copy.health.squared_norms[0] for copy in copies]
    report = check_copies([copy.values for copy in copies], norms, normalisation)
    return first if report.healthy else report
