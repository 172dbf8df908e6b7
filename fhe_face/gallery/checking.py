"""Is everything in a gallery what it should be? And what can be mended, from the records."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from fhe_core.container import ContainerError
from fhe_core.matching import MatchingError, mask_of
from fhe_face.gallery.errors import RecordError
from fhe_face.gallery.opened import ATTEMPTS, Opened, busy
from fhe_face.gallery.sealing import owners_of, seal_owners
from fhe_face.progress import Stage, silent
from fhe_face.store import Block, Conflict, DamagedBlock, NotStored
from fhe_face.store import Finding as StoreFinding

#: The noise of a fresh block is far below this (docs/gallery.md).
_TOLERANCE: Final = 1e-3
#: Digits of a digest that people see.
_SHOWN: Final = 12


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    kind: for programs; severity: "error", or "notice" where nothing is wrong yet, such as a file
    that an interruption left; mended: whether repairing has put it right; about: a block's digest,
    an id, a file's name, or how many rows.
    """

    kind: str
    text: str
    mended: bool = False
    severity: str = "error"
    about: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)


def store_findings(opened: Opened, repair: bool) -> list[Finding]:
    """What the store finds by itself; repair: mends what needs no key."""
    if not repair:
        return [_told(one, False) for one in opened.store.check()]
    repaired = opened.store.repair()
    after = {(one.code, one.about) for one in repaired.after}
    return [_told(one, (one.code, one.about) not in after) for one in repaired.before]


def _told(one: StoreFinding, mended: bool) -> Finding:
    named = one.about[:_SHOWN] in one.text or one.about.isdigit()
    text = one.text if named else f"{one.about[:_SHOWN]}: {one.text}"
    return Finding(one.code, text, mended, one.severity, one.about)


def check_client(
    opened: Opened, known: Collection[str] = (), repair: bool = False, stage: Stage = silent
) -> Iterator[Finding]:
    """What only the client can see: records that cannot be opened, blocks that hold others.

    known: digests of blocks that need not be looked at. repair: blocks that are wrong are sealed
    anew. A record cannot be made again: enrol its photo again.
    """
    for row in opened.store.templates(include_deleted=True):
        try:
            opened.vault.open_record(row.id, row.record)
        except RecordError as error:
            yield Finding("record", str(error), about=row.id)
    for person in opened.store.subjects(include_deleted=True):
        try:
            if person.name is not None:
                opened.vault.open_name(person.id, person.name)
        except RecordError as error:
            yield Finding("name", str(error), about=person.id)
    blocks = [block for block in opened.store.blocks() if block.digest not in known]
    for number, block in enumerate(blocks):
        stage("checking blocks", number, len(blocks))
        problem = block_problem(opened, block)
        if problem is not None:
            mended = repair and repair_block(opened, block.digest)
            text = f"block {block.digest[:_SHOWN]}: {problem}"
            yield Finding("block", text, mended, about=block.digest)
    stage("checking blocks", len(blocks), len(blocks))


def block_problem(opened: Opened, block: Block) -> str | None:
    """What is wrong with a block: unreadable, or not what the records say."""
    try:
        templates = opened.block(block.digest)
        entries = opened.store.entries(block.digest)
        mask_of([entry.position for entry in entries], len(templates))
    except (DamagedBlock, ContainerError, MatchingError) as error:
        return str(error)
    except (Conflict, NotStored):  # it was replaced meanwhile
        return None
    expected = opened.vectors([entry.owner.id for entry in entries], opened.settings)
    for entry in entries:
        own = expected.get(entry.owner.id)
        if own is None:
            return f"holds {entry.owner.id}, which has no usable record"
        if float(np.abs(templates[entry.position] - own).max()) > _TOLERANCE:
            return f"place {entry.position} is not what the record says"
    return None


def repair_block(opened: Opened, digest: str, stage: Stage = silent) -> bool:
    """Seal the owners of a block anew, from their records; whether it was there.

    Raises:
        Busy: others changed the gallery all the time.
    """
    for _ in range(ATTEMPTS):
        version = opened.store.state().version
        block = next((one for one in opened.store.blocks() if one.digest == digest), None)
        if block is None:
            return False
        try:
            owners = list(owners_of(opened, block))
            added = seal_owners(opened, owners, opened.settings, stage)
            opened.store.replace_blocks(version, [digest], added)
            return True
        except Conflict:
            continue
    raise busy()
