"""Changes of subjects and templates. Whatever changes the templates of an entry's owner removes the
entry in the same transaction, so that no search ever finds what is deleted or out of date.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, exists, func, select

from fhe_face.store.database import Change
from fhe_face.store.errors import NotStored, StoreError
from fhe_face.store.reading import CHUNK, chunks, owners_table, subject_number
from fhe_face.store.rows import Added, Refusal, Subject, Template
from fhe_face.store.tables import MEAN, entries, refusals, subjects, templates

LONGEST_ID: Final = 512
#: Bytes of a name, a record or a reason.
LARGEST_VALUE: Final = 1 << 20


# --- Adding --------------------------------------------------------------------------------------


def add(
    change: Change,
    people: Iterable[Subject],
    faces: Iterable[Template],
    refused: Iterable[Refusal],
) -> Added:
    """See `Store.add`."""
    added = Added([], [], [])
    for some in chunks(people):
        added.subjects.extend(_add_subjects(change, some))
    for few in chunks(faces):
        _add_templates(change, few, added)
    for part in chunks(refused):
        put_refusals(change, part)
    return added


def _add_subjects(change: Change, people: Sequence[Subject]) -> list[str]:
    for person in people:
        require_id(person.id, "subject")
        require_size(person.name or b"", f"the name of subject {person.id!r}")
    known = _known(change, subjects, [person.id for person in people])
    new = {person.id: person.name for person in people if person.id not in known}
    rows = [
        {"id": id, "name": name, "deleted": False, "waiting": False, "revision": change.number}
        for id, name in new.items()
    ]
    if rows:
        change.connection.execute(subjects.insert(), rows)
    return list(new)


def _add_templates(change: Change, faces: Sequence[Template], added: Added) -> None:
    for face in faces:
        require_id(face.id, "template")
        require_size(face.record, f"the record of template {face.id!r}")
        if face.source is not None:
            require_id(face.source, "source")
    homes = _homes(change, {face.subject for face in faces})
    known = _known(change, templates, [face.id for face in faces])
    rows: dict[str, dict[str, Any]] = {}
    for face in faces:
        if face.subject not in homes:
            raise NotStored(f"template {face.id!r}: there is no subject {face.subject!r}")
        number, deleted = homes[face.subject]
        if face.id in known or face.id in rows:
            continue
        if deleted:
            added.withheld.append(face.id)
            continue
        rows[face.id] = {
            "id": face.id,
            "subject": number,
            "source": face.source,
            "record": face.record,
            "added": int(time.time()),
            "deleted": False,
            "waiting": change.mode != MEAN,
            "revision": change.number,
        }
    if rows:
        change.connection.execute(templates.insert(), list(rows.values()))
        if change.mode == MEAN:
            touch(change, {row["subject"] for row in rows.values()})
    added.templates.extend(rows)
    sources = {face.source for face in faces if face.source is not None}
    change.connection.execute(refusals.delete().where(refusals.c.source.in_(sources)))


def _homes(change: Change, ids: set[str]) -> dict[str, tuple[int, bool]]:
    """The number of each subject that is known (or was merged into), and whether it is deleted."""
    home = subjects.alias()
    number = func.coalesce(subjects.c.merged_into, subjects.c.number)
    query = (
        select(subjects.c.id, home.c.number, home.c.deleted)
        .join_from(subjects, home, home.c.number == number)
        .where(subjects.c.id.in_(ids))
    )
    return {id: (int(n), bool(deleted)) for id, n, deleted in change.connection.execute(query)}


def _known(change: Change, table: Any, ids: Sequence[str]) -> set[str]:
    query = select(table.c.id).where(table.c.id.in_(ids))
    return set(change.connection.execute(query).scalars())


def put_refusals(change: Change, refused: Sequence[Refusal]) -> None:
    for refusal in refused:
        require_id(refusal.source, "source")
        require_size(refusal.reason, f"the reason for source {refusal.source!r}")
    last = {refusal.source: refusal.reason for refusal in refused}
    change.connection.execute(refusals.delete().where(refusals.c.source.in_(last)))
    rows = [{"source": source, "reason": reason} for source, reason in last.items()]
    change.connection.execute(refusals.insert(), rows)


def require_id(id: str, what: str) -> None:
    """StoreError: an id is no text that both databases can hold."""
    if not 0 < len(id) <= LONGEST_ID or not id.isprintable():
        raise StoreError(
            f"{what} {id[:80]!r}: an id has 1 to {LONGEST_ID} printable characters, not {len(id)}"
            if id.isprintable()
            else f"{what} {id[:80]!r}: an id has only printable characters"
        )


def require_size(value: bytes, what: str) -> None:
    """StoreError: a sealed value is larger than any that a client makes."""
    if len(value) > LARGEST_VALUE:
        raise StoreError(f"{what} has {len(value)} bytes; at most {LARGEST_VALUE} are stored")


# --- Deleting, moving ----------------------------------------------------------------------------


def mark_templates(change: Change, ids: Iterable[str], deleted: bool) -> int:
    """Delete templates, or bring them back; how many were not so before."""
    marked = 0
    for chunk in chunks(ids):
        query = select(
            templates.c.id, templates.c.number, templates.c.subject, templates.c.deleted
        ).where(templates.c.id.in_(chunk))
        rows = change.connection.execute(query).all()
        require_known("template", chunk, {row.id for row in rows})
        changed = [row for row in rows if bool(row.deleted) != deleted]
        numbers = [row.number for row in changed]
        change.connection.execute(
            templates.update().where(templates.c.number.in_(numbers)).values(deleted=deleted)
        )
        touch(change, [row.subject for row in changed] if change.mode == MEAN else numbers)
        marked += len(changed)
    return marked


def mark_subjects(change: Change, ids: Iterable[str], deleted: bool) -> int:
    """Delete subjects, or bring them back; how many were not so before."""
    marked = 0
    for chunk in chunks(ids):
        homes = _homes(change, set(chunk))
        require_known("subject", chunk, set(homes))
        numbers = {number for number, was in homes.values() if was != deleted}
        change.connection.execute(
            subjects.update().where(subjects.c.number.in_(numbers)).values(deleted=deleted)
        )
        touch_subjects(change, numbers)
        marked += len(numbers)
    return marked


def move(change: Change, ids: Iterable[str], subject: str) -> None:
    """See `Store.move`."""
    target = _live_subject(change, subject)
    home = subjects.alias()
    for chunk in chunks(ids):
        query = (
            select(templates.c.id, templates.c.number, templates.c.subject, home.c.deleted)
            .join_from(templates, home, templates.c.subject == home.c.number)
            .where(templates.c.id.in_(chunk))
        )
        rows = change.connection.execute(query).all()
        require_known("template", chunk, {row.id for row in rows})
        moved = [row for row in rows if row.subject != target]
        numbers = [row.number for row in moved]
        change.connection.execute(
            templates.update().where(templates.c.number.in_(numbers)).values(subject=target)
        )
        if change.mode == MEAN:
            touch(change, {row.subject for row in moved} | ({target} if moved else set()))
        else:
            touch(change, [row.number for row in moved if row.deleted])


def merge(change: Change, ids: Iterable[str], into: str) -> None:
    """See `Store.merge`."""
    target = _live_subject(change, into)
    for chunk in chunks(ids):
        homes = _homes(change, set(chunk))
        require_known("subject", chunk, set(homes))
        for id, (_, deleted) in homes.items():
            if deleted:
                raise StoreError(f"subject {id!r} is deleted: undelete it before it is merged")
        merged = {number for number, _ in homes.values()} - {target}
        update = change.connection.execute
        update(templates.update().where(templates.c.subject.in_(merged)).values(subject=target))
        of_merged = subjects.c.number.in_(merged) | subjects.c.merged_into.in_(merged)
        update(subjects.update().where(of_merged).values(merged_into=target, name=None))
        if change.mode == MEAN and merged:
            touch(change, {*merged, target})


def rename(change: Change, subject: str, name: bytes | None) -> None:
    """See `Store.rename`."""
    require_size(name or b"", f"the name of subject {subject!r}")
    number = subject_number(change.connection, subject)
    change.connection.execute(
        subjects.update().where(subjects.c.number == number).values(name=name)
    )


def _live_subject(change: Change, id: str) -> int:
    homes = _homes(change, {id})
    require_known("subject", [id], set(homes))
    number, deleted = homes[id]
    if deleted:
        raise StoreError(f"subject {id!r} is deleted: undelete it first")
    return number


def require_known(what: str, asked: Sequence[str], found: set[str]) -> None:
    for id in asked:
        if id not in found:
            raise NotStored(f"there is no {what} {id!r}; nothing was changed")


# --- Entries of what has changed -----------------------------------------------------------------


def is_live(mode: str) -> ColumnElement[bool]:
    """Whether an owner should have an entry."""
    if mode == MEAN:
        has = exists().where(templates.c.subject == subjects.c.number, ~templates.c.deleted)
        return and_(~subjects.c.deleted, subjects.c.merged_into.is_(None), has)
    has = exists().where(subjects.c.number == templates.c.subject, ~subjects.c.deleted)
    return and_(~templates.c.deleted, has)


def stale(mode: str) -> ColumnElement[bool]:
    """Entries whose owner is gone, deleted, or was changed since."""
    owners = owners_table(mode)
    current = exists().where(
        owners.c.number == entries.c.owner,
        owners.c.revision == entries.c.revision,
        is_live(mode),
    )
    return ~current


def touch(change: Change, owners: Iterable[int]) -> None:
    """These owners have changed: their entries end, and they wait for new ones."""
    table = owners_table(change.mode)
    for chunk in chunks(owners, CHUNK):
        change.connection.execute(entries.delete().where(entries.c.owner.in_(chunk)))
        change.connection.execute(
            table.update()
            .where(table.c.number.in_(chunk))
            .values(revision=change.number, waiting=is_live(change.mode))
        )


def touch_subjects(change: Change, numbers: Iterable[int]) -> None:
    """The owners that belong to subjects have changed."""
    if change.mode == MEAN:
        touch(change, numbers)
        return
    for chunk in chunks(numbers):
        query = select(templates.c.number).where(templates.c.subject.in_(chunk))
        touch(change, change.connection.execute(query).scalars().all())
