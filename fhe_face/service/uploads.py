"""Uploads by section: first the header, which is checked in full; then the sections, in any order.

What the header does not promise is never received, and what it promises is counted against the
tenant's quota before a byte of it comes. A section counts once it is verified and on the disk, so
that an upload that was cut off goes on where it was. The file gets its name with the last one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from sqlalchemy import Connection, select

from fhe_core import container
from fhe_core.container import Header, Limits, SectionInfo
from fhe_core.files import atomic_write, explain, publish
from fhe_core.formats.purpose import DEVICE_ID
from fhe_face.service.blobs import Blobs, found, one, resource_of, row_of
from fhe_face.service.errors import DiskFull, Invalid, NotHere, OtherContent
from fhe_face.service.folders import make_private_folder
from fhe_face.service.rows import COMPLETE, PARTIAL, Missing, Resource, Room, checked_id, now
from fhe_face.service.sections import Incoming
from fhe_face.service.tables import resources, sections
from fhe_face.service.tenants import require_room, tenant_locked
from fhe_face.store.database import Database

#: How messages name what is sent: clients see no path of the server.
SENT: Final = "the file"
_EMPTY: Final = hashlib.sha256(b"").hexdigest()

#: The facts of a tenant's evaluation keys, by key id; None: it has sent none of that id.
KeyFacts = Callable[[str], Mapping[str, Any] | None]
#: Whether a tenant has sent the switching key of a device, by its id.
KnowsDevice = Callable[[str], bool]


class Admission(Protocol):
    """Decides by its header what a file is, and whether this service takes it."""

    def admit(
        self, room: Room, header: Header, keys: KeyFacts, knows: KnowsDevice
    ) -> Mapping[str, Any]:
        """JSON-ready facts of a file. ContainerError: it is nothing for this room."""


@dataclass(frozen=True)
class Uploads:
    """Receives container files. limits: of the files; free_bytes: of the disk that stay free."""

    database: Database
    blobs: Blobs
    admission: Admission
    limits: Limits
    free_bytes: int = 0

    def begin(self, tenant: str, room: Room, id: str, data: bytes) -> tuple[Resource, bool]:
        """Take a header; the resource, and whether it is new. Doing it again changes nothing.

        Raises:
            ContainerError: the header is damaged, or nothing for this room.
            OtherContent: the name is taken. OverQuota, DiskFull: there is no room for it.
        """
        checked_id(id)
        header, front = container.parse_front(data, name=SENT, limits=self.limits)
        digest = hashlib.sha256(front).hexdigest()
        with self.database.reading() as connection:
            known = connection.execute(one(tenant, room, id)).first()
        if known is not None:
            return self._again(resource_of(known), digest), False
        facts = self.admission.admit(
            room,
            header,
            lambda key_id: self._keys(tenant, key_id),
            lambda device: self.blobs.holds(tenant, Room.DEVICE_KEYS, device),
        )
        if room is Room.DEVICE_KEYS and facts[DEVICE_ID] != id:
            raise Invalid("the switching key of a device is called by the device's id")
        self._require_disk(header.total_bytes)
        with tenant_locked(self.database, tenant) as connection:
            known = connection.execute(one(tenant, room, id)).first()
            if known is None:
                require_room(connection, tenant, header.total_bytes)
                values = row_of(tenant, room, id, header, digest, facts)
                self._insert(connection, values, header, front)
            resource = found(connection, tenant, room, id)
        if known is not None:
            return self._again(resource, digest), False
        self._borrow(resource, header)
        return self.settle(resource), True

    def missing(self, resource: Resource) -> list[Missing]:
        """What must still be sent, in the order of the file, each content once."""
        if resource.complete:
            return []
        header, _ = self._front(resource)
        waiting = self._waiting(resource)
        listed: dict[str, Missing] = {}
        for section in header.sections:
            if section.digest in waiting and section.digest not in listed:
                listed[section.digest] = Missing(section.name, section.digest, section.length)
        return list(listed.values())

    def receive(self, tenant: str, room: Room, id: str, digest: str) -> Incoming | None:
        """Prepare for one section; None: it is here already.

        Raises:
            NotHere: no such resource, or no such section in it.
            StillRunning: another request is sending it.
        """
        resource = self.blobs.find(tenant, room, id)
        with self.database.reading() as connection:
            mine = sections.c.resource == resource.number, sections.c.digest == digest
            row = connection.execute(select(sections.c.here).where(*mine)).first()
        if row is None:
            raise NotHere("the header of this file has no section of this digest")
        if resource.complete:
            return None
        if row.here:
            self.settle(resource)
            return None
        return self._incoming(resource, digest)

    def settle(self, resource: Resource) -> Resource:
        """Make a file of an upload with nothing missing; also where a crash came between."""
        if resource.complete or self._waiting(resource):
            return resource
        partial = self.blobs.partial(resource.tenant, resource.number)
        target = self.blobs.content(resource.tenant, resource.digest)
        with tenant_locked(self.database, resource.tenant) as connection:
            chosen = resources.c.number == resource.number
            row = connection.execute(select(resources).where(chosen)).first()
            if row is None:
                raise NotHere("the upload was deleted meanwhile")
            if row.state == PARTIAL and self._place(partial, target):
                values = {"state": COMPLETE, "front": None, "touched": now()}
                connection.execute(resources.update().where(chosen).values(**values))
            elif row.state == PARTIAL:  # its file is gone: all of it must be sent again
                self._forget(connection, resource)
            resource = found(connection, resource.tenant, resource.room, resource.id)
        if resource.complete:
            with suppress(FileNotFoundError):
                partial.unlink()
        return resource

    # --- Inside ----------------------------------------------------------------------------------

    def _again(self, known: Resource, digest: str) -> Resource:
        if known.digest != digest:
            raise OtherContent(f"'{known.id}' is taken by another file: delete it first")
        return self.settle(known)

    def _keys(self, tenant: str, key_id: str) -> Mapping[str, Any] | None:
        mine = resources.c.tenant == tenant, resources.c.key_id == key_id
        query = select(resources).where(*mine, resources.c.room == Room.KEYS.value)
        with self.database.reading() as connection:
            row = connection.execute(query.order_by(resources.c.number).limit(1)).first()
        return None if row is None else resource_of(row).facts

    def _require_disk(self, more: int) -> None:
        make_private_folder(self.blobs.folder)
        disk = os.statvfs(self.blobs.folder)
        if disk.f_bavail * disk.f_frsize < more + self.free_bytes:
            raise DiskFull("the server's disk is full")

    def _insert(
        self, connection: Connection, values: dict[str, Any], header: Header, front: bytes
    ) -> None:
        result = connection.execute(resources.insert().values(**values, state=PARTIAL, front=front))
        assert result.inserted_primary_key is not None
        number = result.inserted_primary_key[0]
        digests = dict.fromkeys(section.digest for section in header.sections)
        rows = [{"resource": number, "digest": d, "here": d == _EMPTY} for d in digests]
        if rows:
            connection.execute(sections.insert(), rows)

    def _front(self, resource: Resource) -> tuple[Header, bytes]:
        query = select(resources.c.front).where(resources.c.number == resource.number)
        with self.database.reading() as connection:
            front = connection.execute(query).scalar_one_or_none()
        if front is None:
            raise NotHere("the upload was completed or deleted meanwhile")
        return container.parse_front(bytes(front), name=SENT, limits=self.limits)

    def _waiting(self, resource: Resource) -> set[str]:
        mine = sections.c.resource == resource.number, sections.c.here.is_(False)
        with self.database.reading() as connection:
            return set(connection.execute(select(sections.c.digest).where(*mine)).scalars())

    def _incoming(self, resource: Resource, digest: str) -> Incoming | None:
        """For a section that is missing; None: it came while this request got its turn."""
        header, front = self._front(resource)
        places = [section for section in header.sections if section.digest == digest]
        path = self.blobs.partial(resource.tenant, resource.number)
        if not path.exists():
            self._make_partial(resource, path, header, front)
        incoming = Incoming(
            path, places, header.payload_offset, lambda: self._received(resource, digest)
        )
        if digest in self._waiting(resource):
            return incoming
        incoming.abort()  # whoever wrote before has finished it: it must not be written again
        return None

    def _make_partial(self, resource: Resource, path: Path, header: Header, front: bytes) -> None:
        """The file that grows; made in full length, of which nothing takes room yet."""
        make_private_folder(path.parent)
        with tenant_locked(self.database, resource.tenant) as connection:
            if path.exists():
                return
            self._forget(connection, resource)  # what an earlier file held is gone with it
            with atomic_write(path, private=True, overwrite=False) as stream:
                stream.write(front)
                stream.truncate(header.total_bytes)

    def _forget(self, connection: Connection, resource: Resource) -> None:
        mine = sections.update().where(sections.c.resource == resource.number)
        connection.execute(mine.values(here=sections.c.digest == _EMPTY))

    def _received(self, resource: Resource, digest: str) -> None:
        mine = sections.c.resource == resource.number, sections.c.digest == digest
        with tenant_locked(self.database, resource.tenant) as connection:
            connection.execute(sections.update().where(*mine).values(here=True))
            chosen = resources.update().where(resources.c.number == resource.number)
            connection.execute(chosen.values(touched=now()))
        self.settle(resource)

    def _place(self, partial: Path, target: Path) -> bool:
        """Give a finished file its name; False: it has neither the one nor the other."""
        if target.is_file():
            return True
        make_private_folder(target.parent)
        try:
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
            publish(partial, target, overwrite=True)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise explain(target, "write", error) from error
        return True

    def _borrow(self, resource: Resource, header: Header) -> None:
        """Take sections from what the tenant has sent before, under whatever name."""
        if self.blobs.content(resource.tenant, resource.digest).is_file():
            here = sections.update().where(sections.c.resource == resource.number)
            with tenant_locked(self.database, resource.tenant) as connection:
                connection.execute(here.values(here=True))
            return
        for digest, (path, place) in self._elsewhere(resource).items():
            incoming = self._incoming(resource, digest)
            if incoming is None:
                continue
            try:
                _copy(path, place, incoming)
            except (OSError, container.ContainerError):
                incoming.abort()  # then it is sent

    def _elsewhere(self, resource: Resource) -> dict[str, tuple[Path, tuple[int, int]]]:
        """Sections of this upload in complete files: in which, from where, how long."""
        wanted = self._waiting(resource)
        other = sections.join(resources, sections.c.resource == resources.c.number)
        complete = resources.c.tenant == resource.tenant, resources.c.state == COMPLETE
        query = select(sections.c.digest, resources.c.digest.label("file")).select_from(other)
        query = query.where(*complete, sections.c.digest.in_(wanted))
        with self.database.reading() as connection:
            rows = connection.execute(query).all() if wanted else []
        files: dict[str, dict[str, SectionInfo]] = {}
        known: dict[str, tuple[Path, tuple[int, int]]] = {}
        for row in rows:
            path = self.blobs.content(resource.tenant, row.file)
            with suppress(container.ContainerError):
                header = container.read_header(path)
                places = files.setdefault(row.file, {s.digest: s for s in header.sections})
                place = places[row.digest]
                known[row.digest] = path, (header.payload_offset + place.offset, place.length)
        return known


def _copy(path: Path, place: tuple[int, int], incoming: Incoming) -> None:
    start, length = place
    with path.open("rb") as stream:
        stream.seek(start)
        while length > 0 and (piece := stream.read(min(length, 1 << 20))):
            incoming.write(piece)
            length -= len(piece)
    incoming.finish()
