"""Devices at a server: their switching keys, and faces that a device hands over."""

from __future__ import annotations

import os
from dataclasses import dataclass

from fhe_core import container
from fhe_core.container import Kind
from fhe_core.formats.ciphertexts import known_facts
from fhe_core.formats.devices import device_of
from fhe_face.progress import Stage, silent
from fhe_face.remote import jobs
from fhe_face.remote.connection import Connection
from fhe_face.remote.pushing import Pushed, push, require_kind
from fhe_face.remote.resources import Resource, Room, every, remove
from fhe_face.senders import owner_of

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Submitted:
    """Faces at a server, and the job that embeds them. job: None where the result was there."""

    faces: Pushed
    job: str | None
    owner: str
    device: str | None


def push_device(connection: Connection, file: Path, *, stage: Stage = silent) -> Pushed:
    """Send the switching key of a device, named after the device: from then on it may send.

    Raises:
        PushError, WrongKind, Corrupt: it is another file, or names no device; not a byte of it was
            sent.
        Others: as `push`.
    """
    header = container.read_header(file)
    require_kind(header, Room.DEVICE_KEYS)
    device = device_of(header)
    what = "sending the switching key"
    return push(connection, Room.DEVICE_KEYS, file, device, stage=stage, what=what)


def devices_of(connection: Connection) -> list[Resource]:
    """The devices that may send, by id."""
    return list(every(connection, Room.DEVICE_KEYS))


def revoke_device(connection: Connection, device: str) -> bool:
    """Delete a switching key: whether there was one."""
    return remove(connection, Room.DEVICE_KEYS, device)


def submit_faces(connection: Connection, faces: Path, *, stage: Stage = silent) -> Submitted:
    """Send encrypted faces and ask for their embeddings; waits for nothing, and reads nothing.

    A token of the scope "submit" is enough. The owner of the key fetches the result.

    Raises:
        PushError: the file holds no faces. Others: as `push`.
    """
    header = container.read_header(faces, expect_kind=Kind.CIPHERTEXT)
    owner = owner_of(header.source, header.key_id, known_facts(header))
    key = owner or header.key_id
    pushed = push(connection, Room.FACES, faces, stage=stage, what="sending faces")
    job = jobs.submit(connection, "embeddings", {"faces": pushed.id, "key": key})
    return Submitted(pushed, job.id, key, None if owner is None else header.key_id)
