"""Removing for good: deleted rows, what databases keep of them, and files without a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, func, select

from fhe_core.files import explain
from fhe_face.store.blocks import BlockFiles
from fhe_face.store.database import Change, Database, run_alone
from fhe_face.store.errors import StoreError
from fhe_face.store.migrating import BACKUP_MARK
from fhe_face.store.opening import DATABASE
from fhe_face.store.reading import all_blocks, block_digests
from fhe_face.store.rows import Purged, Swept
from fhe_face.store.tables import ALL, gallery, subjects, templates

#: Also files whose clock is ahead of ours.
ANY_AGE: Final = -math.inf


def purge(database: Database, files: BlockFiles) -> Purged:
    """See `Store.purge`."""
    with database.changing() as change:
        removed_templates, removed_subjects = _remove_rows(change)
    rewrite(database)
    _remove_copies(files)
    swept = sweep(database, files, ANY_AGE)
    unsealed = [block.digest for block in all_blocks(database) if block.live < block.count]
    return Purged(removed_subjects, removed_templates, swept.files, unsealed)


def _remove_rows(change: Change) -> tuple[int, int]:
    """How many templates and subjects are gone; none of them has an entry."""
    run = change.connection.execute
    gone = select(subjects.c.number).where(subjects.c.deleted)
    faces = templates.c.deleted | templates.c.subject.in_(gone)
    people = subjects.c.deleted & subjects.c.merged_into.is_(None)
    counted = (
        run(select(func.count()).select_from(templates).where(faces)).scalar_one(),
        run(select(func.count()).select_from(subjects).where(people)).scalar_one(),
    )
    run(templates.delete().where(faces))
    run(subjects.delete().where(subjects.c.merged_into.in_(gone)))
    run(subjects.delete().where(people))
    return int(counted[0]), int(counted[1])


def rewrite(database: Database) -> None:
    """Write all tables anew, so that no page or log keeps a removed row.

    Raises:
        StoreError: another process reads what was before, or the disk has no room for a copy.
    """
    if not database.is_sqlite:
        names = [table.name for table in ALL]
        run_alone(database, lambda: iter(f'VACUUM FULL "{name}"' for name in names))
        return
    # secure_delete writes zeros over what is removed, but not over copies that moving a row between
    # pages has left behind.
    [[busy, *_]] = run_alone(database, lambda: iter(("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")))
    if busy:
        raise StoreError(
            f"{database.place}: another process is reading, so that removed rows are still in the "
            "log; run this again when it has ended"
        )


def sweep(database: Database, files: BlockFiles, older_than: float) -> Swept:
    """See `Store.sweep`. Nobody refers to a file while it is removed: that needs the same lock."""
    with database.locked() as connection:
        try:
            return files.sweep(_referenced(connection), older_than)
        except OSError as error:
            raise explain(files.folder, "remove a block from", error) from error


def remove_replaced(database: Database, files: BlockFiles, digests: Sequence[str]) -> None:
    """Remove the files of blocks that were replaced, unless somebody has added one again."""
    with database.locked() as connection:
        for digest in set(digests) - _referenced(connection):
            files.remove(digest)


def _referenced(connection: Connection) -> set[str]:
    """All blocks; nobody adds one until the transaction ends."""
    connection.execute(select(gallery.c.number).with_for_update()).one()
    return block_digests(connection)


def _remove_copies(files: BlockFiles) -> None:
    """Copies of the database from before an upgrade."""
    folder = files.folder.parent
    for path in folder.glob(f"{DATABASE}{BACKUP_MARK}*"):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise explain(path, "remove", error) from error
