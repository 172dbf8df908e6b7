"""From records to blocks: the only way in which anything becomes searchable under encryption.

Blocks are never changed. What an owner's templates become different by leaves its place; it then
waits, is compared in the clear, and goes into the last block with the next sealing. Blocks always
come from records, so noise never adds up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fhe_core.formats.matching import to_bytes
from fhe_face.gallery.opened import ATTEMPTS, Opened, busy
from fhe_face.gallery.settings import Settings
from fhe_face.progress import Stage, silent
from fhe_face.store import Block, Conflict, NewBlock, NotStored, Owner

#: What people are told.
_WHAT = "sealing templates"


def seal_pending(opened: Opened, stage: Stage = silent) -> int:
    """Give everybody who waits a place; how many they were.

    The last block is sealed anew with them unless it is full; full ones stay.

    Raises:
        Busy: others changed the gallery all the time.
        StoreError: it cannot be written; then nothing has changed.
    """
    for _ in range(ATTEMPTS):
        version = opened.store.state().version
        settings = opened.settings
        waiting = list(opened.store.pending())
        if not waiting:
            return 0
        tail = _tail(opened)
        try:
            owners = [*owners_of(opened, tail), *waiting] if tail else waiting
            added = seal_owners(opened, owners, settings, stage)
            removed = [tail.digest] if tail else []
            opened.store.replace_blocks(version, removed, added)
        except Conflict:
            continue
        opened.store.sweep()  # what interruptions left more than a day ago
        return len(waiting)
    raise busy()


def seal_owners(
    opened: Opened, owners: Sequence[Owner], settings: Settings, stage: Stage = silent
) -> list[NewBlock]:
    """New blocks, written and synced, for `Store.replace_blocks`; those that cannot be read wait.

    settings: whose centre counts.
    """
    added = []
    size = opened.parameters.templates
    for first in range(0, len(owners), size):
        stage(_WHAT, first, len(owners))
        chunk = owners[first : first + size]
        found = opened.vectors([owner.id for owner in chunk], settings)
        usable = [owner for owner in chunk if owner.id in found]
        if usable:
            sealer = opened.sealer_for(settings)
            block = sealer.seal_block(np.stack([found[owner.id] for owner in usable]))
            added.append(NewBlock(opened.store.write_block(to_bytes(block)), usable))
    stage(_WHAT, len(owners), len(owners))
    return added


def _tail(opened: Opened) -> Block | None:
    """The last block, unless it is full."""
    blocks = opened.store.blocks()
    full = not blocks or blocks[-1].count >= opened.parameters.templates
    return None if full else blocks[-1]


def owners_of(opened: Opened, block: Block) -> Iterator[Owner]:
    """Of the live places of a block; Conflict: it is not there any more."""
    try:
        entries = opened.store.entries(block.digest)
    except NotStored as error:
        raise Conflict(str(error)) from error
    return (entry.owner for entry in entries)
