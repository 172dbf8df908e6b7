"""What can be found in a gallery, and the scores of one face with all of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fhe_core.container import ContainerError
from fhe_core.matching import AnswerMismatch, Probe, Scores, StaleAnswer, mask_of
from fhe_face.gallery.opened import ATTEMPTS, Opened, busy
from fhe_face.models.templates import Array, centred
from fhe_face.store import Block, Conflict, DamagedBlock, NotStored

Mask = NDArray[np.bool_]
#: Of unit vectors, with rounding and noise: 1.032 at most. Anything beyond was broken or crafted.
LARGEST = 1.04


class Searcher(Protocol):
    """A server of this gallery, or what carries probes to one and scores back."""

    def search(self, probe: Probe, /) -> Scores:
        """The sealed scores of all blocks that it can read."""
        ...


class OwnSearcher(Searcher, Protocol):
    """A server that belongs to one gallery, and ends with it."""

    def close(self) -> None:
        """End it."""
        ...


@dataclass(frozen=True, eq=False)
class Place:
    """A block. owners: of its live positions, in order; live: (N,) which these are."""

    digest: str
    owners: tuple[str, ...]
    live: Mask


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What the store held at one moment. pending: owners without a place."""

    changes: int
    places: tuple[Place, ...]
    pending: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Found:
    """Scores of one face. owners: (n,) subjects or templates; scores: (n,) cosines of what is
    sealed; missing: blocks that were not searched, so that their owners were compared here."""

    owners: tuple[str, ...]
    scores: Array
    missing: tuple[str, ...] = ()


@dataclass
class Index:
    """Scores with everybody: sealed ones from a server, the others in the clear here."""

    opened: Opened
    _seen: Snapshot | None = field(default=None, repr=False)
    _clear: dict[str, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def snapshot(self) -> Snapshot:
        """As the store is now.

        Raises:
            Busy: it changed all the time. MatchingError: a place lies outside its block.
        """
        store = self.opened.store
        for _ in range(ATTEMPTS):
            changes = store.state().changes
            if self._seen is not None and self._seen.changes == changes:
                return self._seen
            try:
                places = tuple(map(self._place, store.blocks()))
            except NotStored:
                continue
            pending = tuple(owner.id for owner in store.pending())
            if store.state().changes == changes:
                self._seen = Snapshot(changes, places, pending)
                kept = {place.digest for place in places}
                self._clear = {name: one for name, one in self._clear.items() if name in kept}
                return self._seen
        raise busy()

    def _place(self, block: Block) -> Place:
        """As it was read before, unless positions have died since: none ever comes to life."""
        before = self._seen.places if self._seen is not None else ()
        for place in before:
            if place.digest == block.digest and len(place.owners) == block.live:
                return place
        entries = self.opened.store.entries(block.digest)
        live = mask_of([entry.position for entry in entries], self.opened.parameters.templates)
        return Place(block.digest, tuple(entry.owner.id for entry in entries), live)

    def sealed(self, embedding: Array, searcher: Searcher) -> Found:
        """Scores (n,) of a unit embedding (F,) with all, by a server that sees none of them.

        Raises:
            ContainerError: the scores answer another probe, or are another gallery's.
            Busy: the gallery changed all the time.
        """
        probe_vector = centred(embedding, self.opened.settings.centre)
        for _ in range(ATTEMPTS):
            before = self.snapshot()
            probe = self.opened.sealer.seal_probe(probe_vector)
            scores = searcher.search(probe)
            if self.opened.store.state().changes != before.changes:
                continue
            with suppress(StaleAnswer):  # the server has not seen a change yet, or saw one more
                return self.read(scores, probe, embedding, before)
        raise busy()

    def read(self, scores: Scores, probe: Probe, embedding: Array, snapshot: Snapshot) -> Found:
        """Open scores, and compare here with whoever is in none of the searched blocks.

        Raises:
            StaleAnswer: other positions were live for the server.
            ContainerError: the scores answer another probe, name blocks that there are not, or are
                none of unit vectors.
        """
        searched = set(scores.blocks)
        chosen = [place for place in snapshot.places if place.digest in searched]
        if len(searched) != len(scores.blocks) or len(chosen) != len(searched):
            raise AnswerMismatch("the scores are of blocks that the gallery does not have")
        rows: list[Array] = []
        if chosen:
            names, live = [p.digest for p in chosen], [p.live for p in chosen]
            rows = list(self.opened.sealer.open_scores(scores, probe, names, live))
            if np.nanmax(np.abs(rows), initial=0.0) > LARGEST:
                raise AnswerMismatch("the scores are larger than any of this gallery can be")
        missing = [place for place in snapshot.places if place.digest not in searched]
        return self._merged(embedding, snapshot, chosen, rows, missing)

    def local(self, embedding: Array) -> Found:
        """The same scores from opened blocks, which stay in memory: no server takes part."""
        for _ in range(ATTEMPTS):
            with suppress(Conflict):  # a block was replaced meanwhile
                return self._local(embedding, self.snapshot())
        raise busy()

    def _local(self, embedding: Array, snapshot: Snapshot) -> Found:
        vector = centred(embedding, self.opened.settings.centre)
        chosen, rows, missing = [], [], []
        for place in snapshot.places:
            templates = self._templates(place.digest)
            if templates is None:
                missing.append(place)
            else:
                chosen.append(place)
                rows.append(np.asarray(templates @ vector, dtype=np.float64))
        return self._merged(embedding, snapshot, chosen, rows, missing)

    def _templates(self, digest: str) -> NDArray[np.float32] | None:
        if digest not in self._clear:
            try:
                opened = self.opened.block(digest)
            except (DamagedBlock, ContainerError):
                return None
            self._clear[digest] = opened.astype(np.float32)
        return self._clear[digest]

    def _merged(
        self,
        embedding: Array,
        snapshot: Snapshot,
        places: Sequence[Place],
        rows: Sequence[Array],
        missing: Sequence[Place],
    ) -> Found:
        owners: list[str] = []
        parts: list[Array] = []
        for place, row in zip(places, rows, strict=True):
            owners += place.owners
            parts.append(row[: len(place.live)][place.live])
        waiting = [*snapshot.pending]
        waiting += [owner for place in missing for owner in place.owners]
        settings = self.opened.settings
        here = self.opened.vectors(waiting, settings)
        owners += list(here)
        if here:
            vector = centred(embedding, settings.centre)
            parts.append(np.stack(list(here.values())) @ vector)
        scores = np.concatenate(parts) if parts else np.zeros(0)
        return Found(tuple(owners), scores, tuple(place.digest for place in missing))
