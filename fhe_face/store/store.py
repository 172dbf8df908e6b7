"""A gallery's store: rows in SQLite or PostgreSQL, blocks in files beside them.

It knows no faces and no keys: records, names, reasons, settings and blocks are sealed bytes.
Several threads and processes may use one store at once; their writes come one after another.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from sqlalchemy import Connection, select

from fhe_core.files import explain
from fhe_face.store import placing, purging, reading
from fhe_face.store.backup import back_up, restore
from fhe_face.store.blocks import Writer
from fhe_face.store.checking import Finding, check
from fhe_face.store.errors import Conflict, DamagedBlock
from fhe_face.store.facts import facts_of, facts_text
from fhe_face.store.opening import BLOCKS, create_database, open_database
from fhe_face.store.people import People
from fhe_face.store.repairing import Repaired, repair
from fhe_face.store.resealing import Replacement, replace_all
from fhe_face.store.rows import (
    Block,
    Counts,
    Entry,
    NewBlock,
    Owner,
    Purged,
    State,
    Swept,
)
from fhe_face.store.tables import gallery

DAY_SECONDS: Final = 86400.0


class Store(People):
    """An open store; a process that was forked opens it anew.

    Every method may raise StoreError: the database cannot be used. foreign: whether it is somebody
    else's, as one at a server is.
    """

    foreign: Final = False

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        facts: Mapping[str, Any],
        settings: bytes,
        url: str | None = None,
    ) -> Store:
        """Make an empty store in a folder, which is made where it is missing.

        facts: JSON; "mode" says who owns entries: "mean" (subjects) or "each" (templates).
        settings: sealed. url: of a PostgreSQL database; without one, rows are in a SQLite file.

        Raises:
            StoreError: there is a store already, or the database cannot be made.
            FileError: the folder cannot be written.
        """
        text = facts_text(facts)

        def fill(connection: Connection) -> None:
            row = {"number": 1, "version": 1, "changes": 1, "facts": text, "settings": settings}
            connection.execute(gallery.insert(), row)

        place = Path(folder)
        try:
            (place / BLOCKS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise explain(place, "make the folder", error) from error
        create_database(place, url, fill)
        return cls.open(place)

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Store:
        """Open a store; an older schema is upgraded, after a copy of a SQLite file.

        Raises:
            StoreError: there is none, it cannot be reached, or it is newer than this program.
        """
        return cls(Path(folder), open_database(Path(folder)))

    def close(self) -> None:
        """Close all connections."""
        self._database.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- The gallery ---------------------------------------------------------------------------

    @property
    def facts(self) -> dict[str, Any]:
        """What the gallery says about itself."""
        return facts_of(str(self._gallery().facts))

    @property
    def settings(self) -> bytes:
        """The sealed settings."""
        return bytes(self._gallery().settings)

    @property
    def version(self) -> int:
        """Grows when blocks, settings or facts change."""
        return self.state().version

    def state(self) -> State:
        """How far the store has come; cheap, to see whether something has changed."""
        row = self._gallery()
        return State(int(row.version), int(row.changes))

    def counts(self) -> Counts:
        """How much there is."""
        return reading.counts(self._database)

    def _gallery(self) -> Any:
        with self._database.reading() as connection:
            return connection.execute(select(gallery)).one()

    # --- The index -----------------------------------------------------------------------------

    def pending(self) -> Iterator[Owner]:
        """The owners with live templates and no entry, in the order of adding."""
        return reading.pending_owners(self._database)

    def blocks(self) -> list[Block]:
        """All blocks, in the order of adding; their files are not looked at."""
        return reading.all_blocks(self._database)

    def entries(self, digest: str) -> list[Entry]:
        """The live positions of a block, ascending. NotStored: there is no such block."""
        return reading.entries_of(self._database, digest)

    def block_path(self, digest: str) -> Path:
        """Where a block's file is, whether it is there or not."""
        return self._files.path(digest)

    def read_block(self, digest: str) -> bytes:
        """A block's content.

        Raises:
            Conflict: it was replaced meanwhile; read the list of blocks again.
            DamagedBlock: its file is missing or altered.
        """
        try:
            return self._files.read(digest)
        except DamagedBlock as error:
            if not reading.is_block(self._database, digest):
                raise Conflict(f"block {digest} was replaced: read the blocks again") from error
            raise

    def write_block(self, content: bytes | Writer) -> str:
        """Write a block's file, or have it written; its digest. `replace_blocks` makes it count.

        Raises:
            FileError: it cannot be written (a full disk, for example); nothing is left then.
        """
        return self._files.write(content)

    def replace_blocks(
        self,
        seen_version: int,
        remove: Iterable[str] = (),
        add: Sequence[NewBlock] = (),
        settings: bytes | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> int:
        """Change the index, settings and facts, in one transaction; the new version. The files of
        removed blocks go when it is done.

        An owner's revision must have been read before its templates were: then an entry is never
        made of templates that have changed.

        Raises:
            Conflict: the version has moved, an owner has changed or has a place, or a block or its
                file is gone. Nothing is changed then: read again and try again.
        """
        removed = list(remove)
        with self._database.changing() as change:
            version = placing.replace_blocks(
                change, self._files, seen_version, removed, add, settings, facts
            )
        purging.remove_replaced(self._database, self._files, removed)
        return version

    def replace_all(self, seen_version: int, new: Replacement) -> int:
        """Give every template a new record, in one transaction with all that belongs to it: for new
        keys, a new network or another mode; the new version. All former blocks are removed.

        `new` must have a record for every template, deleted ones too, or name it in `forget`; a
        name for every subject that has one; and as many refusals as there are. Ids stay. Owners
        that get no position wait. Of another mode, no blocks are taken.

        Raises:
            Conflict: as for `replace_blocks`, or something was added meanwhile and has nothing new.
        """
        before = [block.digest for block in self.blocks()]
        with self._database.changing() as change:
            version = replace_all(change, self._files, seen_version, new)
        purging.remove_replaced(self._database, self._files, before)
        return version

    # --- Keeping -------------------------------------------------------------------------------

    def purge(self) -> Purged:
        """Remove for good what is deleted: rows, their traces in the database, and files that
        nothing refers to. `unsealed` names blocks that hold deleted templates still: replace them
        before.

        A writer whose block was not yet referred to gets a Conflict, and writes it again. On
        PostgreSQL the server's own log may keep rows for a while.

        Raises:
            StoreError: another process is reading, or the disk has no room to write the rows anew.
                Run it again then: nothing is lost.
        """
        return purging.purge(self._database, self._files)

    def sweep(self, older_than: float = DAY_SECONDS) -> Swept:
        """Remove files that nothing refers to, and temporary ones, older than so many seconds.

        A younger one may belong to a writer that refers to it next.
        """
        return purging.sweep(self._database, self._files, older_than)

    def check(self) -> list[Finding]:
        """What is wrong; changes nothing. `check(folder)` looks also where `open` fails."""
        return check(self.folder)

    def repair(self) -> Repaired:
        """Mend what needs no key: rows that contradict each other, and blocks that are damaged. The
        owners of ended entries wait, so that a client seals them again.
        """
        return repair(self.folder, self._database, self._files)

    def backup(self, target: str | os.PathLike[str], also: Sequence[str] = ()) -> None:
        """Copy the store as of one moment into a new folder, whoever writes meanwhile.

        also: names of other files of the store's folder that belong to it. Blocks are hard links
        where the file system has them: a copy of the backup on another disk protects from this one.

        Raises:
            StoreError: `target` exists. DamagedBlock: a block cannot be copied.
            FileError: it cannot be written. Nothing is left of it then.
        """
        back_up(self._database, self.folder, Path(target), also)

    @classmethod
    def restore(
        cls,
        backup: str | os.PathLike[str],
        folder: str | os.PathLike[str],
        url: str | None = None,
    ) -> Store:
        """Make a store in a new folder from a backup, and open it. url: as for `create`.

        Raises:
            BackupError: the backup is incomplete or altered.
            StoreError: `folder` exists. FileError: it cannot be written. Nothing is left then.
        """
        restore(Path(backup), Path(folder), url)
        return cls.open(folder)
