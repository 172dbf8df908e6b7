"""Is a decrypted result an answer, or a number that wrapped around?

The polynomial network has no bound. On an image it was not made for, values leave the modulus,
wrap around, and decrypt to something that looks like an embedding. So the squared norm before
normalisation travels with every result, and these checks decide; a result that fails is never
returned as a score. What can pass and how often: docs/health.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.errors import Failure
from fhe_core.normalisation import AnyNormalisation

#: Spread of a value that must be the same in every slot, as a share of its size.
SPREAD_SHARE = 0.02
#: Relative slack when two ways to compute a norm are compared.
NORM_SLACK = 0.05
#: How large the squared norm of a face beside this one in a batch may be, as a multiple of the
#: interval's end: a share of its values reaches this one through rounded masks (docs/health.md).
NEIGHBOUR_EXCESS = 3.0
#: How far copies of one face may be apart before normalisation, as a share of the smaller one's
#: length (docs/health.md).
COPIES_TOLERANCE = 0.02

Slots = NDArray[np.float64]


class UnhealthyResultError(Failure, ValueError):
    """A decrypted result that must not be used; ``report`` says why."""

    code = "unhealthy"

    def __init__(self, report: HealthReport) -> None:
        super().__init__(report.message)
        self.report = report

    def details(self) -> dict[str, Any]:
        """What JSON says instead of an embedding or a score."""
        return {
            "healthy": False,
            "reason": self.report.message,
            "squared_norms": list(self.report.squared_norms),
            "interval": list(self.report.interval),
        }

    def __reduce__(self) -> tuple[type[UnhealthyResultError], tuple[HealthReport]]:
        """What makes it again, in another process."""
        return type(self), (self.report,)


class Cause(Enum):
    """Whose image a result must not be used because of.

    OWN: its own. PARTNER: that of a face which was computed together with it; its own squared norm
    is healthy. UNCLEAR: nobody can tell which, until they are computed apart.
    """

    OWN = "own"
    PARTNER = "partner"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class HealthReport:
    """The squared norms that travelled with a result, every check that failed, and why."""

    squared_norms: tuple[float, ...]
    interval: tuple[float, float]
    failures: tuple[str, ...]
    cause: Cause | None = None

    @property
    def healthy(self) -> bool:
        return not self.failures

    @property
    def message(self) -> str:
        return "healthy" if self.healthy else "; ".join(self.failures)

    def require(self) -> None:
        """Raise :class:`UnhealthyResultError` unless every check passed."""
        if not self.healthy:
            raise UnhealthyResultError(self)


def expected_norm(normalisation: AnyNormalisation, squared_norm: float) -> float:
    """Norm of the normalised embedding: sqrt(y) p(y)."""
    return math.sqrt(max(squared_norm, 0.0)) * float(normalisation.evaluate(squared_norm))


@dataclass
class Findings:
    """What is wrong with a result; together: it was computed with other faces."""

    together: bool
    failures: list[str] = field(default_factory=list)
    causes: set[Cause] = field(default_factory=set)

    def add(self, failure: str, cause: Cause | None = None) -> None:
        """Note a failure; without a cause nobody can tell, unless the face was alone."""
        self.failures.append(failure)
        self.causes.add(cause or (Cause.UNCLEAR if self.together else Cause.OWN))

    def report(
        self, squared_norms: Sequence[float], normalisation: AnyNormalisation
    ) -> HealthReport:
        """All of it; a cause that is sure comes first."""
        found = next((cause for cause in _SUREST if cause in self.causes), None)
        return HealthReport(
            tuple(squared_norms), normalisation.interval, tuple(self.failures), found
        )


_SUREST = (Cause.OWN, Cause.UNCLEAR, Cause.PARTNER)


def constant_of(slots: Slots, name: str, findings: Findings, smallest: float) -> float:
    """The value that every slot must hold; notes what is wrong in ``findings``.

    smallest: the size below which errors are not measured by the value itself.
    """
    value = float(np.median(slots))
    size = max(abs(value), smallest)
    if not np.all(np.isfinite(slots)):
        findings.add(f"{name} is not finite")
    elif float(np.max(np.abs(slots - value))) > SPREAD_SHARE * size:
        findings.add(f"{name} differs between slots: the computation wrapped around")
    return value


def fitting(report: HealthReport, what: str, fit: bool) -> HealthReport:
    """The report, with a failure unless the results of the whole batch fit their modulus."""
    if fit:
        return report
    return _spoiled(report, f"a face of the batch diverged: its {what} may have wrapped around")


def undisturbed(
    report: HealthReport, neighbours: Slots, normalisation: AnyNormalisation
) -> HealthReport:
    """The report, with a failure if a face beside this one in the batch diverged.

    neighbours: squared norms, of all slots of the faces before and after.
    """
    if np.max(np.abs(neighbours), initial=0.0) <= NEIGHBOUR_EXCESS * normalisation.interval[1]:
        return report  # NaN is no such number
    return _spoiled(report, "the face beside this one in the batch diverged: compute it without")


def _spoiled(report: HealthReport, failure: str) -> HealthReport:
    """With one more failure, because of another face unless its own is known."""
    cause = report.cause or Cause.PARTNER
    return replace(report, failures=(*report.failures, failure), cause=cause)


def check_norm(
    slots: Slots, normalisation: AnyNormalisation, name: str, findings: Findings
) -> float:
    """Squared norm before normalisation, checked against the interval of the polynomial."""
    low, high = normalisation.interval
    before = len(findings.failures)
    value = constant_of(slots, name, findings, low)
    # A value that every slot of a face holds is its own.
    certain = len(findings.failures) == before
    if not 0 < low < high < math.inf:
        findings.add(f"[{low:g}, {high:g}] is no interval for a squared norm", Cause.OWN)
    elif not low <= value <= high:
        whose = "on this image" if certain or not findings.together else _SOMEWHERE
        findings.add(
            f"{name} is {value:.4g}, outside [{low:g}, {high:g}]: the network diverged {whose}",
            Cause.OWN if certain else None,
        )
    return value


_SOMEWHERE = "on this image, or on one that was computed together with it"


def check_embedding(
    embedding: Slots,
    squared_norm: Slots,
    normalisation: AnyNormalisation,
    together: bool = False,
) -> HealthReport:
    """Check one embedding [length] with its squared norm [slots].

    together: it was computed with other faces, which may be the cause.
    """
    findings = Findings(together)
    norm = check_norm(squared_norm, normalisation, "squared norm", findings)
    if not findings.failures:
        expected = expected_norm(normalisation, norm)
        actual = float(np.linalg.norm(embedding))
        slack = NORM_SLACK * max(expected, 0.1)
        if not abs(actual - expected) <= slack < math.inf:
            findings.add(
                f"norm of the embedding is {actual:.4g}, expected {expected:.4g} from its "
                "squared norm"
            )
    return findings.report((norm,), normalisation)


def check_score(
    score: Slots,
    squared_norms: Sequence[Slots],
    normalisation: AnyNormalisation,
    together: bool = False,
) -> tuple[float, HealthReport]:
    """Check one score [slots] with the squared norms [slots] of both embeddings.

    together: as in ``check_embedding``.
    """
    findings = Findings(together)
    names = ("squared norm of the first face", "squared norm of the second face")
    norms = [
        check_norm(slots, normalisation, name, findings)
        for slots, name in zip(squared_norms, names, strict=True)
    ]
    value = constant_of(score, "score", findings, 1.0)
    if not findings.failures:
        limit = math.prod(expected_norm(normalisation, norm) for norm in norms)
        if not abs(value) <= limit * (1 + NORM_SLACK) < math.inf:  # NaN fails
            findings.add(f"score {value:.4g} exceeds the product of the norms {limit:.4g}")
    return value, findings.report(norms, normalisation)


def check_copies(
    copies: Sequence[Slots],
    squared_norms: Sequence[float],
    normalisation: AnyNormalisation,
) -> HealthReport:
    """Check results of one image that was encrypted anew for each of them.

    The noise of a result is in its squared norm as well, so that nothing in one result tells a
    wrong one; two results of the same image only agree where noise has little effect. They are
    compared before normalisation: direction and length. Every copy must have passed its own check.

    copies: normalised embeddings, each [length]; squared_norms: that travelled with them.

    Raises:
        ValueError: fewer than two copies, other lengths, or not as many squared norms.
    """
    if len(copies) < 2 or len(copies) != len(squared_norms):
        raise ValueError(f"{len(copies)} copies, {len(squared_norms)} squared norms: 2 or more")
    if len({values.shape for values in copies}) > 1:
        raise ValueError("copies of one face have one length")
    failures: list[str] = []
    with np.errstate(all="ignore"):
        raw = [
            values / float(normalisation.evaluate(y))
            for values, y in zip(copies, squared_norms, strict=True)
        ]
        limit = COPIES_TOLERANCE * min(float(np.linalg.norm(values)) for values in raw)
        pairs = list(itertools.combinations(raw, 2))
        apart = [float(np.linalg.norm(one - other)) for one, other in pairs]
    if any(np.array_equal(one, other) for one, other in pairs):
        failures.append("two copies are one and the same result: the image must be encrypted anew")
    elif not all(distance <= limit < math.inf for distance in apart):  # NaN fails
        failures.append(
            "copies of the face differ: noise of the encryption decides its embedding; "
            "the image is damaged or was crafted"
        )
    cause = Cause.OWN if failures else None
    return HealthReport(tuple(squared_norms), normalisation.interval, tuple(failures), cause)
