"""Evaluation keys that are in memory: as many as fit, the longest unused leaves first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from fhe_core.container import Kind, read_header
from fhe_face.progress import Stage
from fhe_face.service.jobs.engines import Engines, Resident
from fhe_face.service.jobs.records import JobFailed
from fhe_face.system import size


@dataclass
class Residents:
    """Loaded keys by the digest of their content.

    budget_bytes: what keys may take together; what the engine needs beside them is subtracted.
    """

    engines: Engines
    budget_bytes: int
    _loaded: OrderedDict[str, Resident] = field(default_factory=OrderedDict)

    @property
    def room_bytes(self) -> int:
        """For keys."""
        return max(0, self.budget_bytes - self.engines.working_bytes)

    @property
    def loaded(self) -> Collection[str]:
        """The digests of keys that are in memory."""
        return self._loaded.keys()

    def get(self, digest: str, key: Path, stage: Stage) -> Resident:
        """The keys; they are loaded, and others leave, where that is necessary.

        Raises:
            JobFailed: they could not be held by this worker if it held nothing else.
            Failure: they cannot be used.
        """
        found = self._loaded.get(digest)
        if found is not None:
            self._loaded.move_to_end(digest)
            return found
        needed = self.engines.forecast(read_header(key, expect_kind=Kind.EVALUATION_KEYS))
        if needed > self.room_bytes:
            raise JobFailed(
                "memory",
                f"these evaluation keys take {size(needed)} of memory; this server has "
                f"{size(self.room_bytes)} for keys",
            )
        while self._loaded and self._occupied() + needed > self.room_bytes:
            self._loaded.popitem(last=False)
        self._loaded[digest] = self.engines.load(key, stage)
        return self._loaded[digest]

    def clear(self) -> None:
        """Let go of all keys: memory is short."""
        self._loaded.clear()

    def _occupied(self) -> int:
        return sum(resident.memory_bytes for resident in self._loaded.values())
