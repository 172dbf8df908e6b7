"""A fitted polynomial for 1/√y with the interval it holds on, read from a small JSON file."""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, BinaryIO, Final

import numpy as np

from fhe_core.errors import Failure
from fhe_core.files import FileError, FileKind, one_line, read_bounded
from fhe_face.coeffs import basis
from fhe_face.coeffs.basis import Floats, Interval, relative_errors

#: Of coefficient files. 1 has no Chebyshev coefficients, Newton steps and measurements.
FORMAT_VERSION: Final = 2
MAX_NEWTON_STEPS: Final = 4
_MAX_FILE_BYTES: Final = 1 << 20
_MAX_DEGREE: Final = 64
#: Agreement of the two lists of coefficients, beyond what rounding explains.
_AGREEMENT: Final = 1e-9


class CoefficientError(Failure, ValueError):
    """A coefficient file or a polynomial that cannot be used; says what would be right."""

    code = "coefficients"

    def __init__(self, text: str) -> None:
        """`text` may quote the file: what cannot be printed is escaped."""
        super().__init__(one_line(text))


def _is_coefficients(stream: BinaryIO) -> bool:
    content = json.loads(stream.read(_MAX_FILE_BYTES))
    return isinstance(content, dict) and {"interval", "coefficients"} <= set(content)


#: What a coefficient file may replace.
COEFFICIENTS: Final = FileKind("a coefficient file", _is_coefficients)


@dataclass(frozen=True)
class Measurement:
    """A file of squared norms: how many of them the interval holds, and the errors there.

    minimum and maximum: of the finite values. Errors: relative, of the values inside, with the
    Newton steps. All of them are None where there is no such value.
    """

    file: str
    sha256: str
    values: int
    inside: int
    minimum: float | None
    maximum: float | None
    worst_relative_error: float | None
    mean_relative_error: float | None

    def __post_init__(self) -> None:
        """Raise CoefficientError for numbers that cannot be."""
        if not 0 <= self.inside <= self.values or not self.values:
            raise CoefficientError(f"{self.inside} of {self.values} values inside the interval")
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise CoefficientError("sha256: it must be 64 lowercase hexadecimal digits")

    @property
    def coverage(self) -> float:
        """Share of the values that lie inside the interval."""
        return self.inside / self.values

    def to_json(self) -> dict[str, Any]:
        """Its entry of a coefficient file."""
        return {**asdict(self), "coverage": self.coverage}

    @classmethod
    def from_json(cls, content: object, name: str) -> "Measurement":
        """From its entry of a coefficient file; CoefficientError names what is wrong."""
        if not isinstance(content, dict):
            raise CoefficientError(f"{name}: it must be an object")
        texts = [content.get(key) for key in ("file", "sha256")]
        counts = [content.get(key) for key in ("values", "inside")]
        keys = ("minimum", "maximum", "worst_relative_error", "mean_relative_error")
        numbers = [content.get(key) for key in keys]
        if (
            not all(isinstance(text, str) for text in texts)
            or not all(type(count) is int for count in counts)
            or not all(n is None or _is_finite(n) for n in numbers)
        ):
            raise CoefficientError(f"{name}: an entry is missing or not of its type")
        try:
            return cls(*texts, *counts, *numbers)  # type: ignore[arg-type]
        except CoefficientError as error:
            raise CoefficientError(f"{name}: {error}") from None


@dataclass(frozen=True)
class FittedNormalisation:
    """p(y) ≈ 1/√y for squared norms y inside `interval`; worth nothing outside it.

    coefficients: of powers of y, highest degree first. method, points: how it was fitted (0 points
    where none were used). Errors are relative, |p(y)·√y - 1|, over the interval, and include the
    Newton steps. source: where the numbers come from. newton_steps: p <- p (3 - y p²) / 2 that
    follow the polynomial. chebyshev: the same polynomial as c_0, c_1, ... in
    t = (2y - low - high) / (high - low); left out, it is computed. sample, evaluation: the files of
    squared norms that the fit was made from and judged on.
    """

    coefficients: tuple[float, ...]
    interval: Interval
    method: str
    points: int
    worst_relative_error: float
    mean_relative_error: float
    source: str = ""
    newton_steps: int = 0
    chebyshev: tuple[float, ...] = ()
    sample: Measurement | None = None
    evaluation: Measurement | None = None

    def __post_init__(self) -> None:
        """Raise CoefficientError for numbers that cannot be a normalisation."""
        if not 2 <= len(self.coefficients) <= _MAX_DEGREE + 1:
            raise CoefficientError(f"{len(self.coefficients)} coefficients; it must be 2 to 65")
        numbers = (*self.coefficients, *self.chebyshev, *self.interval, *self.errors)
        if not all(math.isfinite(n) for n in numbers):
            raise CoefficientError("coefficients, interval and errors must be finite numbers")
        if self.coefficients[0] == 0:
            raise CoefficientError("the leading coefficient is zero")
        low, high = self.interval
        if not 0 < low < high:
            raise CoefficientError(f"interval [{low}, {high}]; it must be 0 < low < high")
        if not 0 <= self.newton_steps <= MAX_NEWTON_STEPS:
            raise CoefficientError(
                f"{self.newton_steps} Newton steps; it must be 0 to {MAX_NEWTON_STEPS}"
            )
        if self.chebyshev:
            _check_agreement(self.coefficients, self.chebyshev, self.interval)
        else:
            converted = basis.to_chebyshev(self.coefficients, self.interval)
            object.__setattr__(self, "chebyshev", converted)

    @property
    def degree(self) -> int:
        """Degree of the polynomial, without the Newton steps."""
        return len(self.coefficients) - 1

    @property
    def errors(self) -> tuple[float, float]:
        """Worst and mean relative error on the interval."""
        return self.worst_relative_error, self.mean_relative_error

    @property
    def multiplicative_depth(self) -> int:
        """Levels from y to p(y): ceil(log2(D)), D the degree with the Newton steps.

        Shifts and factors are free (fhe_core.normalisation evaluates p as a product of squares).
        """
        return (whole_degree(self.degree, self.newton_steps) - 1).bit_length()

    @property
    def levels(self) -> int:
        """Levels from the embedding to the normalised one: ceil(log2(2 D + 1))."""
        return (2 * whole_degree(self.degree, self.newton_steps)).bit_length()

    @property
    def monomial_loss(self) -> float:
        """Relative error that `coefficients` can add, as rounded numbers; `chebyshev` adds none."""
        return basis.monomial_loss(self.coefficients, self.interval)

    def evaluate(self, squared_norm: float | Floats) -> Floats:
        """p(y) with the Newton steps, float64, for a number or an array of any shape."""
        return basis.evaluate(self.chebyshev, self.interval, squared_norm, self.newton_steps)

    def contains(self, squared_norm: float) -> bool:
        """Whether y is finite and inside the interval (ends included)."""
        low, high = self.interval
        return bool(low <= squared_norm <= high)

    def to_json(self) -> dict[str, Any]:
        """The content of a coefficient file: plain numbers, lists and text."""
        content: dict[str, Any] = {
            "version": FORMAT_VERSION,
            "degree": self.degree,
            "newton_steps": self.newton_steps,
            "interval": list(self.interval),
            "coefficients": list(self.coefficients),
            "chebyshev": list(self.chebyshev),
            "method": self.method,
            "points": self.points,
            "worst_relative_error": self.worst_relative_error,
            "mean_relative_error": self.mean_relative_error,
            "multiplicative_depth": self.multiplicative_depth,
            "levels": self.levels,
            "source": self.source,
        }
        for name, measured in (("sample", self.sample), ("evaluation", self.evaluation)):
            if measured is not None:
                content[name] = measured.to_json()
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "FittedNormalisation":
        """From the content of a coefficient file; CoefficientError names the entry at fault."""
        version = content.get("version", 1)
        if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
            raise CoefficientError(f"version {version!r}; this program reads 1 to {FORMAT_VERSION}")
        low, high = _numbers(content, "interval", 2)
        if not 0 < low < high < math.inf:
            raise CoefficientError(f"interval [{low}, {high}]; it must be 0 < low < high")
        coefficients = _numbers(content, "coefficients", None)
        degree = content.get("degree", len(coefficients) - 1)
        if degree != len(coefficients) - 1:
            raise CoefficientError(f"degree {degree!r} with {len(coefficients)} coefficients")
        steps = content.get("newton_steps", 0)
        if type(steps) is not int or not 0 <= steps <= MAX_NEWTON_STEPS:
            raise CoefficientError(f"newton_steps {steps!r}; it must be 0 to {MAX_NEWTON_STEPS}")
        if not all(math.isfinite(c) for c in coefficients):
            raise CoefficientError("coefficients: they must be finite numbers")
        if "chebyshev" in content:
            chebyshev = _numbers(content, "chebyshev", len(coefficients))
        else:
            chebyshev = basis.to_chebyshev(coefficients, (low, high))
        worst, mean = relative_errors(chebyshev, (low, high), steps)
        stated = content.get("worst_relative_error", worst)
        agrees = _is_finite(stated) and (
            _close(stated, worst)
            or (version == 1 and _close(stated, _first_version_error(coefficients, (low, high))))
        )
        if not agrees:
            raise CoefficientError(
                f"worst_relative_error says {stated!r}, the coefficients have {worst:.6g}"
            )
        measured = {
            name: Measurement.from_json(content[name], name)
            for name in ("sample", "evaluation")
            if content.get(name) is not None
        }
        points = content.get("points", 0)
        return cls(
            coefficients=coefficients,
            interval=(low, high),
            method=str(content.get("method", "unknown")),
            points=points if type(points) is int else 0,
            worst_relative_error=worst,
            mean_relative_error=mean,
            source=str(content.get("source", "")),
            newton_steps=steps,
            chebyshev=chebyshev,
            sample=measured.get("sample"),
            evaluation=measured.get("evaluation"),
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> "FittedNormalisation":
        """From a coefficient file; without one, the default quadratic on [100, 3000].

        The errors are computed again; CoefficientError (naming the file) where the file is
        missing, not such a file, or contradicts itself.
        """
        try:
            if path is None:
                text = files("fhe_face.coeffs").joinpath("default.json").read_text("utf-8")
            else:
                text = read_bounded(path, _MAX_FILE_BYTES).decode("utf-8")
            content = json.loads(text)
            if not isinstance(content, dict):
                raise CoefficientError("not a JSON object")
            return cls.from_json(content)
        except FileError as error:
            raise CoefficientError(
                f"{path}: cannot be read ({error.reason}); expected a coefficient file"
            ) from None
        except CoefficientError as error:
            raise CoefficientError(f"{path or 'default.json'}: {error}") from None
        except (ValueError, RecursionError) as error:
            raise CoefficientError(
                f"{path}: not a coefficient file ({error}); fhe-face coeffs fit writes one"
            ) from None


def whole_degree(degree: int, newton_steps: int) -> int:
    """Degree in y of the polynomial with its Newton steps: each turns d into 3d + 1."""
    for _ in range(newton_steps):
        degree = 3 * degree + 1
    return degree


def _check_agreement(
    coefficients: Sequence[float], chebyshev: Sequence[float], interval: Interval
) -> None:
    """Refuse two lists that are not one polynomial, as far as doubles can tell."""
    if len(coefficients) != len(chebyshev):
        raise CoefficientError(
            f"{len(coefficients)} coefficients, but {len(chebyshev)} in the Chebyshev basis"
        )
    y = np.linspace(*interval, 201)
    with np.errstate(all="ignore"):
        ours = np.polyval(np.asarray(coefficients), y) * np.sqrt(y)
        theirs = 1 + basis.error_at(chebyshev, interval, y)
        # Rounded coefficients, and what Horner's rule rounds on its way.
        slack = 4 * len(coefficients) * basis.monomial_loss(coefficients, interval)
        agree = np.abs(ours - theirs) <= _AGREEMENT * np.abs(theirs).max() + slack
    if not agree.all():
        raise CoefficientError("coefficients and chebyshev are different polynomials")


def _first_version_error(coefficients: Sequence[float], interval: Interval) -> float:
    """What files of the first version state: on points, and with the rounding of powers of y."""
    y = np.linspace(*interval, basis.ERROR_POINTS)
    with np.errstate(all="ignore"):
        return float(np.abs(np.polyval(np.asarray(coefficients), y) * np.sqrt(y) - 1).max())


def _close(stated: float, computed: float) -> bool:
    return math.isclose(stated, computed, rel_tol=1e-2, abs_tol=1e-13)


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


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
