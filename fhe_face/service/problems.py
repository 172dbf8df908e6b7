"""Errors as `application/problem+json` (RFC 9457), from one table of codes.

Texts of failures reach the client where they are about what the client sent. What is about this
machine (its files, its database) is said in general terms, and in full in the log.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhe_core.container import ContainerError
from fhe_core.errors import Failure
from fhe_core.files import FileError, one_line
from fhe_core.matching import MatchingError
from fhe_face.service.errors import ServiceError, Waiting
from fhe_face.store import StoreError

MEDIA_TYPE: Final = "application/problem+json"
#: Begins every problem's type; the code follows.
URN: Final = "urn:fhe-face:"

#: By the failure's code; failures of what was sent that are not listed are 422.
STATUSES: Final[Mapping[str, int]] = {
    "unauthorized": 401,
    "forbidden": 403,
    "not-here": 404,
    "not-found": 404,
    "not-stored": 404,
    "method-not-allowed": 405,
    "too-slow": 408,
    "not-complete": 409,
    "other-content": 409,
    "conflict": 409,
    "in-progress": 409,
    "damaged-block": 410,
    "length-required": 411,
    "body-too-large": 413,
    "too-large": 413,
    "encoded-body": 415,
    "range": 416,
    "no-scores": 422,
    "over-quota": 429,
    "too-many-requests": 429,
    "internal": 500,
    "busy": 503,
    "unavailable": 503,
    "disk-full": 507,
}
_SENT: Final = 422
#: Statuses of failures that pass by themselves, and after how many seconds to try again.
_PASSING: Final[Mapping[str, float]] = {"in-progress": 1.0, "unavailable": 2.0}
#: Codes of failed searches that say nothing about the probe.
_OF_MACHINE: Final = ("internal", "store", "file", "memory", "access", "damaged-block")
_FULL: Final = ("no space left", "quota is used up")
_log = logging.getLogger("fhe_face.service")


@dataclass(frozen=True)
class Problem:
    """What goes wrong with a request, as the client sees it. retry_after: in seconds."""

    code: str
    detail: str
    retry_after: float | None = None
    more: Mapping[str, Any] | None = None

    @property
    def status(self) -> int:
        return STATUSES.get(self.code, _SENT)

    def body(self, request_id: str) -> bytes:
        """As JSON."""
        content = {
            "type": f"{URN}{self.code}",
            "title": self.code.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request": request_id,
            **(self.more or {}),
        }
        return json.dumps(content).encode()

    def headers(self) -> dict[str, str]:
        """Beside the content type."""
        headers = {} if self.status != 401 else {"WWW-Authenticate": "Bearer"}
        if self.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(self.retry_after)))
        return headers


def problem_of(error: BaseException) -> Problem:
    """The problem that an error is; faults of ours and of the machine are logged."""
    cause = error.__cause__
    if _is_full(error):
        return Problem("disk-full", "the server's disk is full; nothing was changed")
    if isinstance(error, Waiting):
        return Problem(error.code, str(error), error.retry_after)
    if isinstance(error, FileError) or (isinstance(error, StoreError) and _of_database(cause)):
        _log.error("%s", one_line(str(error)))
        what = "the server's files or database cannot be used at the moment"
        return Problem("unavailable", what, _PASSING["unavailable"])
    if isinstance(error, Failure) and error.code == "search-failed":
        return _of_search(error)
    if isinstance(error, ServiceError | ContainerError | StoreError | MatchingError):
        return Problem(error.code, str(error), _PASSING.get(error.code))
    if isinstance(error, Failure) and error.code in STATUSES:
        return Problem(error.code, str(error))
    if isinstance(error, TimeoutError):
        return Problem("busy", "no answer in time", 5.0)
    _log.error("internal error", exc_info=error)
    return Problem("internal", "internal error; the server's log says more under this request's id")


def _of_search(error: Failure) -> Problem:
    """Of the worker's: the client's fault by its own code, or the machine's."""
    reason = str(error.details().get("reason", "internal"))
    if reason in _OF_MACHINE:
        _log.error("a search has failed: %s", error)
        what = "the gallery cannot be searched at the moment"
        return Problem("unavailable", what, _PASSING["unavailable"])
    return Problem(reason, str(error))


def _of_database(cause: BaseException | None) -> bool:
    """Whether a store's error is the database's own: its text names places."""
    return cause is not None and type(cause).__module__.startswith(
        ("sqlalchemy", "sqlite3", "psycopg")
    )


def _is_full(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, FileError | StoreError) and any(mark in text for mark in _FULL)
