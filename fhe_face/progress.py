"""How long jobs report what they do: plain callables, so that nothing depends on a screen."""

from __future__ import annotations

from collections.abc import Callable

#: Called with what is being done, how much of it is done, and how much there is (0: unknown).
Stage = Callable[[str, int, int], None]


def silent(_what: str, _done: int, _total: int) -> None:
    """Report nothing."""
