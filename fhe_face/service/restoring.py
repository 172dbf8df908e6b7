"""Making a service from a backup; everything is checked on the way."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Column, select

from fhe_core import container
from fhe_core.container import ContainerError
from fhe_core.files import FileError, read_bounded, shown
from fhe_face.service.backup import CONTENT, MANIFEST, copy_queue_rows, queue_of
from fhe_face.service.blobs import Blobs, front_digest
from fhe_face.service.folders import make_private_folder
from fhe_face.service.galleries import FOLDER as GALLERIES
from fhe_face.service.galleries import drop_schema
from fhe_face.service.jobs import tables as queue_tables
from fhe_face.service.jobs.opening import QUEUE
from fhe_face.service.opening import SERVICE, Service, open_service
from fhe_face.service.rows import TENANT
from fhe_face.service.settings import FILE as SETTINGS
from fhe_face.service.tables import ALL, audit, galleries, resources, tenants
from fhe_face.store.backup import copy_file, whole_folder
from fhe_face.store.copying import continue_numbers, copy_table
from fhe_face.store.database import Database
from fhe_face.store.errors import BackupError
from fhe_face.store.migrating import upgrade
from fhe_face.store.opening import (
    SERVER,
    checked_url,
    fresh_schema,
    new_schema,
    open_database,
    remove_sqlite,
    write_server_file,
)
from fhe_face.store.store import Store

_LARGEST_MANIFEST: Final = 1 << 16
_DIGEST: Final = re.compile("[0-9a-f]{64}")
_RANDOM: Final = re.compile("[0-9a-f]{32}")
Name = re.Pattern[str]
#: What rows name that becomes a part of a path.
_NAMES: Final = (
    (tenants.c.name, TENANT),
    (resources.c.tenant, TENANT),
    (resources.c.digest, _DIGEST),
    (galleries.c.tenant, TENANT),
    (galleries.c.folder, _RANDOM),
)
_QUEUE_NAMES: Final = ((queue_tables.jobs.c.tenant, TENANT), (queue_tables.jobs.c.id, _RANDOM))


def restore(source: Path, folder: Path, url: str | None = None) -> None:
    """Make a service in a new folder. url: of a PostgreSQL database; None: SQLite files.

    Raises:
        BackupError: the folder is no backup, or incomplete or altered.
        StoreError: `folder` exists, or the database cannot be used. FileError: it cannot be
            written. Nothing is left then.
    """
    _require_backup(source)
    with whole_folder(folder) as work, ExitStack() as undo:
        work.chmod(0o700)
        for name in (SERVICE.file, QUEUE.file):
            _copy(source / name, work / name)
        with suppress(FileNotFoundError):
            shutil.copyfile(source / SETTINGS, work / SETTINGS)
        with _opened(work) as rows:
            _require_names(rows, _NAMES)
            with queue_of(Service(work, rows)) as queue:
                _require_names(queue, _QUEUE_NAMES)
            _copy_blobs(rows, source, work)
            for place in _galleries(rows):
                make_private_folder((work / place).parent)
                Store.restore(source / place, work / place, url).close()
                if url is not None:
                    undo.callback(drop_schema, work / place)
        if url is not None:
            _move_to_postgres(work, url)
        undo.pop_all()


def _require_backup(source: Path) -> None:
    try:
        found = json.loads(read_bounded(source / MANIFEST, _LARGEST_MANIFEST))
    except (FileError, ValueError) as error:
        raise BackupError(f"{shown(source)}: is no backup of a service") from error
    if found != CONTENT:
        raise BackupError(f"{shown(source)}: is no backup of a service of version 1")


@contextmanager
def _opened(work: Path) -> Iterator[Database]:
    """The copy of the rows, brought up to date."""
    database = open_database(work, SERVICE)
    try:
        yield database
    finally:
        database.engine.dispose()


def _require_names(
    database: Database, parts: Sequence[tuple[Column[Any], re.Pattern[str]]]
) -> None:
    """BackupError: a row names a part of a path that no service makes."""
    with database.reading() as connection:
        for column, name in parts:
            for value in connection.execute(select(column).distinct()).scalars():
                if not isinstance(value, str) or not name.fullmatch(value):
                    raise BackupError(f"{column}: the backup names no {column.key} of a service")


def _copy_blobs(database: Database, source: Path, work: Path) -> None:
    original, copy = Blobs(database, source), Blobs(database, work)
    with database.reading() as connection:
        rows = connection.execute(select(resources.c.tenant, resources.c.digest).distinct()).all()
    for tenant, digest in rows:
        target = copy.content(tenant, digest)
        make_private_folder(target.parent)
        _copy(original.content(tenant, digest), target)
        target.chmod(0o600)
        _verify(target, digest)


def _verify(path: Path, digest: str) -> None:
    """All of a container: its header by its name, its sections by the header."""
    try:
        with container.open(path) as reader:
            same = front_digest(path, reader.header) == digest
            reader.verify_all()
    except ContainerError as error:
        raise BackupError(f"{path.name}: is not what was backed up: {error}") from error
    if not same:
        raise BackupError(f"{path.name}: is not what was backed up")


def _galleries(database: Database) -> list[Path]:
    with database.reading() as connection:
        rows = connection.execute(select(galleries.c.tenant, galleries.c.folder)).all()
    return [Path(GALLERIES) / row.tenant / row.folder for row in rows]


def _copy(source: Path, target: Path) -> None:
    try:
        copy_file(source, target)
    except FileError as error:
        raise BackupError(f"{shown(source)}: {error.reason}") from error


def _move_to_postgres(work: Path, url: str) -> None:
    """The rows of both databases; their files go."""
    checked, schema = checked_url(url), new_schema()
    with fresh_schema(checked, schema) as database:
        with _opened(work) as rows, rows.snapshot() as source, database.locked() as target:
            upgrade(target, SERVICE.steps)
            for table in ALL:
                copy_table(source, target, table)
            continue_numbers(target, (resources, audit))
        with (
            open_service(work) as here,
            queue_of(here) as old,
            queue_of(Service(work, database)) as new,
            old.snapshot() as source,
            new.locked() as target,
        ):
            copy_queue_rows(source, target)
            continue_numbers(target, (queue_tables.jobs,))
        remove_sqlite(work / SERVICE.file)
        remove_sqlite(work / QUEUE.file)
        write_server_file(work / SERVER, checked, schema)
