"""What a key file is for: an engine, as always before, or a gallery. One never stands in for the
other, and the refusal says which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fhe_core.container import Header, JsonValue, WrongKind

#: Metadata of key files; those of engines have none.
PURPOSE: Final = "purpose"
GALLERY: Final = "gallery"


def for_gallery(facts: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Facts of a gallery's key file."""
    return {**facts, PURPOSE: GALLERY}


def is_for_gallery(header: Header) -> bool:
    return header.metadata.get(PURPOSE) == GALLERY


def require_gallery(header: Header) -> None:
    """Raises WrongKind where a key file is not a gallery's."""
    if not is_for_gallery(header):
        raise WrongKind(
            f"{header.source}: is the {header.kind.label} of an engine, expected that of a gallery"
        )


def require_engine(header: Header) -> None:
    """Raises WrongKind where a key file is a gallery's."""
    if is_for_gallery(header):
        raise WrongKind(
            f"{header.source}: is the {header.kind.label} of a gallery, expected that of an engine"
        )
