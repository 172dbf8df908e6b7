"""Galleries of tenants: each is a folder of `fhe_face.store`, found by its row."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select, text

from fhe_core.files import explain
from fhe_face.keyfile import EVALUATION_KEY, NEXT, evaluation_key_of
from fhe_face.service.errors import Busy, NotHere, OtherContent
from fhe_face.service.folders import make_private_folder
from fhe_face.service.rows import checked_id, now
from fhe_face.service.tables import galleries
from fhe_face.service.tenants import require_room, tenant_locked
from fhe_face.store.database import Database
from fhe_face.store.opening import find_database
from fhe_face.store.resealing import Replacement
from fhe_face.store.store import Store

FOLDER: Final = "galleries"


@dataclass(frozen=True)
class GalleryRow:
    """A gallery as the service knows it. bytes: of its block files."""

    id: str
    folder: Path
    key_id: str
    bytes: int
    created: int


class Galleries:
    """The galleries of all tenants; every method is about one tenant's."""

    def __init__(self, database: Database, folder: Path, url: str | None) -> None:
        """url: of the PostgreSQL database that galleries are kept in; None: SQLite files."""
        self._database = database
        self._folder = folder / FOLDER
        self._url = url

    def find(self, tenant: str, id: str) -> GalleryRow:
        """A gallery. NotHere: this tenant has none of that name."""
        with self._database.reading() as connection:
            row = connection.execute(_one(tenant, id)).first()
        if row is None:
            raise NotHere("there is no gallery of this name")
        return self._row(row)

    def all(self, tenant: str) -> list[GalleryRow]:
        """By name."""
        query = select(galleries).where(galleries.c.tenant == tenant).order_by(galleries.c.id)
        with self._database.reading() as connection:
            return [self._row(row) for row in connection.execute(query)]

    def folder(self, tenant: str, id: str) -> Path:
        """Where a gallery's store is. NotHere: there is none."""
        return self.find(tenant, id).folder

    def open(self, tenant: str, id: str) -> Store:
        """A gallery's store, to be closed. NotHere: there is none. StoreError: see `Store.open`."""
        return Store.open(self.folder(tenant, id))

    def create(
        self,
        tenant: str,
        id: str,
        facts: Mapping[str, Any],
        settings: bytes,
        keys: Path,
        key_id: str,
    ) -> bool:
        """Make a gallery with a copy of its evaluation keys; whether it is new.

        Raises:
            OtherContent: there is one of that name with other facts, or for another key.
            StoreError, FileError: it cannot be made; nothing is left then.
        """
        checked_id(id)
        folder = self._folder / tenant / secrets.token_hex(16)
        with self._database.reading() as connection:
            known = connection.execute(_one(tenant, id)).first() is not None
        if known:
            self._require_same(tenant, id, facts, key_id)
            return False
        try:
            self._fill(folder, facts, settings, keys)
            with tenant_locked(self._database, tenant) as connection:
                known = connection.execute(_one(tenant, id)).first() is not None
                if not known:
                    row = {"tenant": tenant, "id": id, "folder": folder.name, "key_id": key_id}
                    connection.execute(galleries.insert().values(**row, bytes=0, created=now()))
        except BaseException:
            self._remove(folder)
            raise
        if known:  # somebody was quicker
            self._remove(folder)
            self._require_same(tenant, id, facts, key_id)
        return not known

    def delete(self, tenant: str, id: str) -> None:
        """Remove a gallery with everything in it. NotHere: there is none."""
        found = self.find(tenant, id)
        with tenant_locked(self._database, tenant) as connection:
            connection.execute(
                galleries.delete().where(galleries.c.tenant == tenant, galleries.c.id == id)
            )
        self._remove(found.folder)

    def replace_all(
        self, tenant: str, id: str, seen_version: int, new: Replacement, keys: Path | None
    ) -> int:
        """As `Store.replace_all`; the new version. keys: the evaluation keys of a new key.

        The new keys lie beside the old ones until the rows say which count: after a crash whoever
        opens the gallery sees it (`evaluation_key_of`).

        Raises:
            NotHere: there is none. Busy: it is being given new records by another request.
            Conflict, StoreError, FileError: as `Store.replace_all`; nothing has changed.
        """
        found = self.find(tenant, id)
        with _alone(found.folder), Store.open(found.folder) as store:
            before = sum(block_bytes(store, block.digest) for block in store.blocks())
            if keys is not None:
                _settle(found.folder, store)
                _put_next(found.folder, keys)
            try:
                version = store.replace_all(seen_version, new)
            finally:
                key_id = _settle(found.folder, store)
        with tenant_locked(self._database, tenant) as connection:
            chosen = galleries.c.tenant == tenant, galleries.c.id == id
            values = {"bytes": galleries.c.bytes - before, "key_id": key_id or found.key_id}
            connection.execute(galleries.update().where(*chosen).values(values))
        return version

    def reserve(self, tenant: str, id: str, more: int) -> None:
        """Count bytes of a block. OverQuota: the tenant has no room. NotHere: no such gallery."""
        with tenant_locked(self._database, tenant) as connection:
            require_room(connection, tenant, more)
            if not _add(connection, tenant, id, more):
                raise NotHere("there is no gallery of this name")

    def release(self, tenant: str, id: str, less: int) -> None:
        """Give back what `reserve` counted."""
        with tenant_locked(self._database, tenant) as connection:
            _add(connection, tenant, id, -less)

    def recount(self, tenant: str, gallery: GalleryRow) -> None:
        """Remove block files that nothing refers to, and count those that are there."""
        with Store.open(gallery.folder) as store:
            store.sweep()
            paths = [store.block_path(block.digest) for block in store.blocks()]
        size = sum(path.stat().st_size for path in paths if path.exists())
        chosen = galleries.c.tenant == tenant, galleries.c.id == gallery.id
        with tenant_locked(self._database, tenant) as connection:
            connection.execute(galleries.update().where(*chosen).values(bytes=size))

    def _fill(self, folder: Path, facts: Mapping[str, Any], settings: bytes, keys: Path) -> None:
        make_private_folder(folder)
        try:
            # A copy, not a link: a gallery is a folder that can be moved to another disk.
            shutil.copyfile(keys, folder / EVALUATION_KEY)
        except OSError as error:
            raise explain(folder, "write into", error) from error
        Store.create(folder, facts, settings, self._url).close()

    def _require_same(self, tenant: str, id: str, facts: Mapping[str, Any], key_id: str) -> None:
        found = self.find(tenant, id)
        with Store.open(found.folder) as store:
            if found.key_id != key_id or store.facts != dict(facts):
                raise OtherContent("there is a gallery of this name with other facts")

    def _remove(self, folder: Path) -> None:
        """The folder, and the schema that it has in PostgreSQL."""
        if self._url is not None:
            with suppress(Exception):  # what is left is one schema that nobody names
                drop_schema(folder)
        shutil.rmtree(folder, ignore_errors=True)

    def _row(self, row: Any) -> GalleryRow:
        place = self._folder / str(row.tenant) / str(row.folder)
        return GalleryRow(row.id, place, row.key_id, row.bytes, row.created)


def block_bytes(store: Store, digest: str) -> int:
    """Of a block's file; 0 where there is none."""
    try:
        return store.block_path(digest).stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other request gives the gallery new records in this block. Busy: one does."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Busy("the gallery is being given new records by another request", 5.0) from None
    finally:
        os.close(held)


def _put_next(folder: Path, keys: Path) -> None:
    after = folder / f"{EVALUATION_KEY}{NEXT}"
    try:
        shutil.copyfile(keys, after)
        with after.open("rb") as stream:
            os.fsync(stream.fileno())
    except OSError as error:
        with suppress(OSError):
            after.unlink()
        raise explain(folder, "write into", error) from error


def _settle(folder: Path, store: Store) -> str | None:
    """Of two files of keys only the one that the rows name stays; the id of that key."""
    said = store.facts.get("key_id")
    after = folder / f"{EVALUATION_KEY}{NEXT}"
    if isinstance(said, str) and evaluation_key_of(folder, said) == after:
        os.replace(after, folder / EVALUATION_KEY)
    with suppress(FileNotFoundError):
        after.unlink()
    return said if isinstance(said, str) else None


def drop_schema(folder: Path) -> None:
    """Remove the schema of a gallery in PostgreSQL, with everything in it."""
    database = find_database(folder)
    try:
        with database.locked() as connection:
            name = connection.execute(text("SELECT current_schema()")).scalar_one()
            connection.execute(text(f'DROP SCHEMA "{name}" CASCADE'))
    finally:
        database.engine.dispose()


def _one(tenant: str, id: str) -> Any:
    return select(galleries).where(galleries.c.tenant == tenant, galleries.c.id == id)


def _add(connection: Connection, tenant: str, id: str, more: int) -> bool:
    chosen = galleries.c.tenant == tenant, galleries.c.id == id
    values = {"bytes": galleries.c.bytes + more}
    return connection.execute(galleries.update().where(*chosen).values(values)).rowcount > 0
