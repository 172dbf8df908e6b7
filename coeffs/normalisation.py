"""A fitted polynomial for 1/√y with the interval it holds on, read from a small JSON file."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

ERROR_POINTS: Final = 100_001
_MAX_FILE_BYTES: Final = 1 << 20
_MAX_DEGREE: Final = 64


class CoefficientError(ValueError):
    """A coefficient file or a polynomial that cannot be used; says what would be right."""


@dataclass(frozen=True)
class Normalisation:
    """p(y) ≈ 1/√y for squared norms y inside `interval`; worth nothing outside it.

    coefficients: highest degree first. method, points: how it was fitted. Errors are relative,
    |p(y)·√y - 1|, over the interval. source: where the numbers come from.
    """

    coefficients: tuple[float, ...]
    interval: tuple[float, float]
    method: str
    points: int
    worst_relative_error: float
    mean_relative_error: float
    source: str = ""

    def __post_init__(self) -> None:
        """Raise CoefficientError for numbers that cannot be a normalisation."""
        if not 2 <= len(self.coefficients) <= _MAX_DEGREE + 1:
            raise CoefficientError(f"{len(self.coefficients)} coefficients; it must be 2 to 65")
        numbers = (*self.coefficients, *self.interval, *self.errors)
        if not all(math.isfinite(n) for n in numbers):
            raise CoefficientError("coefficients, interval and errors must be finite numbers")
        if self.coefficients[0] == 0:
            raise CoefficientError("the leading coefficient is zero")
        low, high = self.interval
        if not 0 < low < high:
            raise CoefficientError(f"interval [{low}, {high}]; it must be 0 < low < high")

    @property
    def degree(self) -> int:
        """Degree of the polynomial."""
        return len(self.coefficients) - 1

    @property
    def errors(self) -> tuple[float, float]:
        """Worst and mean relative error on the interval."""
        return self.worst_relative_error, self.mean_relative_error

    def evaluate(self, squared_norm: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """p(y), float64, for a number or an array of any shape, by Horner's rule."""
        with np.errstate(all="ignore"):
            return np.asarray(np.polyval(np.asarray(self.coefficients), squared_norm))

    def contains(self, squared_norm: float) -> bool:
        """Whether y is finite and inside the interval (ends included)."""
        low, high = self.interval
        return bool(low <= squared_norm <= high)

    def to_json(self) -> dict[str, Any]:
        """The content of a coefficient file: plain numbers, lists and text."""
        content = asdict(self)
        content.update(
            degree=self.degree,
            coefficients=list(self.coefficients),
            interval=list(self.interval),
        )
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Normalisation":
        """From the content of a coefficient file; CoefficientError names the entry at fault."""
        low_high = _numbers(content, "interval", 2)
        coefficients = _numbers(content, "coefficients", None)
        degree = content.get("degree", len(coefficients) - 1)
        if degree != len(coefficients) - 1:
            raise CoefficientError(f"degree {degree} with {len(coefficients)} coefficients")
        worst, mean = relative_errors(coefficients, (low_high[0], low_high[1]))
        stated = content.get("worst_relative_error", worst)
        if not isinstance(stated, int | float) or not math.isclose(stated, worst, rel_tol=1e-2):
            raise CoefficientError(
                f"worst_relative_error says {stated!r}, the coefficients have {worst:.6g}"
            )
        points = content.get("points", 0)
        return cls(
            coefficients=coefficients,
            interval=(low_high[0], low_high[1]),
            method=str(content.get("method", "unknown")),
            points=points if isinstance(points, int) else 0,
            worst_relative_error=worst,
            mean_relative_error=mean,
            source=str(content.get("source", "")),
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> "Normalisation":
        """From a coefficient file; without one, the default quadratic on [100, 3000].

        The errors are computed again; CoefficientError (naming the file) where the file is
        missing, not such a file, or contradicts itself.
        """
        try:
            if path is None:
                text = files("coeffs").joinpath("default.json").read_text("utf-8")
            else:
                with Path(path).open("rb") as stream:
                    raw = stream.read(_MAX_FILE_BYTES + 1)
                if len(raw) > _MAX_FILE_BYTES:
                    raise CoefficientError("too large for a coefficient file")
                text = raw.decode("utf-8")
            content = json.loads(text)
            if not isinstance(content, dict):
                raise CoefficientError("not a JSON object")
            return cls.from_json(content)
        except FileNotFoundError:
            raise CoefficientError(f"{path}: no such file; expected a coefficient file") from None
        except OSError as error:
            raise CoefficientError(f"{path}: cannot be read ({error.strerror})") from None
        except CoefficientError as error:
            raise CoefficientError(f"{path or 'default.json'}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise CoefficientError(
                f"{path}: not a coefficient file ({error}); `python -m coeffs.fit` writes one"
            ) from None


def relative_errors(
    coefficients: Sequence[float], interval: tuple[float, float]
) -> tuple[float, float]:
    """Worst and mean of |p(y)·√y - 1| on 100,001 evenly spaced points of the interval."""
    low, high = interval
    if not 0 < low < high < math.inf:
        raise CoefficientError(f"interval [{low}, {high}]; it must be 0 < low < high")
    y = np.linspace(low, high, ERROR_POINTS)
    with np.errstate(all="ignore"):
        errors = np.abs(np.polyval(np.asarray(coefficients), y) * np.sqrt(y) - 1)
    return float(errors.max()), float(errors.mean())


def _numbers(content: Mapping[str, Any], name: str, count: int | None) -> tuple[float, ...]:
    values = content.get(name)
    if (
        not isinstance(values, list)
        or (len(values) != count if count else not 2 <= len(values) <= _MAX_DEGREE + 1)
        or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values)
    ):
        wanted = f"{count} numbers" if count else "2 to 65 numbers, highest degree first"
        raise CoefficientError(f"{name}: it must be a list of {wanted}")
    try:
        return tuple(float(v) for v in values)
    except OverflowError:
        raise CoefficientError(f"{name}: a number is too large") from None
