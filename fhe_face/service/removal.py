"""Removing a tenant: rows first, so that nothing is found any more, then all files."""

from __future__ import annotations

import shutil

from fhe_face.service.jobs.queue import open_queue
from fhe_face.service.opening import Service
from fhe_face.service.rows import checked_tenant
from fhe_face.service.settings import load_settings
from fhe_face.service.tables import answers, audit, resources, sections, tenants, tokens
from fhe_face.service.tenants import tenant_locked


def remove_tenant(service: Service, name: str) -> None:
    """Everything of a tenant: tokens, files, galleries, jobs, and its part of the audit log.

    Raises:
        NotHere: there is no such tenant. Invalid: no name of one.
    """
    checked_tenant(name)
    with tenant_locked(service.database, name) as connection:
        connection.execute(tokens.delete().where(tokens.c.tenant == name))  # nobody comes in now
    _end_jobs(service, name)
    for gallery in service.galleries.all(name):
        service.galleries.delete(name, gallery.id)
    with tenant_locked(service.database, name) as connection:
        mine = resources.select().with_only_columns(resources.c.number)
        chosen = mine.where(resources.c.tenant == name)
        connection.execute(sections.delete().where(sections.c.resource.in_(chosen)))
        for table in (resources, answers, audit):
            connection.execute(table.delete().where(table.c.tenant == name))
        connection.execute(tenants.delete().where(tenants.c.name == name))
    shutil.rmtree(service.blobs.folder / name, ignore_errors=True)


def _end_jobs(service: Service, name: str) -> None:
    queue = open_queue(service, load_settings(service.folder))
    try:
        queue.forget(name)
    finally:
        queue.close()
