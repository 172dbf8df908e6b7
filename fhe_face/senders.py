"""Who encrypted a face: the owner of the key, or one of the owner's devices.

A file of faces that a device encrypted is under the device's own key, whose id is the device's, and
says in its facts whose device it is. Results are under the owner's key, and their facts name the
device of every side: one for embeddings, two for scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fhe_core.container import Corrupt, KeyMismatch
from fhe_core.formats.devices import is_device_id, owner_in
from fhe_core.formats.heads import Head
from fhe_core.formats.purpose import OWNER

#: In the facts of results.
ENTRY: Final = "devices"


class UnknownDevice(KeyMismatch):
    """Faces of a device that was never added here, or was revoked."""

    code = "unknown-device"


def owner_of(source: str, key_id: str, facts: Mapping[str, Any]) -> str | None:
    """Whose device encrypted faces under the key `key_id`; None: its own owner did.

    Raises:
        Corrupt: the facts name what is no owner, or say that the faces came through a device.
    """
    if ENTRY in facts:
        raise Corrupt(f"{source}: faces say that they came through a device; only results do")
    return owner_in(source, key_id, facts) if OWNER in facts else None


def sender_of(head: Head, key_id: str) -> str | None:
    """The device that encrypted faces for the owner of `key_id`; None: the owner did.

    Raises:
        KeyMismatch: they belong to another owner. Corrupt: as `owner_of`.
    """
    owner = owner_of(head.source, head.key_id, head.facts)
    if owner is None:
        if head.key_id == key_id:
            return None
        raise KeyMismatch(f"{head.source}: belongs to key {head.key_id[:8]}, not to {key_id[:8]}")
    if owner != key_id:
        raise KeyMismatch(f"{head.source}: is of a device of key {owner[:8]}, not of {key_id[:8]}")
    return head.key_id


def senders_of(source: str, facts: Mapping[str, Any], sides: int) -> tuple[str | None, ...]:
    """The device of each side of a result; None: the owner itself.

    Raises:
        Corrupt: another number of them, or what names no device.
    """
    if ENTRY not in facts:
        return (None,) * sides
    found = facts[ENTRY]
    if not isinstance(found, list) or len(found) != sides or not any(found):
        raise Corrupt(f"{source}: does not say which device sent what it answers")
    if not all(one is None or is_device_id(one) for one in found):
        raise Corrupt(f"{source}: does not say which device sent what it answers")
    return tuple(found)


def described(senders: Sequence[str | None]) -> dict[str, list[str | None]]:
    """Facts of a result; nothing where no device sent anything."""
    return {ENTRY: list(senders)} if any(senders) else {}
