"""Mending what can be mended without the client's key."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from fhe_face.store.blocks import BlockFiles
from fhe_face.store.changing import stale, touch
from fhe_face.store.checking import (
    Finding,
    check,
    damaged_blocks,
    outside,
    wrongly_marked,
)
from fhe_face.store.database import Change, Database
from fhe_face.store.placing import remove_blocks, set_version
from fhe_face.store.purging import sweep
from fhe_face.store.reading import block_digests, owners_table
from fhe_face.store.tables import EACH, entries, subjects, templates

#: Files that are younger may belong to a writer at work.
YOUNG_SECONDS = 3600.0
#: Merged subjects that refer to merged ones are led to the end of so many.
LONGEST_CHAIN = 20


class Repaired(NamedTuple):
    """What was found before, and what is still found."""

    before: list[Finding]
    after: list[Finding]


def repair(folder: Path, database: Database, files: BlockFiles) -> Repaired:
    """See `Store.repair`."""
    before = check(folder)
    codes = {finding.code for finding in before if finding.mend == "repair"}
    if codes - {"unreferenced-file", "stray-file"}:
        _mend_rows(database, files)
    sweep(database, files, YOUNG_SECONDS)
    return Repaired(before, check(folder))


def _mend_rows(database: Database, files: BlockFiles) -> None:
    # Files are read before the lock is taken: they never change, and it takes long.
    with database.reading() as connection:
        digests = block_digests(connection)
    lost = {error.digest for error in damaged_blocks(files, digests)}
    with database.changing() as change:
        remove_blocks(change, sorted(lost & block_digests(change.connection)))
        _mend_merged(change)
        change.connection.execute(entries.delete().where(stale(change.mode) | outside()))
        owners = owners_table(change.mode)
        wrong = select(owners.c.number).where(wrongly_marked(change.mode))
        touch(change, change.connection.execute(wrong).scalars().all())
        others = subjects if change.mode == EACH else templates
        change.connection.execute(others.update().where(others.c.waiting).values(waiting=False))
        set_version(change, None, None)


def _mend_merged(change: Change) -> None:
    """Rows of merged subjects go to where these were merged into."""
    home = subjects.alias()
    target = (
        select(home.c.merged_into).where(home.c.number == subjects.c.merged_into).scalar_subquery()
    )
    onward = select(home.c.number).where(home.c.merged_into.is_not(None))
    twice = subjects.c.merged_into.in_(onward)
    for _ in range(LONGEST_CHAIN):
        change.connection.execute(subjects.update().where(twice).values(merged_into=target))
    # What is left goes in circles: these are subjects again.
    circles = list(change.connection.execute(select(subjects.c.number).where(twice)).scalars())
    change.connection.execute(
        subjects.update().where(subjects.c.number.in_(circles)).values(merged_into=None)
    )
    of_face = select(home.c.merged_into).where(home.c.number == templates.c.subject)
    moved = templates.c.subject.in_(onward)
    found = change.connection.execute(
        select(templates.c.subject, of_face.scalar_subquery()).where(moved).distinct()
    ).all()
    change.connection.execute(
        templates.update().where(moved).values(subject=of_face.scalar_subquery())
    )
    if change.mode != EACH:
        touch(change, {int(number) for row in found for number in row})
