"""The error of everything that reads, checks or runs plans."""

from __future__ import annotations

from fhe_core.errors import Failure
from fhe_core.files import one_line


class PlanError(Failure, ValueError):
    """A plan that is malformed or does not belong to the parameters at hand."""

    code = "plan"

    def __init__(self, text: str) -> None:
        """`text` may quote the plan: what cannot be printed is escaped."""
        super().__init__(one_line(text))
