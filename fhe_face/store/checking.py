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
from fhe_face.store.reading import block_digests, owners_table
from fhe_face.store.tables import EACH, HEAD, blocks, entries, gallery, subjects, templates

Severity = Literal["error", "notice"]
Mend = Literal["repair", "backup", "upgrade", "server"]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    code: names the kind, and never changes. severity: "error" (searches miss somebody, or will),
    or "notice" (nothing is wrong yet). about: a digest, a file's name, or how many rows. mend:
    "repair" (the owners of entries that it ends wait for the client to seal them again), "backup"
    (restore one), "upgrade" (the program, or the store by opening it), or "server" (the database
    server must be reached).
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
    try:
        database = find_database(folder, write=False)
    except StoreError as error:
        found.append(Finding("no-database", "error", folder.name, str(error), "backup"))
        return [*found, *_all_files(files)]
    try:
        if _rows(database, found):
            return [*found, *_files(database, files)]
    except StoreError as error:
        mend: Mend = "backup" if database.is_sqlite else "server"
        found.append(Finding("database", "error", folder.name, str(error), mend))
    finally:
        database.engine.dispose()
    return [*found, *_all_files(files)]


# --- Rows ----------------------------------------------------------------------------------------


def _rows(database: Database, found: list[Finding]) -> bool:
    """Look at all rows; whether they say which blocks there are."""
    with database.snapshot() as connection:
        if database.is_sqlite:
            _integrity(connection, found)
        revision = found_revision(connection)
        if revision is None:
            raise StoreError(f"{database.place}: holds no gallery")
        if revision != HEAD:
            told = f"{database.place}: schema {revision}, this program knows {HEAD}"
            found.append(Finding("schema", "error", revision, told, "upgrade"))
            return False
        facts = connection.execute(select(gallery.c.facts)).scalar()
        if facts is None:
            raise StoreError(f"{database.place}: the gallery's own row is missing")
        mode = mode_of(facts)
        for row_check in ROW_CHECKS:
            count = int(connection.execute(row_check.count(mode)).scalar_one())
            if count:
                told = f"{count} {row_check.text}"
                found.append(Finding(row_check.code, "error", str(count), told, "repair"))
    return True


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


def _files(database: Database, files: BlockFiles) -> list[Finding]:
    with database.reading() as connection:
        known = block_digests(connection)
    damaged = list(damaged_blocks(files, known))
    others = [digest for digest in files.names() if digest not in known]
    with database.reading() as connection:  # what was replaced or added meanwhile is in order
        known = block_digests(connection)
    told = "nothing refers to it: a writer was killed, or is at work"
    return [
        *(_damaged(error, "repair") for error in damaged if error.digest in known),
        *(
            Finding("unreferenced-file", "notice", digest, told, "repair")
            for digest in others
            if digest not in known and files.exists(digest)
        ),
        *_strays(files),
    ]


def _all_files(files: BlockFiles) -> list[Finding]:
    """Where rows do not say which files belong: is each what its name says?"""
    damaged = damaged_blocks(files, set(files.names()))
    return [*(_damaged(error, "backup") for error in damaged), *_strays(files)]


def _damaged(error: DamagedBlock, mend: Mend) -> Finding:
    told = f"block {error.digest[:12]} {error.why}"
    return Finding("damaged-block", "error", error.digest, told, mend)


def _strays(files: BlockFiles) -> Iterator[Finding]:
    for path in files.strays():
        told = "a temporary file of a writer that was killed, or is at work"
        yield Finding("stray-file", "notice", path.name, told, "repair")
