"""Words of summaries."""

from __future__ import annotations


def counted(count: int, one: str, many: str | None = None) -> str:
    """Such as "1 face" and "2 faces"; many: where it is not the one with an s."""
    return f"{count} {one if count == 1 else many or one + 's'}"
