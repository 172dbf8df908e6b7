"""Making an authority's folder, and opening it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from fhe_face.authority.policy import Policy, save_policy
from fhe_face.authority.tables import HEAD
from fhe_face.service.folders import make_private_folder
from fhe_face.store.database import Database
from fhe_face.store.migrating import Steps
from fhe_face.store.opening import Holding, create_database, open_database

#: "FHEU": tells an authority's SQLite file from others.
AUTHORITY: Final = Holding(
    "authority",
    "authority.db",
    0x46484555,
    Steps(Path(__file__).parent / "migrations", HEAD),
    0o600,
)


def create_authority(folder: str | os.PathLike[str], policy: Policy | None = None) -> None:
    """Make an empty authority in a folder, which is made (mode 0700) where it is missing.

    Raises:
        StoreError: there is one already. FileError: the folder cannot be written.
    """
    place = Path(folder)
    make_private_folder(place)
    create_database(place, None, lambda _connection: None, AUTHORITY)
    save_policy(place, policy or Policy())


@contextmanager
def opened(folder: str | os.PathLike[str]) -> Iterator[Database]:
    """The database of an authority, closed at the end.

    Raises:
        StoreError: there is none, or it is newer than this program.
    """
    database = open_database(Path(folder), AUTHORITY)
    try:
        yield database
    finally:
        database.engine.dispose()
