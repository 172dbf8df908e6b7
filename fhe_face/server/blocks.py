"""Sealed blocks in memory, and what a probe gives of them; whoever asks says which blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fhe_core.container import ContainerError
from fhe_core.formats.matching import block_from_bytes
from fhe_core.matching import Constants, Loaded, Matcher, MatchParameters, MatchPlan, Probe
from fhe_face.store import DamagedBlock

Mask = NDArray[np.bool_]
Words = NDArray[np.uint8]


class Computing(Protocol):
    """Where a gallery's blocks are searched: in this process, or on other machines."""

    @property
    def memory_bytes(self) -> int:
        """Of the blocks that are in memory."""

    @property
    def damaged(self) -> Mapping[str, str]:
        """Blocks that could not be read by the last search, each with the reason."""

    def prepare(self, probe: Probe) -> Any:
        """What `search` wants of a probe; for any number of blocks, and in any thread.

        ContainerError: the probe is for another gallery, or damaged.
        """

    def search(
        self, prepared: Any, order: Sequence[str], live: Mapping[str, Mask]
    ) -> tuple[tuple[str, ...], Words]:
        """Of the blocks in `order` those that could be read, and their words.

        live: bool [N] of every block; at other positions stand random words. Words are u8
        [blocks, 2, N, bytes of a word].
        """

    def keep(self, names: Sequence[str]) -> None:
        """Forget all other blocks, and which were damaged."""

    def close(self) -> None:
        """Forget all."""


@dataclass
class Blocks:
    """In this process.

    read: a block's content by its digest, checked; DamagedBlock where there is none. memory: bytes
    of blocks that stay; the others are read anew for every search (None: all stay).
    """

    matcher: Matcher
    read: Callable[[str], bytes]
    memory: int | None = None
    _loaded: dict[str, Loaded] = field(default_factory=dict, repr=False)
    _damaged: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def parameters(self) -> MatchParameters:
        """Of the ring."""
        return self.matcher.parameters

    @property
    def damaged(self) -> Mapping[str, str]:
        """See `Computing`."""
        return MappingProxyType(self._damaged)

    @property
    def memory_bytes(self) -> int:
        """See `Computing`."""
        return len(self._loaded) * MatchPlan(self.parameters).block_memory_bytes

    def prepare(self, probe: Probe) -> Constants:
        """The probe, expanded."""
        return self.matcher.expand(probe)

    def search(
        self, prepared: Constants, order: Sequence[str], live: Mapping[str, Mask]
    ) -> tuple[tuple[str, ...], Words]:
        """See `Computing`; as many blocks at once as are in memory."""
        names: list[str] = []
        words = [no_words(self.parameters)]
        for group in self._groups(order):
            masks = [live[name] for name, _ in group]
            words.append(self.matcher.search(prepared, [block for _, block in group], masks))
            names += [name for name, _ in group]
        return tuple(names), np.concatenate(words)

    def keep(self, names: Sequence[str]) -> None:
        """See `Computing`."""
        wanted = set(names)
        self._loaded = {name: one for name, one in self._loaded.items() if name in wanted}
        self._damaged = {}

    def close(self) -> None:
        """See `Computing`."""
        self._loaded.clear()

    def _groups(self, order: Sequence[str]) -> Iterator[list[tuple[str, Loaded]]]:
        group: list[tuple[str, Loaded]] = []
        for name in order:
            block = self._block(name)
            if block is None:
                continue
            group.append((name, block))
            if name not in self._loaded:  # it leaves memory after this
                yield group
                group = []
        if group:
            yield group

    def _block(self, digest: str) -> Loaded | None:
        kept = self._loaded.get(digest)
        if kept is not None:
            return kept
        try:
            data = self.read(digest)
            name = f"block {digest[:12]}"
            sealed = block_from_bytes(data, self.parameters, self.matcher.key_id, name)
            loaded = self.matcher.load(sealed)
        except (DamagedBlock, ContainerError) as error:
            self._damaged[digest] = str(error)
            return None
        self._damaged.pop(digest, None)
        each = MatchPlan(self.parameters).block_memory_bytes
        if self.memory is None or (len(self._loaded) + 1) * each <= self.memory:
            self._loaded[digest] = loaded
        return loaded


def no_words(parameters: MatchParameters) -> Words:
    """Of no block."""
    return np.zeros((0, 2, parameters.templates, parameters.result_bytes), np.uint8)
