"""What a person can cause, and how it is said: one line, an exit status, details for JSON."""

from __future__ import annotations

import math
import os
import traceback
from collections.abc import Mapping
from typing import Any, Final

from fhe_core import _native, files
from fhe_core.container import ContainerError
from fhe_core.encoding import EncodingError
from fhe_core.files import FileError, ReplacementError
from fhe_core.inverse_root import InverseRootError
from fhe_core.keys.evaluation import MissingKeyError
from fhe_core.parameters import ParameterError
from fhe_core.plan import PlanError
from fhe_face.circuit import CircuitError
from fhe_face.client.health import UnhealthyResultError
from fhe_face.client.image_error import ImageError
from fhe_face.client.ledger import AnswerLimitError
from fhe_face.coeffs.normalisation import CoefficientError
from fhe_face.models.checkpoint import CheckpointError
from fhe_face.models.faces.errors import FaceError
from fhe_face.network import WeightsError
from fhe_face.planning import PlanningError

ERROR: Final = 1
USAGE: Final = 2
UNHEALTHY: Final = 3
DIFFERENT: Final = 4
NOT_SURE: Final = 5
INTERRUPTED: Final = 130
TERMINATED: Final = 143


class CommandError(Exception):
    """Ends a command with one line, an exit status, and details for ``--json``."""

    def __init__(
        self, message: str, status: int = ERROR, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.details = dict(details or {})


#: Errors with a clear text of their own; everything else is a fault of the program.
USER_ERRORS: Final = (
    CommandError,
    ContainerError,
    FileError,
    CheckpointError,
    WeightsError,
    ImageError,
    FaceError,
    CoefficientError,
    CircuitError,
    InverseRootError,
    UnhealthyResultError,
    AnswerLimitError,
    EncodingError,
    ParameterError,
    PlanError,
    PlanningError,
    MissingKeyError,
    _native.KernelsError,
    _native.ThreadError,
    MemoryError,
    OSError,
)
_NO_THREAD: Final = "no more threads or processes can be started; choose fewer with --threads"


def describe(error: BaseException) -> CommandError:
    """The error as message, exit status and details."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, UnhealthyResultError):
        return CommandError(f"no result: {error}", UNHEALTHY, unhealthy(error))
    name = type(error).__name__
    if isinstance(error, BlockingIOError) or str(error) == "can't start new thread":
        return CommandError(_NO_THREAD, ERROR, {"error_type": name})
    text = one_line(error)
    if isinstance(error, ReplacementError):
        return CommandError(text, USAGE, {"error_type": name})
    if not isinstance(error, USER_ERRORS):
        text = f"internal error, please report it: {name}: {text}"
    return CommandError(text, ERROR, {"error_type": name})


def show_traceback(error: BaseException) -> None:
    """Print where an error came from, for whoever asks by FHE_FACE_TRACEBACK=1."""
    if os.environ.get("FHE_FACE_TRACEBACK"):
        traceback.print_exception(error)


def unhealthy(error: UnhealthyResultError) -> dict[str, Any]:
    """What JSON says instead of an embedding or a score."""
    report = error.report
    return {
        "healthy": False,
        "reason": report.message,
        "squared_norms": list(report.squared_norms),
        "interval": list(report.interval),
    }


def one_line(error: BaseException) -> str:
    """The error's text without line breaks or control characters."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    return files.one_line(str(error)) or type(error).__name__


def plain(value: Any) -> Any:
    """The value with JSON types only; numbers that are not finite become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
