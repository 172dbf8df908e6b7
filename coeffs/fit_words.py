"""What is said about a fitted polynomial: for people, as JSON, and what its user should doubt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhe_face.coeffs.normalisation import FittedNormalisation, Measurement

#: A sample of fewer values says little about other faces.
_FEW_VALUES: Final = 100
_USEFUL_ERROR: Final = 0.5
_MONOMIAL_LOSS: Final = 1e-6


@dataclass(frozen=True)
class Fit:
    """A fit that was made, its error without Newton steps, and what its user should know."""

    normalisation: FittedNormalisation
    polynomial_errors: tuple[float, float]
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The coefficient file's content, and what is not in it."""
        worst, mean = self.polynomial_errors
        return {
            **self.normalisation.to_json(),
            "polynomial_worst_relative_error": worst,
            "polynomial_mean_relative_error": mean,
            "monomial_loss": self.normalisation.monomial_loss,
            "warnings": list(self.warnings),
        }

    def rows(self) -> list[tuple[str, str]]:
        """What a person wants to know: names and texts."""
        n = self.normalisation
        low, high = n.interval
        steps = f" and {counted(n.newton_steps, 'Newton step')}" if n.newton_steps else ""
        rows = [
            ("1/sqrt(y) on", f"[{low:g}, {high:g}], degree {n.degree}{steps}, {n.method}"),
            ("made by", n.source),
            ("coefficients, highest degree first", _joined(n.coefficients)),
            ("in the Chebyshev basis, c_0 first", _joined(n.chebyshev)),
            ("relative error on the interval", _errors(n.errors)),
        ]
        if n.newton_steps:
            rows.append(("before the Newton steps", _errors(self.polynomial_errors)))
        unit = "level" if n.multiplicative_depth == 1 else "levels"
        depth = f"{n.multiplicative_depth} {unit} from y; {n.levels} from the embedding"
        rows.append(("multiplicative depth", depth))
        if n.sample is not None:
            rows.append(("sample", _measured(n.sample)))
        nothing = "no file given: nothing is known about other faces"
        rows.append(("evaluation", nothing if n.evaluation is None else _measured(n.evaluation)))
        return rows


def doubts(fitted: FittedNormalisation, before: float, from_sample: bool) -> list[str]:
    """What else the user of a fit should know."""
    found = []
    low, high = fitted.interval
    sample = fitted.sample
    if sample is not None and from_sample and sample.inside < _FEW_VALUES:
        chance = 2 / (sample.inside + 1)
        found.append(
            f"{counted(sample.inside, 'value')} in the sample: another face lies beyond the least "
            f"and the greatest with a chance of {100 * chance:.2g} %; only the margin covers that"
        )
    if fitted.newton_steps and not fitted.worst_relative_error < before:
        found.append(
            f"the Newton steps make the worst error larger ({_error(before)} before, "
            f"{_error(fitted.worst_relative_error)} after): the polynomial is too far off"
        )
    if not fitted.worst_relative_error < _USEFUL_ERROR:
        found.append(
            f"worst relative error {_error(fitted.worst_relative_error)}: a higher degree, "
            f"minimax, or a shorter interval than [{low:g}, {high:g}] is needed"
        )
    if fitted.monomial_loss > max(_MONOMIAL_LOSS, fitted.worst_relative_error / 100):
        found.append(
            "powers of y cancel so much that `coefficients` alone can be off by "
            f"{fitted.monomial_loss:.1g}; evaluate the Chebyshev coefficients"
        )
    return found


def _measured(m: Measurement) -> str:
    text = f"{m.file}, {m.inside} of {counted(m.values, 'value')} inside ({100 * m.coverage:.4g} %)"
    if m.minimum is not None and m.maximum is not None:
        text += f", from {m.minimum:g} to {m.maximum:g}"
    if m.worst_relative_error is not None and m.mean_relative_error is not None:
        errors = _errors((m.worst_relative_error, m.mean_relative_error))
        text += f"; relative error inside: {errors}"
    return text


def _joined(numbers: Sequence[float]) -> str:
    return " ".join(f"{n:.6e}" for n in numbers)


def _errors(worst_and_mean: tuple[float, float]) -> str:
    worst, mean = worst_and_mean
    return f"worst {_error(worst)}, mean {_error(mean)}"


def _error(value: float) -> str:
    return f"{value:.4f}" if value >= 0.01 else f"{value:.2e}"


def counted(number: int, thing: str) -> str:
    """A number with its noun, such as "1 value" or "3 values"."""
    return f"{number} {thing}" + ("" if number == 1 else "s")
