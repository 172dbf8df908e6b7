"""How messages were prepared before encryption, as flat JSON that travels with ciphertexts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhe_core.container import Corrupt

#: In the facts of a bundle.
ENTRY = "preparation"
_MAX_ENTRIES = 32
_MAX_TEXT = 256


def check_preparation(source: str, facts: Mapping[str, Any]) -> None:
    """Refuse what no client wrote; files of older versions have no preparation.

    Raises:
        Corrupt: it is not a small flat object.
    """
    found = facts.get(ENTRY)
    if found is None:
        return
    if isinstance(found, dict) and len(found) <= _MAX_ENTRIES and all(map(_plain, found.values())):
        return
    raise Corrupt(f"{source}: says in a malformed way how the face was prepared")


def _plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    return value is None or isinstance(value, bool | int)
