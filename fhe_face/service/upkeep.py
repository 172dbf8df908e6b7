"""What is removed by itself: forgotten uploads, old faces and answers, files that nothing names."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import select

from fhe_core.errors import Failure
from fhe_face.service.answers import Answers
from fhe_face.service.blobs import PARTIALS, SCRATCH, SUFFIX, Blobs, resource_of
from fhe_face.service.errors import NotHere
from fhe_face.service.opening import Service
from fhe_face.service.rows import PARTIAL, Resource, Room, now
from fhe_face.service.settings import Settings
from fhe_face.service.tables import audit, resources
from fhe_face.service.tenants import all_tenants

DAY: Final = 24 * 3600.0
#: Files without a row may belong to a request that is running: they stay for so long.
_YOUNG_SECONDS: Final = DAY
_log = logging.getLogger("fhe_face.service")


def tidy(service: Service, settings: Settings) -> None:
    """All of it, once; what cannot be removed now is removed another time."""
    for resource in _over(service, settings):
        with suppress(NotHere):
            service.blobs.delete(resource.tenant, resource.room, resource.id)
    Answers(service.database, settings.answer_seconds).sweep()
    if settings.audit_days:
        with service.database.locked() as connection:
            before = now() - settings.audit_days * DAY
            connection.execute(audit.delete().where(audit.c.at < before))
    for path in _strays(service):
        with suppress(OSError):
            path.unlink()
    for tenant in all_tenants(service.database):
        for gallery in service.galleries.all(tenant.name):
            try:
                service.galleries.recount(tenant.name, gallery)
            except Failure as error:  # one damaged gallery is no reason to leave the others
                _log.error("gallery of tenant %s: %s", tenant.name, error)


def _over(service: Service, settings: Settings) -> list[Resource]:
    """Uploads that stand still, and encrypted faces that are old."""
    still = now() - settings.partial_seconds
    forgotten = (resources.c.state == PARTIAL) & (resources.c.touched < still)
    old_faces = (resources.c.room == Room.FACES.value) & (
        resources.c.created < now() - settings.face_days * DAY
    )
    with service.database.reading() as connection:
        rows = connection.execute(select(resources).where(forgotten | old_faces)).all()
    return [resource_of(row) for row in rows]


def _strays(service: Service) -> Iterator[Path]:
    """Files that no row names, and that are not young."""
    blobs: Blobs = service.blobs
    with service.database.reading() as connection:
        query = select(resources.c.tenant, resources.c.digest, resources.c.number)
        rows = connection.execute(query).all()
    named = {blobs.content(row.tenant, row.digest) for row in rows}
    named |= {blobs.partial(row.tenant, row.number) for row in rows}
    folders = [service.folder / SCRATCH, *blobs.folder.glob(f"*/{PARTIALS}")]
    files = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    files += blobs.folder.glob(f"*/??/*{SUFFIX}")
    files += blobs.folder.glob("*/??/.*.tmp")
    before = time.time() - _YOUNG_SECONDS
    for path in files:
        with suppress(FileNotFoundError):
            if path not in named and path.is_file() and path.stat().st_mtime < before:
                yield path
