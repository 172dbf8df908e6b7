"""One database: how it is reached, how transactions begin, and what its errors mean.

SQLite: write-ahead log, synced at every commit; whoever writes takes the lock at the beginning, so
that no transaction has to be upgraded in its middle. PostgreSQL: READ COMMITTED; whoever writes
locks the gallery's row first, so that writers come one after another and see what came before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fhe_core.files import one_line, shown
from fhe_face.store.errors import StoreError
from fhe_face.store.facts import mode_of
from fhe_face.store.tables import gallery

#: Tells our files from other SQLite databases.
APPLICATION: Final = 0x46484547
WAIT_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 10
#: Threads that work at once, each with a connection; further ones wait.
MOST_CONNECTIONS: Final = 60

_MEANINGS: Final = {
    "database or disk is full": "no space left on the disk; nothing was changed",
    "disk I/O error": "the disk cannot be read or written (is it full?); nothing was changed",
    "database is locked": f"another process is writing (waited {WAIT_SECONDS:.0f} s); try again",
    "readonly database": "the file or its folder is read-only",
    "unable to open database file": "it is missing, or may not be opened",
    "file is not a database": "it is damaged or no database: restore a backup",
    "malformed": "it is damaged: `gallery check` says what is left; restore a backup",
}


@dataclass(frozen=True)
class Change:
    """A transaction that writes, with the gallery's row as it was.

    number: this change's own; it becomes the revision of the owners that are touched.
    """

    connection: Connection
    number: int
    version: int
    mode: str


@dataclass(frozen=True)
class Database:
    """An engine, and how messages name it."""

    engine: Engine
    place: str

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of ours."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A short transaction that reads. StoreError: the database cannot be used."""
        with self.told(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction in which all is as of one moment, whoever writes meanwhile."""
        with self.told(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def locked(self) -> Iterator[Connection]:
        """A transaction that nobody else can write beside; also where there is no row to lock."""
        with self.told(), self.engine.connect() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                yield connection

    @contextmanager
    def changing(self) -> Iterator[Change]:
        """A transaction that writes; undone as a whole if the block raises."""
        with self.locked() as connection:
            row = connection.execute(select(gallery).with_for_update()).one()
            number = int(row.changes) + 1
            connection.execute(gallery.update().values(changes=number))
            yield Change(connection, number, int(row.version), mode_of(row.facts))

    @contextmanager
    def told(self) -> Iterator[None]:
        """Errors of the database as one clear line."""
        try:
            yield
        except (SQLAlchemyError, self.engine.dialect.loaded_dbapi.Error) as error:
            raise StoreError(f"{self.place}: {self._reason(error)}") from error

    def _reason(self, error: Exception) -> str:
        told = error.orig if isinstance(error, DBAPIError) and error.orig else error
        reason = one_line(str(told), 300)
        for fragment, meaning in _MEANINGS.items():
            if fragment in reason:
                return meaning
        for password in _passwords(self.engine.url):
            reason = reason.replace(password, "***")
        return reason


def _passwords(url: URL) -> list[str]:
    """What a message must not repeat: a URL may hold one in two places."""
    held = [url.password, url.query.get("password"), url.query.get("sslpassword")]
    return [str(password) for password in held if password]


def sqlite_database(path: Path, *, write: bool = True) -> Database:
    """A SQLite file that exists; nothing is opened yet."""
    place = f"file:{quote(str(path.absolute()))}?mode={'rw' if write else 'ro'}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            place, uri=True, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )

    engine = create_engine(
        "sqlite+pysqlite://",
        creator=connect,
        poolclass=QueuePool,
        max_overflow=MOST_CONNECTIONS,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return Database(engine, shown(path))


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    for name, value in (
        ("synchronous", "FULL"),
        ("foreign_keys", "ON"),
        ("secure_delete", "ON"),
        ("trusted_schema", "OFF"),
    ):
        connection.execute(f"PRAGMA {name} = {value}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def postgres_database(url: URL, schema: str) -> Database:
    """A schema of a PostgreSQL database; nothing is opened yet.

    Every gallery has a schema of its own: no query can forget which gallery it is about, each
    is upgraded on its own, and removing one is one statement.

    Raises:
        StoreError: psycopg is not installed.
    """
    asked = "connect_timeout" in url.query
    try:
        engine = create_engine(
            url,
            hide_parameters=True,
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            max_overflow=MOST_CONNECTIONS,
            connect_args={} if asked else {"connect_timeout": CONNECT_SECONDS},
        )
    except ImportError as error:
        raise StoreError("PostgreSQL needs psycopg: pip install 'fhe-face[postgres]'") from error

    @event.listens_for(engine, "connect", insert=True)
    def use_schema(connection: Any, _record: Any) -> None:
        before, connection.autocommit = connection.autocommit, True
        connection.execute(f'SET SESSION search_path = "{schema}"')
        connection.autocommit = before

    host = url.host or url.query.get("host") or "localhost"
    return Database(engine, f"PostgreSQL, database {url.database} at {host} (schema {schema})")


def run_alone(database: Database, statements: Callable[[], Iterator[str]]) -> list[tuple[Any, ...]]:
    """Statements that cannot run inside a transaction; the first row of each that has rows."""
    rows: list[tuple[Any, ...]] = []
    with database.told():
        raw = database.engine.raw_connection()
        try:
            if not database.is_sqlite:
                driver: Any = raw.driver_connection
                driver.autocommit = True
            cursor = raw.cursor()
            for statement in statements():
                cursor.execute(statement)
                if cursor.description:
                    rows.append(tuple(cursor.fetchone() or ()))
        finally:
            raw.invalidate()  # the pool never sees a connection with other settings
    return rows


def has_table(connection: Connection, name: str) -> bool:
    """Whether the database (or the gallery's schema) has a table."""
    if connection.dialect.name == "sqlite":
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :name"
    else:
        query = (
            "SELECT 1 FROM information_schema.tables "
            "WHERE table_schema = current_schema() AND table_name = :name"
        )
    return connection.execute(text(query), {"name": name}).first() is not None
