"""A failed job's error, as its row has it and its tenant sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

#: What a job's error is called for people, by its code.
TITLES: Final[Mapping[str, str]] = {
    "time-limit": "the job took too long",
    "set-aside": "the job was set aside",
    "memory": "not enough memory",
    "retries": "the job failed several times",
    "not-here": "an input is gone",
}
_TITLE: Final = "the job cannot be computed"


def error_text(code: str, detail: str) -> str:
    """A job's error as its row has it."""
    return json.dumps({"code": code, "title": TITLES.get(code, _TITLE), "detail": detail})


def time_limit_error(seconds: float) -> str:
    """The error of a job that took too long."""
    return error_text("time-limit", f"it was ended after {seconds:.0f} s")
