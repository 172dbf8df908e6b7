"""What can go wrong with a store; each text is one line that says what would be right."""

from __future__ import annotations

from typing import Any

from fhe_core.errors import Failure


class StoreError(Failure):
    """A store cannot be used as asked; what was there is unchanged."""

    code = "store"


class Conflict(StoreError):
    """Something changed between reading and changing; read again and try again."""

    code = "conflict"


class NotStored(StoreError):
    """There is no subject, template or block with this id."""

    code = "not-stored"


class DamagedBlock(StoreError):
    """The file of one block is missing or altered; the others can be used."""

    code = "damaged-block"

    digest: str = ""
    #: What is wrong with it, without its name.
    why: str = ""

    def details(self) -> dict[str, Any]:
        """The block's name."""
        return {"digest": self.digest}


class BackupError(StoreError):
    """A backup is incomplete or altered; nothing was restored from it."""

    code = "backup"


def damaged(digest: str, why: str) -> DamagedBlock:
    """The error for a block."""
    error = DamagedBlock(
        f"block {digest} {why}; `gallery check --repair` seals its templates again"
    )
    error.digest, error.why = digest, why
    return error
