"""Making a service's folder, and opening it: a database, blobs and galleries."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from fhe_face.service.blobs import Blobs
from fhe_face.service.folders import make_private_folder
from fhe_face.service.galleries import Galleries
from fhe_face.service.tables import HEAD
from fhe_face.store.database import Database
from fhe_face.store.migrating import Steps
from fhe_face.store.opening import SERVER, Holding, create_database, open_database

#: "FHES": tells a service's SQLite file from others.
SERVICE: Final = Holding(
    "service", "service.db", 0x46484553, Steps(Path(__file__).parent / "migrations", HEAD), 0o600
)


@dataclass(frozen=True)
class Service:
    """An open service folder; safe to use from several threads."""

    folder: Path
    database: Database

    @property
    def url(self) -> str | None:
        """Of the PostgreSQL database, with its password; None: SQLite."""
        if self.database.is_sqlite:
            return None
        return self.database.engine.url.render_as_string(hide_password=False)

    @property
    def blobs(self) -> Blobs:
        """All container files."""
        return Blobs(self.database, self.folder)

    @property
    def galleries(self) -> Galleries:
        """All galleries."""
        return Galleries(self.database, self.folder, self.url)

    def close(self) -> None:
        """Close all connections."""
        self.database.engine.dispose()

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()


def exists(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a service."""
    return any(os.path.lexists(Path(folder) / name) for name in (SERVICE.file, SERVER))


def create_service(folder: str | os.PathLike[str], url: str | None = None) -> Service:
    """Make an empty service in a folder, which is made (mode 0700) where it is missing.

    url: of a PostgreSQL database; without one, rows are in a SQLite file.

    Raises:
        StoreError: there is one already, or the database cannot be made.
        FileError: the folder cannot be written.
    """
    place = Path(folder)
    make_private_folder(place)
    create_database(place, url, lambda _connection: None, SERVICE)
    return open_service(place)


def open_service(folder: str | os.PathLike[str]) -> Service:
    """Open a service; an older schema is upgraded, after a copy of a SQLite file.

    Raises:
        StoreError: there is none, it cannot be reached, or it is newer than this program.
    """
    return Service(Path(folder), open_database(Path(folder), SERVICE))


def make_or_open(folder: str | os.PathLike[str], url: str | None = None) -> Service:
    """The service of a folder, made where there is none. Errors as of both.

    url: for `create_service`; a service that exists has its database.
    """
    return open_service(folder) if exists(folder) else create_service(folder, url)
