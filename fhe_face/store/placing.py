"""Changes of the index: which blocks there are, and whose positions they hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from fhe_face.store.blocks import BlockFiles
from fhe_face.store.database import Change
from fhe_face.store.errors import Conflict, StoreError
from fhe_face.store.facts import facts_text, mode_of
from fhe_face.store.reading import chunks, owners_table
from fhe_face.store.rows import NewBlock, Owner
from fhe_face.store.tables import blocks, entries, gallery


def replace_blocks(
    change: Change,
    files: BlockFiles,
    seen_version: int,
    remove: Iterable[str],
    add: Sequence[NewBlock],
    settings: bytes | None,
    facts: Mapping[str, Any] | None,
) -> int:
    """See `Store.replace_blocks`; the new version."""
    require_version(change, seen_version)
    text = None if facts is None else facts_text(facts)
    if text is not None and mode_of(text) != change.mode:
        raise StoreError("a gallery's mode is changed by `replace_all` only")
    remove_blocks(change, list(remove))
    for block in add:
        add_block(change, files, block)
    return set_version(change, settings, text)


def require_version(change: Change, seen: int) -> None:
    """Conflict: blocks or settings are not what the caller has seen."""
    if change.version != seen:
        raise Conflict(
            f"the gallery's blocks have changed (version {change.version}, not {seen}): "
            "read again and try again"
        )


def set_version(change: Change, settings: bytes | None, facts: str | None) -> int:
    """Write what was given, and count the version up."""
    values: dict[str, Any] = {"version": change.version + 1}
    if settings is not None:
        values["settings"] = settings
    if facts is not None:
        values["facts"] = facts
    change.connection.execute(gallery.update().values(**values))
    return change.version + 1


def remove_blocks(change: Change, digests: Sequence[str]) -> None:
    """Take blocks out of the index; their owners wait for a new place."""
    table = owners_table(change.mode)
    for digest in digests:
        number = change.connection.execute(
            select(blocks.c.number).where(blocks.c.digest == digest)
        ).scalar()
        if number is None:
            raise Conflict(f"block {digest} is not there any more: read again and try again")
        owners = select(entries.c.owner).where(entries.c.block == number)
        waiting = table.update().where(table.c.number.in_(owners)).values(waiting=True)
        change.connection.execute(waiting)
        change.connection.execute(entries.delete().where(entries.c.block == number))
        change.connection.execute(blocks.delete().where(blocks.c.number == number))


def add_block(change: Change, files: BlockFiles, block: NewBlock) -> None:
    """Put a block whose file is written into the index.

    Raises:
        Conflict: its file was swept, or an owner has changed since it was read.
    """
    digest, owners = block
    if not files.exists(digest):
        raise Conflict(f"block {digest} has no file: write it again and try again")
    if not owners or len({owner.id for owner in owners}) != len(owners):
        raise StoreError(f"block {digest}: every position has an owner of its own")
    try:
        row = {"digest": digest, "count": len(owners)}
        inserted = change.connection.execute(blocks.insert(), row)
        number = inserted.inserted_primary_key[0] if inserted.inserted_primary_key else 0
        position = 0
        for chunk in chunks(owners):
            numbers = _current(change, chunk)
            rows = [
                {
                    "block": number,
                    "position": position + index,
                    "owner": numbers[owner.id],
                    "revision": owner.revision,
                }
                for index, owner in enumerate(chunk)
            ]
            change.connection.execute(entries.insert(), rows)
            position += len(chunk)
    except IntegrityError as error:
        raise Conflict(
            f"block {digest}: it, or one of its owners, has a place already: "
            "read again and try again"
        ) from error


def _current(change: Change, owners: Sequence[Owner]) -> dict[str, int]:
    """The numbers of owners that are as they were when they were read; they wait no more."""
    table = owners_table(change.mode)
    query = select(table.c.id, table.c.number, table.c.revision).where(
        table.c.id.in_([owner.id for owner in owners]), table.c.waiting
    )
    found = {id: (int(n), int(r)) for id, n, r in change.connection.execute(query)}
    for owner in owners:
        if owner.id not in found or found[owner.id][1] != owner.revision:
            raise Conflict(f"{owner.id!r} has changed or has a place: read again and try again")
    numbers = {id: number for id, (number, _) in found.items()}
    update = table.update().where(table.c.number.in_(numbers.values())).values(waiting=False)
    change.connection.execute(update)
    return numbers
