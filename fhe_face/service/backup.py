"""Backups of a whole service, made while it runs; they do not depend on the database.

A backup is a folder like a service's own with SQLite: rows as of one moment, container files as
hard links where the file system has them (they never change), galleries by `Store.backup`, and the
jobs that wait. Jobs are copied first: what a job names was there before it. Not in it: uploads that
are not complete, kept answers, and secret keys, which no server has.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from fhe_core.files import write_whole
from fhe_face.keyfile import EVALUATION_KEY
from fhe_face.service.blobs import Blobs
from fhe_face.service.folders import make_private_folder
from fhe_face.service.galleries import FOLDER as GALLERIES
from fhe_face.service.jobs import tables as queue_tables
from fhe_face.service.jobs.opening import QUEUE, open_jobs
from fhe_face.service.opening import SERVICE, Service
from fhe_face.service.rows import COMPLETE
from fhe_face.service.settings import FILE as SETTINGS
from fhe_face.service.tables import audit, galleries, resources, sections, tenants, tokens
from fhe_face.store.backup import copy_file, whole_folder
from fhe_face.store.copying import copy_table
from fhe_face.store.database import Database
from fhe_face.store.errors import StoreError
from fhe_face.store.migrating import Steps, upgrade
from fhe_face.store.opening import fresh_sqlite
from fhe_face.store.store import Store

MANIFEST: Final = "backup.json"
CONTENT: Final = {"format": "fhe-face service backup", "version": 1}
#: Of the queue; who is alive is not kept.
QUEUE_TABLES: Final = (queue_tables.queue, queue_tables.jobs, queue_tables.outputs)


def back_up(service: Service, target: Path) -> None:
    """Copy the service into a new folder.

    Raises:
        StoreError: `target` exists, or a database cannot be read. DamagedBlock: of a gallery.
        FileError: it cannot be written. Nothing is left of it then.
    """
    with whole_folder(target) as work:
        work.chmod(0o700)
        _copy_queue(service, work / QUEUE.file)
        with new_database(work / SERVICE.file, SERVICE.application, SERVICE.steps) as copy:
            rows = _copy_service(service, copy, work)
            for row in rows:
                if _copy_gallery(service, row, work):
                    with copy.locked() as connection:
                        connection.execute(galleries.insert(), dict(row._mapping))
        with suppress(FileNotFoundError):
            shutil.copyfile(service.folder / SETTINGS, work / SETTINGS)
        write_whole(work / MANIFEST, json.dumps(CONTENT).encode())


@contextmanager
def new_database(path: Path, application: int, steps: Steps) -> Iterator[Database]:
    """An empty SQLite file with today's schema, closed at the end."""
    path.touch(mode=0o600)
    with fresh_sqlite(path, application) as database:
        with database.locked() as connection:
            upgrade(connection, steps)
        yield database


def _copy_queue(service: Service, path: Path) -> None:
    with (
        queue_of(service) as source,
        new_database(path, QUEUE.application, QUEUE.steps) as copy,
        source.snapshot() as rows,
        copy.locked() as target,
    ):
        copy_queue_rows(rows, target)


@contextmanager
def queue_of(service: Service) -> Iterator[Database]:
    """The database of a service's queue, closed at the end. Errors as of `open_jobs`."""
    database = open_jobs(service)
    try:
        yield database
    finally:
        database.engine.dispose()


def copy_queue_rows(source: Connection, target: Connection) -> None:
    """All that a queue remembers, into one that has done nothing yet."""
    for table in QUEUE_TABLES:
        target.execute(table.delete())
        copy_table(source, target, table)


def _copy_service(service: Service, copy: Database, work: Path) -> list[Row[Any]]:
    """Rows and files but for galleries, whose rows are returned."""
    with service.database.snapshot() as source, copy.locked() as target:
        for table in (tenants, tokens, audit):
            copy_table(source, target, table)
        done = resources.c.state == COMPLETE
        copy_table(source, target, resources, select(resources).where(done))
        whole = select(sections).where(
            sections.c.resource.in_(select(resources.c.number).where(done))
        )
        copy_table(source, target, sections, whole)
        for row in target.execute(select(resources)).all():
            if not _link(service.blobs, Blobs(copy, work), row):
                target.execute(sections.delete().where(sections.c.resource == row.number))
                target.execute(resources.delete().where(resources.c.number == row.number))
        return list(source.execute(select(galleries)).all())


def _link(source: Blobs, target: Blobs, row: Row[Any]) -> bool:
    """One file; False: it was deleted meanwhile."""
    path = target.content(row.tenant, row.digest)
    make_private_folder(path.parent)
    if path.exists():
        return True
    original = source.content(row.tenant, row.digest)
    try:
        os.link(original, path)
    except FileNotFoundError:
        return False
    except OSError:  # another file system
        copy_file(original, path)
    return True


def _copy_gallery(service: Service, row: Row[Any], work: Path) -> bool:
    """One gallery; False: it was deleted meanwhile."""
    source = service.folder / GALLERIES / row.tenant / row.folder
    target = work / GALLERIES / row.tenant / row.folder
    make_private_folder(target.parent)
    try:
        with Store.open(source) as store:
            store.backup(target, also=[EVALUATION_KEY])
    except StoreError:
        if source.exists():
            raise
        return False
    return True
