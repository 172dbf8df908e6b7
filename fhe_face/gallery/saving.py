"""Copies of a gallery: what the server has, and the key, in one folder that opens elsewhere.

BACKUP/client/   gallery.key and its ledger
BACKUP/server/   rows and blocks as of one moment (`Store.backup`)
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from fhe_core.files import read_bounded, shown, write_whole
from fhe_face.client.ledger import LedgerError
from fhe_face.gallery.creating import backup_of
from fhe_face.gallery.folders import Folder, new_folder
from fhe_face.gallery.opened import Opened
from fhe_face.keyfile import EVALUATION_KEY
from fhe_face.store import Store

_LARGEST_KEY: Final = 64 << 20


def back_up(opened: Opened, target: Path) -> None:
    """Copy an open gallery into a new folder, whoever writes meanwhile.

    Raises:
        FileError: the folder is not empty, or cannot be written. Nothing is left then.
        StoreError, DamagedBlock: the store cannot be copied.
    """
    with new_folder(target) as folder:
        opened.store.backup(folder.server, also=[EVALUATION_KEY])
        copy_client(opened.folder, folder)


def restore(
    backup: str | os.PathLike[str], target: str | os.PathLike[str], url: str | None
) -> None:
    """Make a gallery in a new folder from a backup; url: of a PostgreSQL database.

    Raises:
        GalleryError: it is no backup. BackupError: it is incomplete or altered.
        FileError: the folder is not empty, or cannot be written. Nothing is left then.
    """
    source = backup_of(backup)
    with new_folder(target) as folder:
        Store.restore(source.server, folder.server, url).close()
        copy_client(source, folder)


def copy_client(source: Folder, target: Folder) -> None:
    """The key and its ledger. FileError, LedgerError: they cannot be copied."""
    write_whole(target.key, read_bounded(source.key, _LARGEST_KEY), private=True, overwrite=False)
    if source.ledger.is_file():
        write_whole(target.ledger, b"", private=True, overwrite=False)
        try:
            with (
                closing(sqlite3.connect(source.ledger)) as old,
                closing(sqlite3.connect(target.ledger)) as new,
            ):
                old.backup(new)  # also while somebody counts
        except sqlite3.Error as error:
            raise LedgerError(f"{shown(source.ledger)}: cannot be copied ({error})") from error
