"""Bringing a database to today's schema, by the steps that are shipped in this package."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from fhe_core.files import explain, publish, shown
from fhe_face.store.database import Database, has_table
from fhe_face.store.errors import StoreError
from fhe_face.store.tables import HEAD

BACKUP_MARK = ".before-"


@dataclass(frozen=True)
class Steps:
    """A folder of migrations, and the newest of them."""

    folder: Path
    head: str


OURS = Steps(Path(__file__).parent / "migrations", HEAD)


def found_revision(connection: Connection) -> str | None:
    """The schema that a database has; None where it has none of ours."""
    if not has_table(connection, "alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return None if row is None else str(row[0])


def upgrade(connection: Connection, steps: Steps = OURS) -> None:
    """Take all steps that are missing, inside the transaction of `connection`."""
    # Alembic is slow to load, and only needed here.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    context = MigrationContext.configure(connection)
    scripts = ScriptDirectory(steps.folder)
    missing = list(scripts.iterate_revisions(steps.head, context.get_current_revision() or "base"))
    with Operations.context(context):
        for step in reversed(missing):
            step.module.upgrade()
            context.stamp(scripts, step.revision)


def bring_up_to_date(database: Database, path: Path | None, steps: Steps = OURS) -> None:
    """Upgrade an older schema; a SQLite file at `path` is copied first.

    Raises:
        StoreError: the schema is newer than this program, or the database is not a gallery.
    """
    with database.reading() as connection:
        found = found_revision(connection)
    if found == steps.head:
        return
    _require_older(database, found, steps)
    with database.locked() as connection:
        if not database.is_sqlite:
            connection.execute(text("LOCK TABLE alembic_version"))
        if found_revision(connection) == steps.head:  # another process was first
            return
        if path is not None:
            _copy(path, path.with_name(f"{path.name}{BACKUP_MARK}{steps.head}"))
        upgrade(connection, steps)


def _require_older(database: Database, found: str | None, steps: Steps) -> None:
    if found is None:
        raise StoreError(f"{database.place}: holds no gallery")
    from alembic.script import ScriptDirectory

    known = {step.revision for step in ScriptDirectory(steps.folder).walk_revisions()}
    if found not in known:
        raise StoreError(
            f"{database.place}: made by a newer fhe-face (schema {found}, this program knows "
            f"{steps.head}): upgrade the program"
        )


def _copy(path: Path, target: Path) -> None:
    """A consistent copy, also while the log holds what the file does not."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
    try:
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(temporary)) as copy:
            source.backup(copy)
        publish(temporary, target, overwrite=True)
    except sqlite3.Error as error:
        raise StoreError(f"{shown(target)}: cannot be written: {error}") from error
    except OSError as error:
        raise explain(target, "write", error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()
