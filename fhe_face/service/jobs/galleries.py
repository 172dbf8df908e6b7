"""Galleries in memory for searching: blocks of as many as fit, the longest unused leaves first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fhe_core.formats.matching import probe_from_bytes, to_bytes
from fhe_core.matching import MatchParameters, gallery_parameters
from fhe_face.server.blocks import Computing
from fhe_face.server.searching import SearchServer
from fhe_face.service.queueing import Answer

#: Open galleries; each keeps connections to its database.
_MOST: Final = 16


@dataclass
class _Gallery:
    """An open gallery; users: searches that go on."""

    server: SearchServer
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    closed: bool = False


@dataclass
class Galleries:
    """Open galleries by their folders.

    memory_bytes: of all blocks together; threads: of one search; parameters: of the ring (None:
    those of every gallery); compute: where blocks are searched, of a gallery's folder and its
    key's id (None: in this process).
    """

    memory_bytes: int
    threads: int | None = None
    parameters: MatchParameters | None = None
    compute: Callable[[Path, str], Computing] | None = None
    _open: OrderedDict[Path, _Gallery] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def search(self, folder: Path, probe: bytes) -> Answer:
        """The sealed scores of a probe. Failure: the gallery or the probe cannot be used."""
        parameters = self.parameters or gallery_parameters()
        with self._using(folder) as gallery:
            server = gallery.server
            asked = probe_from_bytes(probe, parameters, server.key_id, "the probe")
            with gallery.lock:  # what is asked after the search is of this search
                version = server.store.state().version
                scores = server.search(asked)
                changes, damaged = server.changes, tuple(server.damaged)
            return Answer(to_bytes(scores), changes, version, damaged)

    def close(self) -> None:
        """Close all galleries that no search uses."""
        with self._lock:
            for folder in list(self._open):
                self._drop(folder)

    @contextmanager
    def _using(self, folder: Path) -> Iterator[_Gallery]:
        with self._lock:
            gallery = self._current(folder)
            gallery.users += 1
        try:
            yield gallery
        finally:
            with self._lock:
                gallery.users -= 1
                if gallery.closed and not gallery.users:
                    gallery.server.close()
                self._make_room(folder)

    def _current(self, folder: Path) -> _Gallery:
        """The open gallery, opened anew where another key or another store has taken its place."""
        found = self._open.get(folder)
        if found is not None and not _is_current(folder, found.server):
            self._drop(folder)
            found = None
        if found is None:
            found = self._open[folder] = _Gallery(self._load(folder))
        self._open.move_to_end(folder)
        return found

    def _load(self, folder: Path) -> SearchServer:
        compute = self.compute
        if compute is None:
            return SearchServer.load(
                folder,
                threads=self.threads,
                memory=self.memory_bytes,
                parameters=self.parameters,
            )
        chosen = self.parameters or gallery_parameters()
        return SearchServer.open(folder, chosen, lambda _store, key_id: compute(folder, key_id))

    def _make_room(self, keep: Path) -> None:
        while len(self._open) > 1 and (
            self._occupied() > self.memory_bytes or len(self._open) > _MOST
        ):
            oldest = next(folder for folder in self._open if folder != keep)
            self._drop(oldest)

    def _occupied(self) -> int:
        return sum(gallery.server.memory_bytes for gallery in self._open.values())

    def _drop(self, folder: Path) -> None:
        gallery = self._open.pop(folder)
        gallery.closed = True
        if not gallery.users:
            gallery.server.close()


def _is_current(folder: Path, server: SearchServer) -> bool:
    """Whether the gallery is still there, and has the key that was loaded."""
    if not folder.is_dir():
        return False
    return str(server.store.facts.get("key_id")) == server.key_id
