"""What can be wrong with a search: one line that says what would be right."""

from __future__ import annotations

from fhe_core.container import ContainerError
from fhe_core.errors import Failure


class MatchingError(Failure, ValueError):
    """Parameters, templates or masks that cannot be searched with."""

    code = "matching"


class AnswerMismatch(ContainerError):
    """Scores that answer another probe, or another list of blocks, than was asked."""

    code = "answer-mismatch"


class StaleAnswer(AnswerMismatch):
    """Other positions were live for the server than for the client: one of them is behind."""

    code = "stale-answer"
