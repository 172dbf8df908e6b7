"""What evaluation keys will take in memory, before a byte of them is read."""

from __future__ import annotations

from fhe_core.container import Header


def key_memory_bytes(header: Header) -> int:
    """Bytes of expanded evaluation keys: a file has one half of each, the other is drawn from a
    seed. From the header alone; an engine may need fewer of them, never more."""
    return 2 * sum(section.length for section in header.sections)
