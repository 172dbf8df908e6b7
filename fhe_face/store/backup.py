"""Backups: a folder that is a store by itself (rows in SQLite), and a list of what belongs to it.

They do not depend on the database: any can be restored into SQLite and into PostgreSQL.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from fhe_core.errors import Failure
from fhe_core.files import (
    FileError,
    explain,
    open_regular,
    read_bounded,
    reason_of,
    shown,
    sync_folder,
    write_whole,
)
from fhe_face.store.blocks import BlockFiles
from fhe_face.store.copying import copy_rows
from fhe_face.store.database import Database, sqlite_database
from fhe_face.store.errors import BackupError, DamagedBlock, StoreError
from fhe_face.store.migrating import bring_up_to_date, upgrade
from fhe_face.store.opening import (
    BLOCKS,
    DATABASE,
    SERVER,
    checked_url,
    fresh_schema,
    fresh_sqlite,
    new_schema,
    remove_sqlite,
    write_server_file,
)
from fhe_face.store.reading import block_digests, is_block

MANIFEST: Final = "backup.json"

_FORMAT: Final = "fhe-face gallery backup"
_VERSION: Final = 1
_LARGEST_MANIFEST: Final = 1 << 28
_PIECE: Final = 1 << 20
#: What a backup holds: sizes and digests by name.
Files = Mapping[str, tuple[int, str]]

_ATTEMPTS: Final = 5
_BLOCK_NAME: Final = re.compile(rf"{BLOCKS}/([0-9a-f]{{2}})/\1[0-9a-f]{{62}}")
_OURS: Final = (DATABASE, SERVER, MANIFEST, BLOCKS)
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")


# --- Backing up ----------------------------------------------------------------------------------


def back_up(database: Database, folder: Path, target: Path, also: Sequence[str]) -> None:
    """See `Store.backup`."""
    for name in also:
        if not _PLAIN_NAME.fullmatch(name) or name in _OURS:
            raise StoreError(f"{name!r}: no file of the store's folder that could go along")
    with whole_folder(target) as work:
        for attempt in range(_ATTEMPTS):
            try:
                _copy_snapshot(database, folder, work)
                break
            except DamagedBlock as error:
                # It may have been replaced and swept since the snapshot: then a new one has others.
                if attempt + 1 == _ATTEMPTS or is_block(database, error.digest):
                    raise
                shutil.rmtree(work)
                work.mkdir()
        for name in also:
            copy_file(folder / name, work / name)
        _write_manifest(work)


def _copy_snapshot(database: Database, folder: Path, work: Path) -> None:
    with database.snapshot() as source:
        # Files first: the rows take longer, and replaced blocks may be swept meanwhile.
        for digest in block_digests(source):
            _link_block(BlockFiles(folder / BLOCKS), BlockFiles(work / BLOCKS), digest)
        (work / DATABASE).touch()
        with fresh_sqlite(work / DATABASE) as copy, copy.locked() as target:
            upgrade(target)
            copy_rows(source, target)


def _link_block(source: BlockFiles, target: BlockFiles, digest: str) -> None:
    """A hard link where the file system has them: a block never changes."""
    path = target.path(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.path(digest), path)
    except OSError:
        source.verify(digest)
        copy_file(source.path(digest), path)
    target.verify(digest)


def _write_manifest(work: Path) -> None:
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(path for path in work.rglob("*") if path.is_file()):
        digest, size = _digest_of(path)
        files[path.relative_to(work).as_posix()] = {"bytes": size, "sha256": digest}
    content = {"format": _FORMAT, "version": _VERSION, "files": files}
    write_whole(work / MANIFEST, json.dumps({**content, "sha256": _seal(content)}).encode())


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


# --- Restoring -----------------------------------------------------------------------------------


def restore(source: Path, folder: Path, url: str | None) -> None:
    """See `Store.restore`."""
    files = _manifest(source)
    if url is None:
        with whole_folder(folder) as work:
            _copy_verified(source, files, work)
        return
    checked, schema = checked_url(url), new_schema()
    with fresh_schema(checked, schema) as database, whole_folder(folder) as work:
        _copy_verified(source, files, work)
        with _rows_of(work / DATABASE) as rows, database.locked() as target:
            upgrade(target)
            copy_rows(rows, target)
        remove_sqlite(work / DATABASE)
        write_server_file(work / SERVER, checked, schema)


def _copy_verified(source: Path, files: Files, work: Path) -> None:
    (work / BLOCKS).mkdir()
    for name, (size, digest) in files.items():
        target = work / name
        target.parent.mkdir(exist_ok=True)
        try:
            copy_file(source / name, target)
        except FileError as error:
            raise BackupError(f"{shown(source / name)}: {error.reason}") from error
        if _digest_of(target) != (digest, size):
            raise BackupError(f"{shown(source / name)}: is not what was backed up")


@contextmanager
def _rows_of(path: Path) -> Iterator[Connection]:
    database = sqlite_database(path)
    try:
        bring_up_to_date(database, None)
        with database.snapshot() as connection:
            yield connection
    finally:
        database.engine.dispose()


def _manifest(source: Path) -> Files:
    """The files of a backup, each with size and digest. BackupError: the list is damaged."""
    path = source / MANIFEST
    try:
        content = json.loads(read_bounded(path, _LARGEST_MANIFEST))
        seal = content.pop("sha256")
        files = {str(n): (int(f["bytes"]), str(f["sha256"])) for n, f in content["files"].items()}
    except OSError as error:
        raise BackupError(
            f"{shown(source)}: is no backup: {MANIFEST}: {reason_of(error)}"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"{shown(path)}: is damaged") from error
    if content.get("format") != _FORMAT or content.get("version") != _VERSION:
        raise BackupError(f"{shown(path)}: is no backup of version {_VERSION}")
    names = all(name == DATABASE or _may_be(name) for name in files)
    if seal != _seal(content) or DATABASE not in files or not names:
        raise BackupError(f"{shown(path)}: is damaged")
    return files


def _may_be(name: str) -> bool:
    """Whether a backup may hold a file of this name: it decides where a file is written."""
    return bool(_BLOCK_NAME.fullmatch(name) or _PLAIN_NAME.fullmatch(name)) and name not in _OURS


# --- Folders and files ---------------------------------------------------------------------------


@contextmanager
def whole_folder(target: Path, mode: int = 0o777) -> Iterator[Path]:
    """A folder that gets its name at the end of the block, on the disk then, or is removed."""
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise StoreError(f"{shown(target)}: exists already; name a new folder")
        target = target.absolute()
        work = target.with_name(f".{target.name[:200]}.{secrets.token_hex(8)}.tmp")
        work.mkdir(mode)
        try:
            yield work
            for path in (work, *work.rglob("*")):
                if path.is_dir():
                    sync_folder(path)
            os.rename(work, target)
            sync_folder(target.parent)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    except OSError as error:
        if isinstance(error, Failure):
            raise
        raise explain(target, "write", error) from error


def copy_file(source: Path, target: Path) -> None:
    with open_regular(source) as incoming, target.open("xb") as outgoing:
        shutil.copyfileobj(incoming, outgoing, _PIECE)
        outgoing.flush()
        os.fsync(outgoing.fileno())


def _digest_of(path: Path) -> tuple[str, int]:
    hasher, size = hashlib.sha256(), 0
    with open_regular(path) as stream:
        while piece := stream.read(_PIECE):
            hasher.update(piece)
            size += len(piece)
    return hasher.hexdigest(), size
