"""Files of squared norms: reading them, and measuring a fit on them."""

import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fhe_core.files import FileError, read_bounded, shown
from fhe_face.coeffs.basis import Floats
from fhe_face.coeffs.normalisation import CoefficientError, FittedNormalisation, Measurement

MAX_FILE_BYTES: Final = 1 << 28
MAX_VALUES: Final = 10_000_000
_NPY_MAGIC: Final = b"\x93NUMPY"
_SHOWN: Final = 40
_REASON: Final = 200


@dataclass(frozen=True, eq=False)
class Sample:
    """Squared norms [values] of a file, as they stand there: any of them may be nonsense."""

    path: Path
    sha256: str
    values: Floats

    @property
    def usable(self) -> Floats:
        """The values that have an inverse square root: finite and positive."""
        return self.values[np.isfinite(self.values) & (self.values > 0)]

    def inside(self, interval: tuple[float, float]) -> Floats:
        """The values inside an interval, ends included."""
        low, high = interval
        return self.values[(low <= self.values) & (self.values <= high)]

    def measure(self, normalisation: FittedNormalisation) -> Measurement:
        """Coverage by the interval, and the relative errors of the values inside."""
        inside = self.inside(normalisation.interval)
        finite = self.values[np.isfinite(self.values)]
        errors = np.abs(normalisation.evaluate(inside) * np.sqrt(inside) - 1)
        return Measurement(
            file=shown(self.path.name),
            sha256=self.sha256,
            values=self.values.size,
            inside=inside.size,
            minimum=float(finite.min()) if finite.size else None,
            maximum=float(finite.max()) if finite.size else None,
            worst_relative_error=float(errors.max()) if inside.size else None,
            mean_relative_error=float(errors.mean()) if inside.size else None,
        )


def read_sample(path: str | os.PathLike[str]) -> Sample:
    """Squared norms, one per face: a .npy vector, a JSON list, or text with a number a line.

    The content decides which. In text, empty lines and what follows a # do not count.
    CoefficientError, naming the file, for anything else.
    """
    name = shown(path)
    try:
        raw = read_bounded(path, MAX_FILE_BYTES)
        if raw.startswith(_NPY_MAGIC):
            values = _from_npy(raw)
        else:
            text = raw.decode("utf-8-sig")
            values = _from_json(text) if text.lstrip()[:1] in ("[", "{") else _from_text(text)
    except FileError as error:
        raise CoefficientError(
            f"{name}: cannot be read ({error.reason}); expected squared norms"
        ) from None
    except UnicodeDecodeError:
        raise CoefficientError(
            f"{name}: neither a .npy file, nor a JSON list, nor text with a number a line"
        ) from None
    except ValueError as error:
        raise CoefficientError(f"{name}: {error}") from None
    if not 1 <= values.size <= MAX_VALUES:
        raise CoefficientError(f"{name}: {values.size} numbers; it must be 1 to 10^7")
    return Sample(Path(path), hashlib.sha256(raw).hexdigest(), values)


def require_separate(sample: Sample, evaluation: Sample) -> int:
    """How many of the evaluation's values stand in the sample too (compared as float32).

    CoefficientError where that is all of them, or where the files are one: what a fit was made
    from says nothing about other faces.
    """
    names = f"{shown(evaluation.path)} and {shown(sample.path)}"
    wanted = "an evaluation needs other faces than the sample"
    if sample.sha256 == evaluation.sha256 or sample.path.samefile(evaluation.path):
        raise CoefficientError(f"{names} are the same data; {wanted}")
    with np.errstate(over="ignore"):
        known, judged = (s.values.astype(np.float32) for s in (sample, evaluation))
    # NaN is not equal to itself, but here it is nothing new.
    shared = int(np.sum(np.isin(judged, known) | np.isnan(judged)))
    if shared == judged.size:
        raise CoefficientError(f"{names}: every value of the first is in the second; {wanted}")
    return shared


def _from_npy(raw: bytes) -> Floats:
    stream = io.BytesIO(raw)
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"version {version[0]}.{version[1]}; it must be 1.0 or 2.0")
    except Exception as error:  # numpy parses the header as Python: errors of many kinds
        reason = " ".join(str(error).split())[:_REASON]
        raise ValueError(f"a .npy file that cannot be read ({reason})") from None
    if dtype.hasobject or dtype.kind not in "fiu":
        raise ValueError(f"an array of {dtype}; it must be real numbers")
    if len(shape) != 1:
        raise ValueError(
            f"an array of shape {shape}; it must be one squared norm per face, "
            "(x * x).sum(axis=1) for embeddings x"
        )
    if shape[0] * dtype.itemsize != len(raw) - stream.tell():
        raise ValueError(f"{len(raw) - stream.tell()} bytes of numbers, {shape[0]} were announced")
    with np.errstate(over="ignore"):
        return np.frombuffer(raw, dtype, offset=stream.tell()).astype(np.float64)


def _from_json(text: str) -> Floats:
    try:
        content: Any = json.loads(text)
    except RecursionError:
        raise ValueError("lists in lists; it must be a JSON list of numbers") from None
    except ValueError as error:
        raise ValueError(f"not JSON ({error})") from None
    if not isinstance(content, list):
        raise ValueError("a JSON object; it must be a list of numbers")
    if not all(type(value) in (int, float) for value in content):
        raise ValueError("it must be a JSON list of numbers")
    try:
        return np.array([float(value) for value in content])
    except OverflowError:
        raise ValueError("a number is too large") from None


def _from_text(text: str) -> Floats:
    values = []
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        try:
            values.append(float(content))
        except ValueError:
            cut = content[:_SHOWN] + ("..." if len(content) > _SHOWN else "")
            raise ValueError(f"line {number} is {cut!r}; it must be one number") from None
    return np.array(values, dtype=np.float64)
