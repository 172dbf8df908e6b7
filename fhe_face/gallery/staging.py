"""New records of a gallery on their way to another model, kept until all are there.

A small file beside the key, mode 0600: an interrupted rebuild goes on where it was. Records are
sealed as they will be in the gallery.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from fhe_core.files import explain
from fhe_face.gallery.errors import GalleryError

NAME = "rebuild.db"
_SCHEMA = """
CREATE TABLE target (text TEXT NOT NULL);
CREATE TABLE records (template TEXT PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE refusals (template TEXT PRIMARY KEY, reason BLOB NOT NULL) WITHOUT ROWID;
"""


class Staging:
    """Open for one rebuild; target: names what it goes to, another one begins anew."""

    def __init__(self, folder: Path, target: str) -> None:
        """Raises GalleryError: the file cannot be used."""
        self.path = folder / NAME
        try:
            self._database = self._opened(target)
        except OSError as error:
            raise explain(self.path, "write", error) from error
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error

    def _opened(self, target: str) -> sqlite3.Connection:
        if self.path.is_file():
            with suppress(sqlite3.Error):
                found = sqlite3.connect(self.path, isolation_level=None)
                if found.execute("SELECT text FROM target").fetchall() == [(target,)]:
                    return found
                found.close()
            self.discard()
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        database = sqlite3.connect(self.path, isolation_level=None)
        database.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        database.execute("INSERT INTO target VALUES (?)", (target,))
        return database

    def add(self, records: dict[str, bytes], refusals: dict[str, bytes]) -> None:
        """Keep what was embedded, at once; refusals: sealed reasons, by template.

        Raises:
            GalleryError: it cannot be written, on a full disk for example.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            with self._database:
                for table, rows in (("records", records), ("refusals", refusals)):
                    query = f"INSERT OR REPLACE INTO {table} VALUES (?, ?)"
                    self._database.executemany(query, list(rows.items()))
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error

    def record(self, template: str) -> bytes | None:
        """The new record of a template."""
        return self._one("SELECT record FROM records WHERE template = ?", template)

    def refusal(self, template: str) -> bytes | None:
        """The sealed reason why it has none."""
        return self._one("SELECT reason FROM refusals WHERE template = ?", template)

    def _one(self, query: str, template: str) -> bytes | None:
        try:
            with closing(self._database.execute(query, (template,))) as found:
                row = found.fetchone()
        except sqlite3.Error as error:
            raise _unusable(self.path, error) from error
        return None if row is None else bytes(row[0])

    def discard(self) -> None:
        """Remove the file."""
        self.close()
        self._remove()

    def _remove(self) -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """What was added stays; a file without any is removed."""
        database = getattr(self, "_database", None)
        if database is None:
            return
        kept: list[object] = [None]
        with suppress(sqlite3.Error):
            query = "SELECT 1 FROM records UNION ALL SELECT 1 FROM refusals LIMIT 1"
            kept = database.execute(query).fetchall()
        database.close()
        if not kept:
            self._remove()


def _unusable(path: Path, error: sqlite3.Error) -> GalleryError:
    return GalleryError(f"{path}: cannot be used ({error}); remove it to begin the rebuild anew")
