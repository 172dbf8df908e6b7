"""The root of all errors that a person, a file or the other side can cause."""

from __future__ import annotations

from typing import Any, ClassVar


class Failure(Exception):
    """Ends what was asked for; the text is one clear line that says what would be right.

    Attributes:
        code: names the kind of failure. Programs may rely on it: it never changes, and no two kinds
            share one. What becomes of it at an edge (an exit status, an HTTP status) is a table
            there.
    """

    code: ClassVar[str] = "failure"

    def details(self) -> dict[str, Any]:
        """JSON-ready facts beside the text; none of them is secret."""
        return {}
