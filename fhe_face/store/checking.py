"""Looking for what is wrong with a store, without changing it; also where it cannot be opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, text

from fhe_face.store.blocks import BlockFiles
from fhe_face.store.changing import is_live, stale
from fhe_face.store.database import Database
from fhe_face.store.errors import DamagedBlock, StoreError
from fhe_face.store.facts import mode_of
from fhe_face.store.migrating import found_revision
from fhe_face.store.opening import BLOCKS, find_database
from fhe_face.store.reading import owners_table
from fhe_face.store.tables import EACH, HEAD, blocks, entries, gallery, subjects, templates

Severity = Literal["error", "notice"]
Mend = Literal["repair", "backup", "upgrade"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    code: names the kind, and never changes. severity: "error" (searches miss somebody, or will),
    or "notice" (nothing is wrong yet). about: a digest, a file's name, or how many rows. mend:
    "repair" (the owners of entries that it ends wait for the client to seal them again), "backup"
    (restore one), or "upgrade" (the program, or the store by opening it).
    """

    code: str
    severity: Severity
    about: str
    text: str
    mend: Mend


@dataclass(frozen=True)
class RowCheck:
    """A kind of row that must not be there."""

    code: str
    text: str
    count: Callable[[str], Any]


def check(folder: Path) -> list[Finding]:
    """See `Store.check`."""
    files = BlockFiles(folder / BLOCKS)
    found: list[Finding] = []
    known: set[str] | None = None
    try:
        database = find_database(folder, write=False)
    except StoreError as error:
        found.append(Finding("no-database", "error", folder.name, str(error), "backup"))
    else:
        try:
            known = _database(database, found)
        except StoreError as error:
            found.append(Finding("database", "error", folder.name, str(error), "backup"))
        finally:
            database.engine.dispose()
    found.extend(_all_files(files) if known is None else _files(files, known))
    return found


# --- Rows ----------------------------------------------------------------------------------------


def _database(database: Database, found: list[Finding]) -> set[str] | None:
    """Look at all rows; the digests of all blocks, or None where they cannot be known."""
    with database.snapshot() as connection:
        if database.is_sqlite:
            _integrity(connection, found)
        revision = found_revision(connection)
        if revision is None:
            raise StoreError(f"{database.place}: holds no gallery")
        if revision != HEAD:
            told = f"{database.place}: schema {revision}, this program knows {HEAD}"
            found.append(Finding("schema", "error", revision, told, "upgrade"))
            return None
        facts = connection.execute(select(gallery.c.facts)).scalar()
        if facts is None:
            raise StoreError(f"{database.place}: the gallery's own row is missing")
        mode = mode_of(facts)
        for row_check in ROW_CHECKS:
            count = int(connection.execute(row_check.count(mode)).scalar_one())
            if count:
                told = f"{count} {row_check.text}"
                found.append(Finding(row_check.code, "error", str(count), told, "repair"))
        return set(connection.execute(select(blocks.c.digest)).scalars())


def _integrity(connection: Connection, found: list[Finding]) -> None:
    lines = [str(row[0]) for row in connection.execute(text("PRAGMA integrity_check(10)"))]
    if lines != ["ok"]:
        told = f"the database file is damaged: {lines[0]}"
        found.append(Finding("database", "error", str(len(lines)), told, "backup"))
    broken = connection.execute(text("PRAGMA foreign_key_check")).all()
    if broken:
        told = f"{len(broken)} rows refer to rows that are missing (first: {broken[0][0]})"
        found.append(Finding("reference", "error", str(len(broken)), told, "backup"))


def outside() -> ColumnElement[bool]:
    """Entries at positions that their block does not have."""
    inside = exists().where(
        blocks.c.number == entries.c.block,
        entries.c.position >= 0,
        entries.c.position < blocks.c.count,
    )
    return ~inside


def wrongly_marked(mode: str) -> ColumnElement[bool]:
    """Owners that wait and should not, or should and do not."""
    owners = owners_table(mode)
    has_entry = exists().where(entries.c.owner == owners.c.number)
    should = and_(is_live(mode), ~has_entry)
    return or_(and_(owners.c.waiting, ~should), and_(~owners.c.waiting, should))


def _count_misplaced(_mode: str) -> Any:
    """Templates of merged subjects, and subjects that were merged into merged ones."""
    merged = select(subjects.c.number).where(subjects.c.merged_into.is_not(None))
    faces = select(func.count()).select_from(templates).where(templates.c.subject.in_(merged))
    people = select(func.count()).select_from(subjects).where(subjects.c.merged_into.in_(merged))
    return select(faces.scalar_subquery() + people.scalar_subquery())


def _count_marks(mode: str) -> Any:
    owners = owners_table(mode)
    others = subjects if mode == EACH else templates
    wrong = select(func.count()).select_from(owners).where(wrongly_marked(mode))
    other = select(func.count()).select_from(others).where(others.c.waiting)
    return select(wrong.scalar_subquery() + other.scalar_subquery())


def _count_entries(condition: ColumnElement[bool]) -> Any:
    return select(func.count()).select_from(entries).where(condition)


ROW_CHECKS: Final = (
    RowCheck(
        "stale-entry",
        "positions belong to owners that are deleted or have changed",
        lambda mode: _count_entries(stale(mode)),
    ),
    RowCheck(
        "outside-entry",
        "positions lie outside their block",
        lambda _mode: _count_entries(outside()),
    ),
    RowCheck("waiting-mark", "owners wait and should not, or should and do not", _count_marks),
    RowCheck("merged-subject", "rows belong to subjects that were merged", _count_misplaced),
)


# --- Files ---------------------------------------------------------------------------------------


def damaged_blocks(files: BlockFiles, known: set[str]) -> Iterator[DamagedBlock]:
    """Why each block that cannot be used cannot."""
    for digest in sorted(known):
        try:
            files.verify(digest)
        except DamagedBlock as error:
            yield error


def _files(files: BlockFiles, known: set[str]) -> Iterator[Finding]:
    for error in damaged_blocks(files, known):
        yield Finding("damaged-block", "error", error.digest, str(error), "repair")
    for digest in files.names():
        if digest not in known:
            told = "nothing refers to it: a writer was killed, or it was replaced"
            yield Finding("unreferenced-file", "notice", digest, told, "repair")
    yield from _strays(files)


def _all_files(files: BlockFiles) -> Iterator[Finding]:
    """Where rows do not say which files belong: is each what its name says?"""
    for error in damaged_blocks(files, set(files.names())):
        yield Finding("damaged-block", "error", error.digest, str(error), "backup")
    yield from _strays(files)


def _strays(files: BlockFiles) -> Iterator[Finding]:
    for path in files.strays():
        told = "a temporary file of a writer that was killed, or is at work"
        yield Finding("stray-file", "notice", path.name, told, "repair")
