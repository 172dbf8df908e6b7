"""Where a gallery is kept: rows in a database, sealed blocks in files.

Names are loaded when they are first used: SQLAlchemy takes a while.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fhe_face.store.blocks import Writer
    from fhe_face.store.checking import Finding, check
    from fhe_face.store.errors import (
        BackupError,
        Conflict,
        DamagedBlock,
        NotStored,
        StoreError,
    )
    from fhe_face.store.repairing import Repaired
    from fhe_face.store.resealing import Replacement
    from fhe_face.store.rows import (
        Added,
        Block,
        Counts,
        Entry,
        NewBlock,
        Owner,
        Placed,
        Purged,
        Refusal,
        Resealed,
        State,
        StoredSubject,
        StoredTemplate,
        Subject,
        Swept,
        Template,
    )
    from fhe_face.store.store import Store

_HOMES = {
    "blocks": ("Writer",),
    "checking": ("Finding", "check"),
    "repairing": ("Repaired",),
    "resealing": ("Replacement",),
    "errors": ("BackupError", "Conflict", "DamagedBlock", "NotStored", "StoreError"),
    "rows": (
        "Added",
        "Block",
        "Counts",
        "Entry",
        "NewBlock",
        "Owner",
        "Placed",
        "Purged",
        "Refusal",
        "Resealed",
        "State",
        "StoredSubject",
        "StoredTemplate",
        "Subject",
        "Swept",
        "Template",
    ),
    "store": ("Store",),
}

__all__ = [
    "Added",
    "BackupError",
    "Block",
    "Conflict",
    "Counts",
    "DamagedBlock",
    "Entry",
    "Finding",
    "NewBlock",
    "NotStored",
    "Owner",
    "Placed",
    "Purged",
    "Refusal",
    "Repaired",
    "Replacement",
    "Resealed",
    "State",
    "Store",
    "StoreError",
    "StoredSubject",
    "StoredTemplate",
    "Subject",
    "Swept",
    "Template",
    "Writer",
    "check",
]


def __getattr__(name: str) -> Any:
    """A name, loaded when it is first used."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"fhe_face.store.{home}"), name)
    raise AttributeError(f"module 'fhe_face.store' has no attribute {name!r}")
