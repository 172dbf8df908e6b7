"""Blocks made anew from records: for new settings, or so that nothing deleted is left on disk.

One transaction replaces the blocks; before it nothing has changed, after it everything has. What
an interruption leaves are files that nothing refers to, which the next sweep removes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fhe_face.gallery.opened import ATTEMPTS, Opened, busy
from fhe_face.gallery.sealing import owners_of, seal_owners
from fhe_face.gallery.settings import Settings
from fhe_face.gallery.words import counted
from fhe_face.progress import Stage, silent
from fhe_face.store import Block, Conflict


@dataclass(frozen=True)
class Compacted:
    """What a compaction removed for good, and how many blocks it made anew."""

    subjects: int
    templates: int
    blocks: int
    files: int

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)

    def summary(self) -> str:
        """One line for people."""
        removed = counted(self.templates, "deleted template")
        people = counted(self.subjects, "subject")
        return (
            f"{removed} and {people} removed for good, {counted(self.blocks, 'block')} sealed "
            f"anew, {counted(self.files, 'file')} removed"
        )


def reseal(
    opened: Opened, change: Callable[[Settings], Settings], stage: Stage = silent
) -> Settings:
    """Seal everybody anew by changed settings, such as another centre; the settings.

    Raises:
        Busy: others changed the gallery all the time.
        StoreError: it cannot be written; then nothing has changed.
    """
    for _ in range(ATTEMPTS):
        version = opened.store.state().version
        settings = change(opened.settings)
        blocks = opened.store.blocks()
        if _replaced(opened, version, blocks, settings, stage, save=True) is not None:
            return settings
    raise busy()


def compact(opened: Opened, stage: Stage = silent) -> Compacted:
    """Remove what is deleted for good: rows, and every block that holds anything of it.

    Raises: as `reseal`.
    """
    sealed = subjects = templates = files = 0
    for _ in range(ATTEMPTS):
        version = opened.store.state().version
        room = opened.parameters.templates
        loose = [block for block in opened.store.blocks() if block.live < room]
        holes = any(block.live < block.count for block in loose)
        if holes or len(loose) > 1 or next(iter(opened.store.pending()), None) is not None:
            done = _replaced(opened, version, loose, opened.settings, stage)
            if done is None:
                continue
            sealed += done
        purged = opened.store.purge()
        subjects, templates = subjects + purged.subjects, templates + purged.templates
        files += purged.files
        if not purged.unsealed:
            return Compacted(subjects, templates, sealed, files)
    raise busy()


def _replaced(
    opened: Opened,
    version: int,
    blocks: Sequence[Block],
    settings: Settings,
    stage: Stage,
    save: bool = False,
) -> int | None:
    """Blocks, and whoever waits, sealed anew; how many blocks that makes; None: try again."""
    try:
        owners = [owner for block in blocks for owner in owners_of(opened, block)]
        owners += opened.store.pending()
        added = seal_owners(opened, owners, settings, stage)
        sealed = opened.vault.seal_settings(settings.to_bytes()) if save else None
        removed = [block.digest for block in blocks]
        opened.store.replace_blocks(version, removed, added, settings=sealed)
    except Conflict:
        return None
    return len(added)
