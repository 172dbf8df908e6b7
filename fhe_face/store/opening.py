"""Making a database and finding it again: a SQLite file, or `server.json` with a PostgreSQL URL.

What a folder holds (a gallery; a service) is a `Holding`; all of them are made and found alike.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, make_url, text
from sqlalchemy.exc import ArgumentError

from fhe_core.files import explain, publish, read_bounded, shown, write_whole
from fhe_face.store.database import APPLICATION, Database, postgres_database, sqlite_database
from fhe_face.store.errors import StoreError
from fhe_face.store.migrating import OURS, Steps, bring_up_to_date, upgrade

DATABASE: Final = "gallery.db"
SERVER: Final = "server.json"
BLOCKS: Final = "blocks"

_DRIVER: Final = "postgresql+psycopg"
_LARGEST_SERVER_FILE: Final = 1 << 16

#: Fills a new, empty schema.
Fill = Callable[[Connection], None]


@dataclass(frozen=True)
class Holding:
    """What a folder's database holds.

    name: for messages; file: of a SQLite database; application: its mark; steps: to its schema;
    mode: of that file, as far as the umask lets it be.
    """

    name: str
    file: str
    application: int
    steps: Steps
    mode: int = 0o666


GALLERY: Final = Holding("gallery", DATABASE, APPLICATION, OURS)


def create_database(folder: Path, url: str | None, fill: Fill, holding: Holding = GALLERY) -> None:
    """Make a database in a folder that exists; whole or not at all.

    Raises:
        StoreError: there is a store already, or the database cannot be made.
        FileError: the folder cannot be written.
    """
    for name in (SERVER, holding.file):
        if os.path.lexists(folder / name):
            raise StoreError(f"{shown(folder / name)}: there is a {holding.name} already")
    if url is None:
        create_sqlite(folder / holding.file, fill, holding)
    else:
        _create_postgres(folder / SERVER, checked_url(url), fill, holding)


def open_database(folder: Path, holding: Holding = GALLERY) -> Database:
    """The database of a folder; an older schema is upgraded.

    Raises:
        StoreError: there is none, it cannot be reached, or it is newer than this program.
    """
    database = find_database(folder, holding=holding)
    return current(database, folder / holding.file if database.is_sqlite else None, holding)


def current(database: Database, path: Path | None, holding: Holding) -> Database:
    """The same with an up-to-date schema, or closed. path: of its file, None for PostgreSQL.

    Raises:
        StoreError: it is something else, cannot be reached, or is newer than this program.
    """
    try:
        if path is not None:
            _require_ours(database, holding)
        bring_up_to_date(database, path, holding.steps)
    except BaseException:
        database.engine.dispose()
        raise
    return database


def find_database(folder: Path, *, write: bool = True, holding: Holding = GALLERY) -> Database:
    """The database of a folder, not yet opened. StoreError: there is none."""
    if os.path.lexists(folder / SERVER):
        return _named_in(folder / SERVER)
    if (folder / holding.file).is_file():
        return sqlite_database(folder / holding.file, write=write)
    raise StoreError(
        f"{shown(folder)}: holds no {holding.name} ({holding.file} or {SERVER} is missing)"
    )


def checked_url(text: str) -> URL:
    """A PostgreSQL URL. StoreError: it is something else; the text is not repeated: it may hold a
    password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise StoreError("no database's URL: it looks like postgresql://user@host/name") from error
    if url.drivername not in ("postgresql", "postgres", _DRIVER):
        raise StoreError(
            f"the database's URL begins with {url.drivername}: only postgresql:// is possible "
            "(without a URL the gallery is a SQLite file)"
        )
    return url.set(drivername=_DRIVER)


# --- SQLite --------------------------------------------------------------------------------------


def create_sqlite(path: Path, fill: Fill, holding: Holding) -> None:
    """Make a file with a schema; whole or not at all. FileError: it cannot be made, or is there."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        temporary.touch(holding.mode, exist_ok=False)
        with (
            fresh_sqlite(temporary, holding.application) as database,
            database.locked() as connection,
        ):
            upgrade(connection, holding.steps)
            fill(connection)
        publish(temporary, path, overwrite=False)
    except OSError as error:
        raise explain(path, "write", error) from error
    finally:
        remove_sqlite(temporary)


@contextmanager
def fresh_sqlite(path: Path, application: int = APPLICATION) -> Iterator[Database]:
    """An empty file as a database with our marks; closed, with its log merged, at the end."""
    database = sqlite_database(path)
    try:
        with database.told(), database.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA journal_mode = WAL")
            raw.execute(f"PRAGMA application_id = {application}")
        yield database
    finally:
        database.engine.dispose()


def remove_sqlite(path: Path) -> None:
    """Remove a database file with its logs, if it is there."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with suppress(OSError):
            path.with_name(path.name + suffix).unlink()


def _require_ours(database: Database, holding: Holding) -> None:
    with database.reading() as connection:
        mark = connection.execute(text("PRAGMA application_id")).scalar()
    if mark != holding.application:
        raise StoreError(f"{database.place}: is no {holding.name}'s database")


# --- PostgreSQL ----------------------------------------------------------------------------------


def _create_postgres(path: Path, url: URL, fill: Fill, holding: Holding) -> None:
    schema = new_schema()
    with fresh_schema(url, schema) as database:
        with database.locked() as connection:
            upgrade(connection, holding.steps)
            fill(connection)
        write_server_file(path, url, schema)


def new_schema() -> str:
    """A name that no other gallery has."""
    return f"fhe_face_{secrets.token_hex(8)}"


@contextmanager
def fresh_schema(url: URL, schema: str) -> Iterator[Database]:
    """A new schema; it is removed again if the block raises."""
    database = postgres_database(url, schema)
    try:
        with database.locked() as connection:
            connection.execute(text(f'CREATE SCHEMA "{schema}"'))
        try:
            yield database
        except BaseException:
            with suppress(StoreError), database.locked() as connection:
                connection.execute(text(f'DROP SCHEMA "{schema}" CASCADE'))
            raise
    finally:
        database.engine.dispose()


def write_server_file(path: Path, url: URL, schema: str) -> None:
    """Where the database is: mode 0600, since a URL may hold a password."""
    content = {"url": url.render_as_string(hide_password=False), "schema": schema}
    text = json.dumps(content, indent=1) + "\n"
    write_whole(path, text.encode(), private=True, overwrite=False)


def _named_in(path: Path) -> Database:
    try:
        content: Any = json.loads(read_bounded(path, _LARGEST_SERVER_FILE))
        url, schema = content["url"], content["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{shown(path)}: is damaged: it has a URL and a schema") from error
    if not (isinstance(url, str) and isinstance(schema, str) and schema.isidentifier()):
        raise StoreError(f"{shown(path)}: is damaged: it has a URL and a schema")
    return postgres_database(checked_url(url), schema)
