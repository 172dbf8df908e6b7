"""What a key file is for: an engine, as always before, a gallery, or a device that only encrypts.
One never stands in for another, and the refusal says which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fhe_core.container import Header, JsonValue, Kind, WrongKind

#: Metadata of key files; those of engines have none.
PURPOSE: Final = "purpose"
GALLERY: Final = "gallery"
#: Of a device: its own key, and the one that switches its ciphertexts to its owner's key.
DEVICE: Final = "device"
#: Metadata of a device's files: the id of its own key, and that of its owner's.
DEVICE_ID: Final = "device"
OWNER: Final = "owner"


def for_gallery(facts: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Facts of a gallery's key file."""
    return {**facts, PURPOSE: GALLERY}


def for_device(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a device's key file."""
    return {**facts, PURPOSE: DEVICE}


def is_for_gallery(header: Header) -> bool:
    return header.metadata.get(PURPOSE) == GALLERY


def is_for_device(header: Header) -> bool:
    return header.metadata.get(PURPOSE) == DEVICE


def require_gallery(header: Header) -> None:
    """Raises WrongKind where a key file is not a gallery's."""
    if not is_for_gallery(header):
        raise WrongKind(f"{header.source}: is {_named(header)}, expected that of a gallery")


def require_engine(header: Header) -> None:
    """Raises WrongKind where a key file is a gallery's, a device's, or says what nobody knows."""
    if PURPOSE in header.metadata:
        raise WrongKind(f"{header.source}: is {_named(header)}, expected that of an engine")


def require_device(header: Header) -> None:
    """Raises WrongKind where a key file is not a device's."""
    if not is_for_device(header):
        raise WrongKind(f"{header.source}: is {_named(header)}, expected that of a device")


def _named(header: Header) -> str:
    """Which key file it is, for people."""
    if is_for_device(header) and header.kind is Kind.EVALUATION_KEYS:
        return "the switching key of a device"
    purpose = header.metadata.get(PURPOSE)
    known = ((None, "an engine"), (GALLERY, "a gallery"), (DEVICE, "a device"))
    whose = next((name for one, name in known if one == purpose), "something unknown")
    return f"the {header.kind.label} of {whose}"
