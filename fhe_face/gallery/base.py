"""An open gallery's parts and their life; what one does with it is in `Gallery`."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from fhe_core.matching import MatchParameters, gallery_parameters
from fhe_core.secret.files import Passphrase
from fhe_face.client.ledger import Warn, warn_in_python
from fhe_face.gallery.creating import folder_of
from fhe_face.gallery.embedders import Embedder, LocalEmbedder
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.faces import FaceReader
from fhe_face.gallery.facts import Facts
from fhe_face.gallery.identification import Finder
from fhe_face.gallery.index import Index, OwnSearcher
from fhe_face.gallery.locking import KeyLock
from fhe_face.gallery.opened import Opened
from fhe_face.gallery.searchers import Counted
from fhe_face.gallery.settings import Settings
from fhe_face.gallery.subjects import People
from fhe_face.gallery.upkeep import Upkeep
from fhe_face.server.searching import SearchServer
from fhe_face.store import Store
from fhe_face.system import default_threads

Self = TypeVar("Self", bound="OpenGallery")


class OpenGallery:
    """Holds the gallery's secret key. What it says must not be shared as it is (docs/security.md).

    Use it in a ``with`` block, or `close` it. One object serves one thread; several objects, also
    in several processes, may use one gallery at once.
    """

    opened: Opened
    people: People
    finder: Finder
    upkeep: Upkeep

    def __init__(
        self, opened: Opened, lock: KeyLock, embedder: Embedder | None, counted: Counted
    ) -> None:
        """Use :meth:`create` or :meth:`open`."""
        self._lock = lock
        self._embedder = embedder
        self._counted = counted
        self._searcher: OwnSearcher | None = None
        self._make_searcher: Callable[[Opened], OwnSearcher] = _in_this_process
        self._attach(opened, FaceReader(opened.facts))

    def _attach(self, opened: Opened, reader: FaceReader) -> None:
        """Use these parts from now on: a new key or model has new ones."""
        self._forget_searcher()
        self.opened = opened
        self.people = People(opened)
        self.finder = Finder(opened, Index(opened), self.people, reader)
        self.upkeep = Upkeep(opened, self.people)

    @classmethod
    def open(
        cls: type[Self],
        folder: str | os.PathLike[str],
        *,
        passphrase: Passphrase = None,
        embedder: Embedder | None = None,
        threads: int | None = None,
        parameters: MatchParameters | None = None,
        answer_limit: int | None = None,
        warn: Warn = warn_in_python,
    ) -> Self:
        """A gallery that was made before.

        passphrase: of a protected key, or what asks for it. embedder: what embeds photos; default:
        the gallery's weights, in the clear, on this machine. answer_limit: so many answers from
        other parties may be opened in the key's life; warn: told when that is near.

        Raises:
            GalleryError: there is no gallery, or not its key.
            LockedKey: the passphrase is missing or wrong. ContainerError: the key is damaged.
            StoreError: the store cannot be used.
        """
        place = folder_of(folder)
        chosen = parameters or gallery_parameters()
        count = threads or default_threads()
        if not place.client.is_dir():
            raise place.no_key()
        lock = KeyLock(place.client)
        store = None
        try:
            store = Store.open(place.server)
            facts = Facts.from_json(store.facts)
            if facts.parameters != chosen.digest:
                raise GalleryError("the gallery was made with other parameters of the ring")
            key = place.load_key(chosen, facts.key_id, count, passphrase)
            opened = Opened(place, store, key, chosen, facts, count)
            counted = Counted.beside(place.ledger, key.key_id, answer_limit, warn)
            return cls(opened, lock, embedder, counted)
        except BaseException:
            if store is not None:
                store.close()
            lock.release()
            raise

    @staticmethod
    def describe(folder: str | os.PathLike[str]) -> dict[str, Any]:
        """What a gallery says without its key: facts, and how much there is."""
        with Store.open(folder_of(folder).server) as store:
            return {**Facts.from_json(store.facts).to_json(), **store.counts()._asdict()}

    def close(self) -> None:
        """Close the store, and forget what was opened."""
        self._forget_searcher()
        self.opened.store.close()
        self._lock.release()

    def _count_anew(self) -> None:
        """A new key has given no answers yet."""
        self._counted = self._counted.of_key(self.opened.folder.ledger, self.facts.key_id)

    def _forget_searcher(self) -> None:
        if self._searcher is not None:
            self._searcher.close()
            self._searcher = None

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Gallery {self.name}, key {self.facts.key_id[:8]}>"

    # --- what it is -------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.opened.folder.root.resolve().name

    @property
    def facts(self) -> Facts:
        """Model, preparation, mode, key: what is public."""
        return self.opened.facts

    @property
    def settings(self) -> Settings:
        """Thresholds, centre, weights: what is sealed."""
        return self.opened.settings

    def counts(self) -> dict[str, int]:
        """Subjects, templates, deleted ones, entries, pending, blocks, refusals."""
        return dict(self.opened.store.counts()._asdict())

    @property
    def embedder(self) -> Embedder:
        """What embeds photos: as given, or the gallery's weights in the clear.

        Raises:
            GalleryError: it has neither. CheckpointError, WeightsError: its weights cannot be used.
        """
        if self._embedder is None:
            weights = self.settings.weights
            if weights is None:
                raise GalleryError("the gallery does not know its weights: give an embedder")
            self._embedder = LocalEmbedder.load(weights, 2 if self.facts.preparation.flip else 1)
        return self._embedder

    @property
    def searcher(self) -> OwnSearcher:
        """The server's part, by default in this very process: made when first needed."""
        if self._searcher is None:
            self._searcher = self._make_searcher(self.opened)
        return self._searcher

    def search_by(self, make: Callable[[Opened], OwnSearcher]) -> None:
        """Have the caller's own code search from now on, such as in a process without the key.

        Its answers are not counted: nobody else has chosen them.
        """
        self._forget_searcher()
        self._make_searcher = make


def _in_this_process(opened: Opened) -> OwnSearcher:
    return SearchServer.load(
        opened.folder.server, threads=opened.threads, parameters=opened.parameters
    )
