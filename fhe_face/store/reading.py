"""What a store holds.

Long lists come in pages, each a short transaction of its own: nobody who writes waits for a reader,
and nothing is loaded at once. A row that is there all the time comes exactly once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from fhe_face.store.database import Database
from fhe_face.store.errors import NotStored
from fhe_face.store.facts import mode_of
from fhe_face.store.rows import (
    Block,
    Counts,
    Entry,
    Owner,
    Placed,
    Refusal,
    StoredSubject,
    StoredTemplate,
)
from fhe_face.store.tables import MEAN, blocks, entries, gallery, refusals, subjects, templates

Item = TypeVar("Item")
#: Values in one IN list: both databases take more.
CHUNK: Final = 2000
PAGE: Final = 5000


def chunks(items: Iterable[Item], size: int = CHUNK) -> Iterator[list[Item]]:
    """The items in lists of at most `size`."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def owners_table(mode: str) -> Any:
    """The table whose rows own entries."""
    return subjects if mode == MEAN else templates


def pages(database: Database, query: Any, key: ColumnElement[Any], size: int) -> Iterator[Any]:
    """The rows of a query by pages; its first column is `key`, ascending."""
    found = query.order_by(key).limit(size)
    rows: Sequence[Any] = ()
    while True:
        following = found.where(key > rows[-1][0]) if rows else found
        with database.reading() as connection:
            rows = connection.execute(following).all()
        yield from rows
        if len(rows) < size:
            return


# --- Subjects and templates ----------------------------------------------------------------------

_LIVE_TEMPLATES: Final = (
    select(func.count())
    .select_from(templates)
    .where(templates.c.subject == subjects.c.number, ~templates.c.deleted)
    .scalar_subquery()
)
_SUBJECTS: Final = select(
    subjects.c.number, subjects.c.id, subjects.c.name, _LIVE_TEMPLATES, subjects.c.deleted
).where(subjects.c.merged_into.is_(None))
_TEMPLATES: Final = select(
    templates.c.number,
    templates.c.id,
    subjects.c.id,
    templates.c.source,
    templates.c.record,
    or_(templates.c.deleted, subjects.c.deleted),
    templates.c.added,
).join_from(templates, subjects, templates.c.subject == subjects.c.number)
_LIVE: Final = and_(~templates.c.deleted, ~subjects.c.deleted)


def subject_number(connection: Connection, id: str) -> int:
    """The number of a subject, or of the one that it was merged into. NotStored: there is none."""
    number = func.coalesce(subjects.c.merged_into, subjects.c.number)
    found = connection.execute(select(number).where(subjects.c.id == id)).scalar()
    if found is None:
        raise NotStored(f"there is no subject {id!r}")
    return int(found)


def one_subject(database: Database, id: str) -> StoredSubject:
    """See `Store.subject`."""
    with database.reading() as connection:
        number = subject_number(connection, id)
        return _subject(connection.execute(_SUBJECTS.where(subjects.c.number == number)).one())


def all_subjects(database: Database, include_deleted: bool) -> Iterator[StoredSubject]:
    """See `Store.subjects`."""
    query = _SUBJECTS if include_deleted else _SUBJECTS.where(~subjects.c.deleted)
    return map(_subject, pages(database, query, subjects.c.number, PAGE))


def merged_subjects(database: Database) -> list[tuple[str, str]]:
    """See `Store.merged`."""
    home = subjects.alias()
    query = (
        select(subjects.c.id, home.c.id)
        .join_from(subjects, home, home.c.number == subjects.c.merged_into)
        .order_by(subjects.c.number)
    )
    with database.reading() as connection:
        return [(str(id), str(into)) for id, into in connection.execute(query)]


def one_template(database: Database, id: str) -> StoredTemplate:
    """See `Store.template`."""
    with database.reading() as connection:
        row = connection.execute(_TEMPLATES.where(templates.c.id == id)).first()
    if row is None:
        raise NotStored(f"there is no template {id!r}")
    return _template(row)


def all_templates(
    database: Database, subject: str | None, include_deleted: bool, batch: int
) -> Iterator[StoredTemplate]:
    """See `Store.templates`."""
    query = _TEMPLATES if include_deleted else _TEMPLATES.where(_LIVE)
    if subject is not None:
        with database.reading() as connection:
            query = query.where(templates.c.subject == subject_number(connection, subject))
    return map(_template, pages(database, query, templates.c.number, batch))


def templates_of(
    database: Database, owners: Iterable[str]
) -> Iterator[tuple[str, list[StoredTemplate]]]:
    """See `Store.templates_of`."""
    for chunk in chunks(owners):
        found: dict[str, list[StoredTemplate]] = {id: [] for id in chunk}
        with database.reading() as connection:
            table = owners_table(_mode(connection))
            query = _TEMPLATES.where(_LIVE, table.c.id.in_(found)).order_by(templates.c.number)
            for row in connection.execute(query):
                template = _template(row)
                found[template.subject if table is subjects else template.id].append(template)
        for id in chunk:
            yield id, found[id]


def known_sources(database: Database) -> set[str]:
    """See `Store.sources`."""
    queries = (
        select(templates.c.source).where(templates.c.source.is_not(None)),
        select(refusals.c.source),
    )
    with database.reading() as connection:
        return {source for query in queries for source in connection.execute(query).scalars()}


def from_sources(database: Database, sources: Iterable[str]) -> dict[str, list[Placed]]:
    """See `Store.from_sources`."""
    found: dict[str, list[Placed]] = {}
    deleted = or_(templates.c.deleted, subjects.c.deleted)
    query = (
        select(templates.c.source, templates.c.id, subjects.c.id, deleted)
        .join_from(templates, subjects, templates.c.subject == subjects.c.number)
        .order_by(templates.c.number)
    )
    for chunk in chunks(sources):
        with database.reading() as connection:
            for source, *rest in connection.execute(query.where(templates.c.source.in_(chunk))):
                id, subject, gone = rest
                found.setdefault(source, []).append(Placed(id, subject, bool(gone)))
    return found


def all_refusals(database: Database) -> list[Refusal]:
    """See `Store.refusals`."""
    with database.reading() as connection:
        rows = connection.execute(select(refusals).order_by(refusals.c.source)).all()
    return [Refusal(str(row.source), bytes(row.reason)) for row in rows]


def _subject(row: Any) -> StoredSubject:
    _, id, name, live, deleted = row
    return StoredSubject(id, None if name is None else bytes(name), int(live), bool(deleted))


def _template(row: Any) -> StoredTemplate:
    _, id, subject, source, record, deleted, added = row
    return StoredTemplate(id, subject, source, bytes(record), bool(deleted), int(added))


# --- The index -----------------------------------------------------------------------------------


def pending_owners(database: Database) -> Iterator[Owner]:
    """See `Store.pending`."""
    with database.reading() as connection:
        table = owners_table(_mode(connection))
    query = select(table.c.number, table.c.id, table.c.revision).where(table.c.waiting)
    for _, id, revision in pages(database, query, table.c.number, PAGE):
        yield Owner(id, int(revision))


def all_blocks(database: Database) -> list[Block]:
    """See `Store.blocks`."""
    live = select(entries.c.block, func.count().label("live")).group_by(entries.c.block).subquery()
    query = (
        select(blocks.c.digest, blocks.c.number, blocks.c.count, func.coalesce(live.c.live, 0))
        .outerjoin_from(blocks, live, blocks.c.number == live.c.block)
        .order_by(blocks.c.number)
    )
    with database.reading() as connection:
        return [
            Block(digest, int(number), int(count), int(live))
            for digest, number, count, live in connection.execute(query)
        ]


def block_digests(connection: Connection) -> set[str]:
    """The names of all blocks."""
    return set(connection.execute(select(blocks.c.digest)).scalars())


def is_block(database: Database, digest: str) -> bool:
    """Whether a block is in the index."""
    with database.reading() as connection:
        query = select(blocks.c.number).where(blocks.c.digest == digest)
        return connection.execute(query).first() is not None


def entries_of(database: Database, digest: str) -> list[Entry]:
    """See `Store.entries`."""
    with database.reading() as connection:
        number = connection.execute(
            select(blocks.c.number).where(blocks.c.digest == digest)
        ).scalar()
        if number is None:
            raise NotStored(f"there is no block {digest}")
        table = owners_table(_mode(connection))
        query = (
            select(entries.c.position, table.c.id, entries.c.revision)
            .join_from(entries, table, entries.c.owner == table.c.number)
            .where(entries.c.block == number)
            .order_by(entries.c.position)
        )
        return [
            Entry(position, Owner(id, revision))
            for position, id, revision in connection.execute(query)
        ]


def counts(database: Database) -> Counts:
    """See `Store.counts`."""
    with database.reading() as connection:
        table = owners_table(_mode(connection))

        def count(table: Any, *conditions: ColumnElement[bool]) -> int:
            query = select(func.count()).select_from(table).where(*conditions)
            return int(connection.execute(query).scalar_one())

        people = subjects.c.merged_into.is_(None)
        every, deleted = count(subjects, people), count(subjects, people, subjects.c.deleted)
        joined = templates.join(subjects, templates.c.subject == subjects.c.number)
        total, live = count(templates), count(joined, _LIVE)
        return Counts(
            subjects=every - deleted,
            templates=live,
            deleted_subjects=deleted,
            deleted_templates=total - live,
            pending=count(table, table.c.waiting),
            entries=count(entries),
            blocks=count(blocks),
            refusals=count(refusals),
        )


def _mode(connection: Connection) -> str:
    return mode_of(connection.execute(select(gallery.c.facts)).scalar_one())
