"""What is done where a gallery's files are, and not over HTTP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from fhe_face.store import Finding, Repaired, StoreError, Swept


class Elsewhere:
    """The methods of `Store` that a gallery at a server does not have."""

    id: str

    @property
    def folder(self) -> Path:
        """Not over HTTP."""
        self._elsewhere("has no files here")

    def block_path(self, digest: str) -> Path:
        """Not over HTTP."""
        self._elsewhere("has no files here")

    def sweep(self, older_than: float = 0.0) -> Swept:
        """The server sweeps by itself."""
        return Swept(0, 0)

    def check(self) -> list[Finding]:
        """The server checks its disk by itself; what the client can see is checked here."""
        return []

    def repair(self) -> Repaired:
        """Not over HTTP."""
        self._elsewhere("is repaired by whoever runs the server")

    def backup(self, target: str | os.PathLike[str], also: Sequence[str] = ()) -> None:
        """Not over HTTP."""
        self._elsewhere("is backed up by whoever runs the server")

    def _elsewhere(self, what: str) -> NoReturn:
        raise StoreError(f"gallery {self.id}: a gallery at a server {what}")
