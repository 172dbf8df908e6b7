"""Searching a sealed gallery: blocks in memory, a probe in, sealed scores out.

Nothing that this module imports can decrypt (tests/test_layering.py). The server sees how many
templates there are, when they came and when somebody looks for one; no face, score or answer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fhe_core.container import ContainerError
from fhe_core.formats.matching import block_from_bytes, load_gallery_keys
from fhe_core.matching import (
    Constants,
    Loaded,
    Matcher,
    MatchParameters,
    MatchPlan,
    Probe,
    Scores,
    gallery_parameters,
    mask_of,
    masks_digest,
)
from fhe_face.keyfile import evaluation_key_of
from fhe_face.store import Conflict, DamagedBlock, NotStored, Store
from fhe_face.system import default_threads

#: Searches that are tried again because blocks were replaced under them.
_ATTEMPTS: Final = 8

Mask = NDArray[np.bool_]
Words = NDArray[np.uint8]


@dataclass
class SearchServer:
    """One gallery's blocks and evaluation keys. It has no code that could decrypt.

    memory: bytes of blocks that stay in memory; the others are read anew for every search
    (None: all stay). Several threads may search at once; each search uses all cores it may.
    """

    store: Store
    matcher: Matcher
    memory: int | None = None
    _blocks: dict[str, Loaded] = field(default_factory=dict, repr=False)
    _damaged: dict[str, str] = field(default_factory=dict, repr=False)
    _live: dict[str, Mask] = field(default_factory=dict, repr=False)
    _order: tuple[str, ...] = ()
    _seen: int = -1
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def load(
        cls,
        folder: str | os.PathLike[str],
        *,
        threads: int | None = None,
        memory: int | None = None,
        parameters: MatchParameters | None = None,
    ) -> SearchServer:
        """Of a gallery's folder ``server/``; blocks are read by the first search.

        parameters: of the ring; default: those of every gallery.

        Raises:
            StoreError: there is no gallery here.
            ContainerError: its evaluation keys cannot be used.
        """
        chosen = parameters or gallery_parameters()
        store = Store.open(folder)
        try:
            wanted = str(store.facts.get("key_id"))
            path = evaluation_key_of(Path(folder), wanted)
            keys = load_gallery_keys(path, chosen, wanted)
            return cls(store, Matcher(chosen, keys, threads or default_threads()), memory)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Forget the blocks, and close the store."""
        with self._lock:
            self._blocks.clear()
        self.store.close()

    @property
    def damaged(self) -> Mapping[str, str]:
        """Blocks that could not be read by the last search, each with the reason."""
        return MappingProxyType(self._damaged)

    @property
    def changes(self) -> int:
        """The store's number of changes that the last search's live masks are of."""
        return self._seen

    @property
    def memory_bytes(self) -> int:
        """Of the blocks that are in memory."""
        return len(self._blocks) * MatchPlan(self.matcher.parameters).block_memory_bytes

    def search(self, probe: Probe) -> Scores:
        """The sealed scores of all templates that can be read; `damaged` names the others.

        Positions without a template, and deleted ones, hold random words.

        Raises:
            ContainerError: the probe is for another gallery, or damaged.
            StoreError, MatchingError: the store cannot be read, or a place lies outside its block.
        """
        constants = self.matcher.expand(probe)
        with self._lock:
            for _ in range(_ATTEMPTS):
                try:
                    self._refresh()
                    names, masks, words = self._search(constants)
                except (NotStored, Conflict):
                    continue  # a block was replaced meanwhile
                # What went missing may have been replaced meanwhile, too.
                if not self._damaged or self.store.state().changes == self._seen:
                    p, key_id = self.matcher.parameters, self.matcher.key_id
                    return Scores(p, key_id, probe.token, names, masks, words)
        raise Conflict("the gallery's blocks are being replaced all the time; try again")

    def _search(self, constants: Constants) -> tuple[tuple[str, ...], str, Words]:
        """The blocks that can be read, the digest of what lives in them, and their scores; as many
        at once as are in memory."""
        p = self.matcher.parameters
        names: list[str] = []
        words = [np.zeros((0, 2, p.templates, p.result_bytes), np.uint8)]
        for group in self._groups():
            live = [self._live[name] for name, _ in group]
            words.append(self.matcher.search(constants, [block for _, block in group], live))
            names += [name for name, _ in group]
        masks = masks_digest([self._live[name] for name in names])
        return tuple(names), masks, np.concatenate(words)

    def _groups(self) -> Iterator[list[tuple[str, Loaded]]]:
        group: list[tuple[str, Loaded]] = []
        for name in self._order:
            block = self._block(name)
            if block is None:
                continue
            group.append((name, block))
            if name not in self._blocks:  # it leaves memory after this
                yield group
                group = []
        if group:
            yield group

    def _refresh(self) -> None:
        """Which blocks there are, and which positions are live, if anything has changed."""
        changes = self.store.state().changes
        if changes == self._seen:
            return
        blocks = self.store.blocks()
        size = self.matcher.parameters.templates
        live = {}
        for block in blocks:
            before = self._live.get(block.digest)
            # Positions die and never come to life: equal counts are equal positions.
            if before is not None and np.count_nonzero(before) == block.live:
                live[block.digest] = before
                continue
            places = [entry.position for entry in self.store.entries(block.digest)]
            live[block.digest] = mask_of(places, size)
        self._order = tuple(block.digest for block in blocks)
        self._live, self._seen = live, changes
        self._blocks = {name: block for name, block in self._blocks.items() if name in live}
        self._damaged = {}

    def _block(self, digest: str) -> Loaded | None:
        kept = self._blocks.get(digest)
        if kept is not None:
            return kept
        try:
            data = self.store.read_block(digest)
            p, key_id = self.matcher.parameters, self.matcher.key_id
            loaded = self.matcher.load(block_from_bytes(data, p, key_id, f"block {digest[:12]}"))
        except (DamagedBlock, ContainerError) as error:
            self._damaged[digest] = str(error)
            return None
        self._damaged.pop(digest, None)
        each = MatchPlan(self.matcher.parameters).block_memory_bytes
        if self.memory is None or (len(self._blocks) + 1) * each <= self.memory:
            self._blocks[digest] = loaded
        return loaded
