"""Whether two backends agree within the precision model's bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fhe_core.analysis.precision import MODEL_FACTOR
from fhe_core.oracles.interface import OracleError, Slots


class OracleMismatch(OracleError):
    """Two backends differ by more than their errors explain."""

    code = "oracle-mismatch"


@dataclass(frozen=True)
class Difference:
    """Of one value, over all slots.

    Attributes:
        rms, worst: of the difference; inf where a slot is not finite.
        predicted: root of the sum of both backends' predicted variances.
    """

    name: str
    rms: float
    worst: float
    predicted: float

    @property
    def bound(self) -> float:
        return MODEL_FACTOR * self.predicted

    @property
    def agrees(self) -> bool:
        return self.rms <= self.bound


def difference(name: str, ours: Slots, theirs: Slots, predicted: tuple[float, float]) -> Difference:
    """predicted: standard deviation of either backend's slot error.

    Raises:
        ValueError: the shapes differ.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"'{name}': {ours.shape} and {theirs.shape} slots cannot be compared")
    rest = np.abs(ours - theirs)
    if not np.all(np.isfinite(rest)):
        return Difference(name, math.inf, math.inf, math.hypot(*predicted))
    rms = float(np.sqrt(np.mean(rest**2)))
    return Difference(name, rms, float(rest.max()), math.hypot(*predicted))


def require_agreement(differences: Mapping[str, Difference]) -> None:
    """Raises OracleMismatch: at least one value differs too much; the text names the worst."""
    bad = [d for d in differences.values() if not d.agrees]
    if bad:
        worst = max(bad, key=lambda d: d.rms / d.bound)
        raise OracleMismatch(
            f"{len(bad)} of {len(differences)} values differ; the worst is '{worst.name}', by "
            f"{worst.rms:.3g} (rms) where {worst.bound:.3g} is allowed"
        )
