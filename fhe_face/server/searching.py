"""Searching a sealed gallery: blocks in memory, a probe in, sealed scores out.

Nothing that this module imports can decrypt (tests/test_layering.py). The server sees how many
templates there are, when they came and when somebody looks for one; no face, score or answer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from fhe_core.formats.matching import load_gallery_keys
from fhe_core.matching import (
    Matcher,
    MatchParameters,
    Probe,
    Scores,
    gallery_parameters,
    mask_of,
    masks_digest,
)
from fhe_face.keyfile import evaluation_key_of
from fhe_face.server.blocks import Blocks, Computing, Mask
from fhe_face.store import Conflict, NotStored, Store
from fhe_face.system import default_threads

#: Searches that are tried again because blocks were replaced under them.
_ATTEMPTS: Final = 8


@dataclass
class SearchServer:
    """One gallery: which blocks it has and what lives in them, and where they are searched.

    It has no code that could decrypt. Several threads may search at once; each search uses all
    cores it may.
    """

    store: Store
    parameters: MatchParameters
    key_id: str
    blocks: Computing
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
        """Of a gallery's folder ``server/``; blocks are read by the first search, in this process.

        memory: bytes of blocks that stay in memory; the others are read anew for every search
        (None: all stay). parameters: of the ring; default: those of every gallery.

        Raises:
            StoreError: there is no gallery here.
            ContainerError: its evaluation keys cannot be used.
        """
        chosen = parameters or gallery_parameters()

        def compute(store: Store, key_id: str) -> Blocks:
            keys = load_gallery_keys(evaluation_key_of(Path(folder), key_id), chosen, key_id)
            return Blocks(
                Matcher(chosen, keys, threads or default_threads()), store.read_block, memory
            )

        return cls.open(folder, chosen, compute)

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        parameters: MatchParameters,
        compute: Callable[[Store, str], Computing],
    ) -> SearchServer:
        """Of a gallery's folder; compute: says where, of its store and its key's id.

        Raises:
            StoreError: there is no gallery here. What `compute` raises.
        """
        store = Store.open(folder)
        try:
            key_id = str(store.facts.get("key_id"))
            return cls(store, parameters, key_id, compute(store, key_id))
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Forget the blocks, and close the store."""
        with self._lock:
            self.blocks.close()
        self.store.close()

    @property
    def damaged(self) -> Mapping[str, str]:
        """Blocks that could not be read by the last search, each with the reason."""
        return self.blocks.damaged

    @property
    def changes(self) -> int:
        """The store's number of changes that the last search's live masks are of."""
        return self._seen

    @property
    def memory_bytes(self) -> int:
        """Of the blocks that are in memory."""
        return self.blocks.memory_bytes

    def search(self, probe: Probe) -> Scores:
        """The sealed scores of all templates that can be read; `damaged` names the others.

        Positions without a template, and deleted ones, hold random words.

        Raises:
            ContainerError: the probe is for another gallery, or damaged.
            StoreError, MatchingError: the store cannot be read, or a place lies outside its block.
        """
        return self.search_prepared(self.blocks.prepare(probe), probe.token)

    def search_prepared(self, prepared: Any, token: bytes) -> Scores:
        """As `search`, of what `Computing.search` wants of a probe; token: of the scores."""
        with self._lock:
            for _ in range(_ATTEMPTS):
                try:
                    self._refresh()
                    names, words = self.blocks.search(prepared, self._order, self._live)
                except (NotStored, Conflict):
                    continue  # a block was replaced meanwhile
                masks = masks_digest([self._live[name] for name in names])
                # What went missing may have been replaced meanwhile, too.
                if not self.damaged or self.store.state().changes == self._seen:
                    return Scores(self.parameters, self.key_id, token, names, masks, words)
        raise Conflict("the gallery's blocks are being replaced all the time; try again")

    def _refresh(self) -> None:
        """Which blocks there are, and which positions are live, if anything has changed."""
        changes = self.store.state().changes
        if changes == self._seen:
            return
        blocks = self.store.blocks()
        size = self.parameters.templates
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
        self.blocks.keep(self._order)
