"""What a person can cause, and how it is said: one line, an exit status, details for JSON."""

from __future__ import annotations

import math
import os
import traceback
from collections.abc import Mapping
from typing import Any, Final

from fhe_core import _native, files
from fhe_core.errors import Failure

ERROR: Final = 1
USAGE: Final = 2
UNHEALTHY: Final = 3
DIFFERENT: Final = 4
NOT_SURE: Final = 5
INTERRUPTED: Final = 130
TERMINATED: Final = 143


class UsageError(Failure):
    """What was asked for makes no sense; the text says what would."""

    code = "usage"


class CommandError(Failure):
    """Ends a command with one line, an exit status, and details for ``--json``.

    Only commands raise it: what they call raises failures with a code.
    """

    code = "command"

    def __init__(
        self, message: str, status: int = ERROR, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self._details = dict(details or {})

    def details(self) -> dict[str, Any]:
        """What ``--json`` prints beside the text."""
        return self._details


#: What each kind of failure ends a command with; all others end it with ERROR.
EXIT_STATUSES: Final[Mapping[str, int]] = {
    "usage": USAGE,
    "replacement": USAGE,
    "unhealthy": UNHEALTHY,
}
#: Errors with a clear text of their own; everything else is a fault of the program.
USER_ERRORS: Final = (Failure, _native.KernelsError, _native.ThreadError, MemoryError, OSError)
_NO_THREAD: Final = "no more threads or processes can be started; choose fewer with --threads"


def describe(error: BaseException) -> CommandError:
    """The error as message, exit status and details."""
    if isinstance(error, CommandError):
        return error
    name = type(error).__name__
    if isinstance(error, BlockingIOError) or str(error) == "can't start new thread":
        return CommandError(_NO_THREAD, ERROR, {"error_type": name})
    text = one_line(error)
    if isinstance(error, Failure):
        text = f"no result: {text}" if error.code == "unhealthy" else text
        status = EXIT_STATUSES.get(error.code, ERROR)
        details = {"error_type": name, "code": error.code, **error.details()}
        return CommandError(text, status, details)
    if not isinstance(error, USER_ERRORS):
        text = f"internal error, please report it: {name}: {text}"
    return CommandError(text, ERROR, {"error_type": name})


def show_traceback(error: BaseException) -> None:
    """Print where an error came from, for whoever asks by FHE_FACE_TRACEBACK=1."""
    if os.environ.get("FHE_FACE_TRACEBACK"):
        traceback.print_exception(error)


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
