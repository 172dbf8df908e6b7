"""New records for everything at once: after a change of keys, of the network, or of the mode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select

from fhe_face.store.blocks import BlockFiles
from fhe_face.store.changing import (
    is_live,
    put_refusals,
    require_id,
    require_known,
    require_size,
    stale,
)
from fhe_face.store.database import Change
from fhe_face.store.errors import Conflict, StoreError
from fhe_face.store.facts import facts_text, mode_of
from fhe_face.store.placing import add_block, remove_blocks, require_version, set_version
from fhe_face.store.reading import block_digests, chunks, owners_table
from fhe_face.store.rows import NewBlock, Refusal, Resealed
from fhe_face.store.tables import EACH, entries, refusals, subjects, templates


@dataclass(frozen=True)
class Replacement:
    """What `Store.replace_all` writes; see there."""

    templates: Iterable[Resealed]
    names: Iterable[tuple[str, bytes]]
    refusals: Iterable[Refusal]
    blocks: Sequence[NewBlock]
    settings: bytes
    facts: Mapping[str, Any]
    forget: Iterable[str]


def replace_all(change: Change, files: BlockFiles, seen_version: int, new: Replacement) -> int:
    """See `Store.replace_all`; the new version."""
    require_version(change, seen_version)
    text = facts_text(new.facts)
    mode = mode_of(text)
    if mode != change.mode and new.blocks:
        raise StoreError("a new mode has other owners: seal its blocks after this change")
    remove_blocks(change, sorted(block_digests(change.connection)))
    for block in new.blocks:
        add_block(change, files, block)
    _forget(change, new.forget)
    _write_records(change, new.templates)
    _write_names(change, new.names)
    _write_refusals(change, new.refusals)
    _settle(change, mode)
    return set_version(change, new.settings, text)


def _forget(change: Change, ids: Iterable[str]) -> None:
    for chunk in chunks(ids):
        known = select(templates.c.id).where(templates.c.id.in_(chunk))
        require_known("template", chunk, set(change.connection.execute(known).scalars()))
        change.connection.execute(templates.delete().where(templates.c.id.in_(chunk)))


def _write_records(change: Change, records: Iterable[Resealed]) -> None:
    update = (
        templates.update()
        .where(templates.c.id == bindparam("of"))
        .values(source=bindparam("new"), record=bindparam("sealed"), revision=change.number)
    )
    for chunk in chunks(records):
        for id, source, record in chunk:
            require_size(record, f"the record of template {id!r}")
            if source is not None:
                require_id(source, "source")
        rows = [{"of": id, "new": source, "sealed": record} for id, source, record in chunk]
        change.connection.execute(update, rows)
    left = select(func.count()).where(templates.c.revision != change.number)
    _require_none(change, left, "templates have no new record")


def _write_names(change: Change, names: Iterable[tuple[str, bytes]]) -> None:
    named = select(func.count()).where(subjects.c.name.is_not(None))
    before = change.connection.execute(named).scalar_one()
    change.connection.execute(subjects.update().values(name=None))
    update = (
        subjects.update()
        .where(subjects.c.id == bindparam("of"), subjects.c.merged_into.is_(None))
        .values(name=bindparam("sealed"))
    )
    for chunk in chunks(names):
        for id, name in chunk:
            require_size(name, f"the name of subject {id!r}")
        change.connection.execute(update, [{"of": id, "sealed": name} for id, name in chunk])
    missing = int(before) - int(change.connection.execute(named).scalar_one())
    if missing > 0:
        raise Conflict(f"{missing} subjects have no new name: read again and try again")


def _write_refusals(change: Change, refused: Iterable[Refusal]) -> None:
    count = select(func.count()).select_from(refusals)
    before = change.connection.execute(count).scalar_one()
    change.connection.execute(refusals.delete())
    for chunk in chunks(refused):
        put_refusals(change, chunk)
    missing = int(before) - int(change.connection.execute(count).scalar_one())
    if missing > 0:
        raise Conflict(f"{missing} refusals have no new reason: read again and try again")


def _settle(change: Change, mode: str) -> None:
    """Revisions and waiting marks that follow from the new templates, and from the mode."""
    update = change.connection.execute
    if mode == EACH:
        update(entries.update().values(revision=change.number))
    owners, others = owners_table(mode), subjects if mode == EACH else templates
    if mode != change.mode:
        update(others.update().where(others.c.waiting).values(waiting=False))
        update(owners.update().values(waiting=is_live(mode)))
    else:
        update(owners.update().where(owners.c.waiting, ~is_live(mode)).values(waiting=False))
    dead = select(func.count()).select_from(entries).where(stale(mode))
    _require_none(change, dead, "owners of new positions are deleted or have no templates")


def _require_none(change: Change, count: Any, what: str) -> None:
    found = int(change.connection.execute(count).scalar_one())
    if found:
        raise Conflict(f"{found} {what}: read again and try again")
