"""Evaluation keys that are in memory: as many as fit, the longest unused leaves first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from fhe_core.container import Kind, read_header
from fhe_face.progress import Stage
from fhe_face.service.jobs.engines import Engines, Resident
from fhe_face.service.jobs.records import JobFailed
from fhe_face.system import size

#: So much of what an engine needs beside keys may be a job's inputs: a half.
_INPUTS_SHARE: Final = 2


class Keys(Protocol):
    """Where evaluation keys are in memory: in this process, or on another machine."""

    @property
    def loaded(self) -> Collection[str]:
        """The digests of keys that are in memory."""

    def identity(self) -> str:
        """Names engine and weights: two that are equal give equal outputs, bit for bit."""

    def get(self, digest: str, key: Path, stage: Stage, inputs_bytes: int = 0) -> Resident:
        """The keys, loaded if need be; errors as of `Residents.get`, and Died."""

    def clear(self) -> None:
        """Let go of all keys: memory is short."""


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

    def identity(self) -> str:
        """Of engine and weights."""
        return self.engines.identity()

    def get(self, digest: str, key: Path, stage: Stage, inputs_bytes: int = 0) -> Resident:
        """The keys; they are loaded, and others leave, where that is necessary.

        inputs_bytes: of the job's ciphertexts in memory; what the engine needs has room for some.

        Raises:
            JobFailed: this worker could not do it if it held nothing else.
            Failure: the keys cannot be used.
        """
        beside = max(0, inputs_bytes - self.engines.working_bytes // _INPUTS_SHARE)
        found = self._loaded.get(digest)
        if found is None:
            header = read_header(key, expect_kind=Kind.EVALUATION_KEYS)
            keys = self.engines.forecast(header)
        else:
            keys = found.memory_bytes
        self._require_possible(keys, beside)
        self._make_room(digest, keys + beside)
        if found is None:
            found = self.engines.load(key, stage)
        self._loaded[digest] = found
        self._loaded.move_to_end(digest)
        return found

    def clear(self) -> None:
        """Let go of all keys: memory is short."""
        self._loaded.clear()

    def _require_possible(self, keys: int, beside: int) -> None:
        room = size(self.room_bytes)
        if keys > self.room_bytes:
            text = f"these evaluation keys take {size(keys)} of memory"
            raise JobFailed(f"{text}; this server has {room} for keys", reason="memory")
        if keys + beside > self.room_bytes:
            text = f"this job takes {size(keys + beside)} of memory"
            raise JobFailed(
                f"{text}; this server has {room}: send fewer faces in a file", reason="memory"
            )

    def _make_room(self, digest: str, needed: int) -> None:
        """Let go of other keys, the longest unused first, until so much fits beside the rest."""
        others = [name for name in self._loaded if name != digest]
        while others and needed + self._occupied(others) > self.room_bytes:
            del self._loaded[others.pop(0)]

    def _occupied(self, names: Iterable[str]) -> int:
        return sum(self._loaded[name].memory_bytes for name in names)
