"""Container files of tenants: complete ones under the digest of their content, partial ones apart.

A file's name is the SHA-256 of its header, which holds the digests of all sections: equal names,
equal content. Two names of one tenant may share a file; two tenants never do, because one could
then see what the other has.

    blobs/<tenant>/<ab>/<digest>.fhec    complete, never changed
    blobs/<tenant>/partial/<number>      an upload; the number is its row's
    scratch/                             results that are being written
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select

from fhe_core import container
from fhe_core.container import Header
from fhe_core.files import explain, publish
from fhe_face.service.errors import NotComplete, NotHere, OtherContent
from fhe_face.service.folders import make_private_folder
from fhe_face.service.rows import COMPLETE, Resource, Room, checked_id, now
from fhe_face.service.tables import resources, sections
from fhe_face.service.tenants import tenant_locked
from fhe_face.store.database import Database

FOLDER: Final = "blobs"
SCRATCH: Final = "scratch"
PARTIALS: Final = "partial"
SUFFIX: Final = ".fhec"


class Blobs:
    """The container files of all tenants; every method is about one tenant's."""

    def __init__(self, database: Database, folder: Path) -> None:
        """folder: the service's."""
        self._database = database
        self.folder = folder / FOLDER
        self._scratch = folder / SCRATCH

    def find(self, tenant: str, room: Room, id: str) -> Resource:
        """A resource, whether complete or not. NotHere: this tenant has none of that name."""
        with self._database.reading() as connection:
            return found(connection, tenant, room, id)

    def holds(self, tenant: str, room: Room, id: str) -> bool:
        """Whether a complete resource is there."""
        with self._database.reading() as connection:
            row = connection.execute(one(tenant, room, id)).first()
        return row is not None and resource_of(row).complete

    def path(self, tenant: str, room: Room, id: str) -> Path:
        """The file of a complete resource. NotHere, NotComplete: there is none."""
        resource = self.find(tenant, room, id)
        if not resource.complete:
            raise NotComplete("sections of this file are missing: send them first")
        return self.content(tenant, resource.digest)

    def content(self, tenant: str, digest: str) -> Path:
        """Where content of that name is, whether it is there or not."""
        return self.folder / tenant / digest[:2] / f"{digest}{SUFFIX}"

    def partial(self, tenant: str, number: int) -> Path:
        """Where an upload grows."""
        return self.folder / tenant / PARTIALS / str(number)

    def page(self, tenant: str, room: Room, limit: int, after: str = "") -> list[Resource]:
        """Resources by name, from the one after `after` on."""
        mine = resources.c.tenant == tenant, resources.c.room == room.value
        query = select(resources).where(*mine, resources.c.id > after)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(resources.c.id).limit(limit)).all()
        return [resource_of(row) for row in rows]

    def scratch(self) -> Path:
        """A private folder on the same file system, for results that are being written."""
        make_private_folder(self._scratch)
        return self._scratch

    def publish(
        self,
        tenant: str,
        room: Room,
        id: str,
        file: Path,
        facts: Mapping[str, Any] | None = None,
    ) -> Resource:
        """Move a complete container, such as a result, into its place; it is there at once, whole.

        Doing it twice with the same content does it once.

        Raises:
            ContainerError: the file is no container. OtherContent: the name is taken.
            NotHere: there is no such tenant. FileError: it cannot be moved.
        """
        checked_id(id)
        header = container.read_header(file)
        digest = front_digest(file, header)
        target = self.content(tenant, digest)
        with tenant_locked(self._database, tenant) as connection:
            known = connection.execute(one(tenant, room, id)).first()
            if known is not None and (known.digest, known.state) != (digest, COMPLETE):
                raise OtherContent(f"'{id}' is taken by something else: delete it first")
            self._move(file, target)
            if known is None:
                values = row_of(tenant, room, id, header, digest, facts or {})
                connection.execute(resources.insert().values(**values, state=COMPLETE))
            return found(connection, tenant, room, id)

    def delete(self, tenant: str, room: Room, id: str) -> None:
        """Remove a resource, and its file unless another name of the tenant's has it. NotHere."""
        with tenant_locked(self._database, tenant) as connection:
            self.remove(connection, found(connection, tenant, room, id))

    def remove(self, connection: Connection, resource: Resource) -> None:
        """As `delete`, in a transaction that holds the tenant."""
        connection.execute(sections.delete().where(sections.c.resource == resource.number))
        connection.execute(resources.delete().where(resources.c.number == resource.number))
        with suppress(FileNotFoundError):
            self.partial(resource.tenant, resource.number).unlink()
        same = resources.c.tenant == resource.tenant, resources.c.digest == resource.digest
        others = select(resources.c.number).where(*same, resources.c.state == COMPLETE)
        if resource.complete and connection.execute(others.limit(1)).first() is None:
            with suppress(FileNotFoundError):
                self.content(resource.tenant, resource.digest).unlink()

    def _move(self, file: Path, target: Path) -> None:
        make_private_folder(target.parent)
        try:
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
            file.chmod(0o600)
            publish(file, target, overwrite=True)
        except OSError as error:
            raise explain(target, "write", error) from error


def front_digest(file: Path, header: Header) -> str:
    """The name of a file's content."""
    with file.open("rb") as stream:
        front = stream.read(header.payload_offset)
    _, exact = container.parse_front(front, name=header.source)
    return hashlib.sha256(exact).hexdigest()


def row_of(
    tenant: str, room: Room, id: str, header: Header, digest: str, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """A new row of `resources`, without its state."""
    return {
        "tenant": tenant,
        "room": room.value,
        "id": id,
        "kind": header.kind.label,
        "key_id": header.key_id,
        "digest": digest,
        "bytes": header.total_bytes,
        "facts": json.dumps(dict(facts)),
        "created": now(),
        "touched": now(),
    }


def one(tenant: str, room: Room, id: str) -> Any:
    """The query for one resource; the tenant is always part of it."""
    return select(resources).where(
        resources.c.tenant == tenant, resources.c.room == room.value, resources.c.id == id
    )


def found(connection: Connection, tenant: str, room: Room, id: str) -> Resource:
    """A resource. NotHere: this tenant has none of that name."""
    row = connection.execute(one(tenant, room, id)).first()
    if row is None:
        raise NotHere(f"there is nothing of this name in {room}")
    return resource_of(row)


def resource_of(row: Any) -> Resource:
    """A row of `resources`."""
    return Resource(
        row.number,
        row.tenant,
        Room(row.room),
        row.id,
        row.state,
        row.kind,
        row.key_id,
        row.digest,
        row.bytes,
        row.created,
        json.loads(row.facts),
    )
