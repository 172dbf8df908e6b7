"""The queue's database: `jobs.db` in the service's folder, or a schema of its PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Table, func, select, text
from sqlalchemy.dialects import postgresql, sqlite

from fhe_core.files import FileError
from fhe_face.service.jobs.tables import HEAD
from fhe_face.service.opening import Service
from fhe_face.store.database import Database, postgres_database, sqlite_database
from fhe_face.store.migrating import Steps, found_revision, upgrade
from fhe_face.store.opening import Holding, checked_url, create_sqlite, current

#: Ends the schema's name; it begins with that of the service's.
SCHEMA: Final = "_jobs"
#: "FHEJ": tells a queue's SQLite file from others.
QUEUE: Final = Holding(
    "queue", "jobs.db", 0x4648454A, Steps(Path(__file__).parent / "migrations", HEAD), 0o600
)
#: Whoever makes or upgrades the schema holds this lock of PostgreSQL's.
_LOCK: Final = 0x66686A62


def open_jobs(service: Service) -> Database:
    """The database of a service's queue, made or upgraded if need be.

    Raises:
        StoreError: it cannot be reached, or is newer than this program.
        FileError: the folder cannot be written.
    """
    if service.url is None:
        return _sqlite(service.folder / QUEUE.file)
    with service.database.reading() as connection:
        beside = connection.execute(select(func.current_schema())).scalar_one()
    return _postgres(service.url, f"{beside}{SCHEMA}")


def _sqlite(path: Path) -> Database:
    if not path.is_file():
        try:
            create_sqlite(path, lambda _connection: None, QUEUE)
        except FileError:
            if not path.is_file():  # else another process was faster
                raise
    return current(sqlite_database(path), path, QUEUE)


def _postgres(url: str, schema: str) -> Database:
    database = postgres_database(checked_url(url), schema)
    try:
        with database.locked() as connection:
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
            if found_revision(connection) is None:
                upgrade(connection, QUEUE.steps)
    except BaseException:
        database.engine.dispose()
        raise
    return current(database, None, QUEUE)


def clock(connection: Connection) -> float:
    """Seconds since 1970, by the clock that all who use this database share."""
    if connection.dialect.name == "sqlite":
        return time.time()
    now = connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one()
    return float(now)


def insert_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Add a row, unless one with the same unique values is there; whether it was added."""
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = make(table).values(**row).on_conflict_do_nothing()
    return connection.execute(statement).rowcount == 1
