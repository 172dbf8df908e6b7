"""A gallery at a server: the same `Gallery`, with its store and its search behind HTTP.

What stays here, in a folder: client/gallery.key, which opens everything; client/gallery.ledger,
which counts the server's answers; client/gallery.witness, what is known to be there; remote.json.

What the server sees does not depend on a face's health or on a decision: a face that was refused is
written down as a blank that looks like any other, and searched like any other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fhe_core.container.header import MAX_HEADER_BYTES
from fhe_core.formats.matching import to_bytes
from fhe_core.matching import MatchParameters, Probe, Scores, gallery_parameters
from fhe_core.secret.files import Passphrase
from fhe_face.client.health import UnhealthyResultError
from fhe_face.client.ledger import Warn, warn_in_python
from fhe_face.gallery.embedders import Embedder
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.faces import FoundFace
from fhe_face.gallery.facts import Facts
from fhe_face.gallery.folders import Folder
from fhe_face.gallery.gallery import Gallery
from fhe_face.gallery.identification import Match, Result, Verified
from fhe_face.gallery.index import Searcher
from fhe_face.gallery.locking import KeyLock
from fhe_face.gallery.opened import Opened
from fhe_face.gallery.ranking import TOP, Identified
from fhe_face.gallery.rekeying import NewKeys
from fhe_face.gallery.searchers import Counted, scores_of
from fhe_face.models.templates import Array
from fhe_face.progress import Stage, silent
from fhe_face.remote.asking import BLOCK_SLACK
from fhe_face.remote.connection import Connection
from fhe_face.remote.place import Place
from fhe_face.remote.rekeying import RemoteKeys
from fhe_face.remote.saving import back_up
from fhe_face.remote.store import RemoteStore
from fhe_face.remote.watched import WatchedStore
from fhe_face.remote.witness import Witness
from fhe_face.system import default_threads


@dataclass(frozen=True)
class RemoteSearcher:
    """Carries probes to the server, and its scores back."""

    store: RemoteStore
    parameters: MatchParameters

    def search(self, probe: Probe, /) -> Scores:
        """The sealed scores of all blocks that the server can read.

        Raises:
            ContainerError: they answer another probe, or are damaged. RemoteError: as everything.
        """
        p = self.parameters
        each = 2 * p.templates * p.result_bytes
        limit = MAX_HEADER_BYTES + BLOCK_SLACK + each * len(self.store.blocks())
        path, content = self.store.path("searches"), to_bytes(probe)
        try:
            answer = self.store.connection.request("POST", path, content, limit=limit, again=True)
        finally:
            self.store.forget_state()  # what was searched may be another state than was known
        return scores_of(answer.body, probe)


class RemoteGallery(Gallery):
    """Use it as a `Gallery`. What only works where the files are is refused: `repair`."""

    remote: WatchedStore
    _own_connection: Connection | None = None

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        connection: Connection | None = None,
        passphrase: Passphrase = None,
        embedder: Embedder | None = None,
        threads: int | None = None,
        parameters: MatchParameters | None = None,
        answer_limit: int | None = None,
        warn: Warn = warn_in_python,
    ) -> RemoteGallery:
        """A gallery that `create_remote` made.

        connection: to its server; default: by the profile that it was made with. Others: as
        `Gallery.open`.

        Raises:
            LoginError: there is no such profile. TamperedError: the server has an older state.
            Others: as `Gallery.open`, and RemoteError.
        """
        place = Place.load(folder)
        used = connection or place.connect()
        chosen = parameters or gallery_parameters()
        count = threads or default_threads()
        client = Folder(Path(folder))
        with ExitStack() as undone:
            if connection is None:
                undone.callback(used.close)
            lock = KeyLock(client.client)
            undone.callback(lock.release)
            witness = Witness.load(client.client, place.facts.gallery)
            store = watched(used, place.gallery, chosen, witness, warn)
            facts = Facts.from_json(store.facts)
            place.settled(folder, facts)
            if facts.parameters != chosen.digest:
                raise GalleryError("the gallery was made with other parameters of the ring")
            key = client.load_key(chosen, facts.key_id, count, passphrase)
            opened = Opened(client, store, key, chosen, facts, count)
            store.state()
            counted = Counted.beside(client.ledger, key.key_id, answer_limit, warn)
            found = cls(opened, lock, embedder, counted)
            found.remote = store
            store.moving = found._moving
            found._own_connection = None if connection is not None else used
            undone.pop_all()
            return found

    @staticmethod
    def describe(folder: str | os.PathLike[str]) -> dict[str, Any]:
        """What a gallery's server says of it."""
        place = Place.load(folder)
        with place.connect() as connection:
            store = watched(connection, place.gallery, gallery_parameters(), Witness(""))
            return {**place.facts.to_json(), **store.counts()._asdict(), "server": place.url}

    def close(self) -> None:
        """Write down what is known to be at the server, and close."""
        try:
            self.remote.witness.save(self.opened.folder.client)
        finally:
            super().close()
            if self._own_connection is not None:
                self._own_connection.close()

    @property
    def name(self) -> str:
        """At the server."""
        return self.remote.id

    @property
    def remote_searcher(self) -> Searcher:
        """The server."""
        return RemoteSearcher(self.remote, self.opened.parameters)

    def answer(
        self,
        face: FoundFace,
        result: Result,
        *,
        top: int = TOP,
        match: Match = "encrypted",
        searcher: Searcher | None = None,
    ) -> Identified:
        """As `Gallery.answer`, by the server: its answers are counted."""
        self._prepare()
        found = super().answer(face, result, top=top, match=match, searcher=searcher)
        if found.answer is None:
            self.pass_over(match, searcher)
        return found

    def verdict(
        self,
        face: FoundFace,
        result: Result,
        subject: str,
        *,
        match: Match = "encrypted",
        searcher: Searcher | None = None,
        photo: str = "the photo",
    ) -> Verified:
        """As `Gallery.verdict`, by the server: its answers are counted."""
        self._prepare()
        try:
            return super().verdict(
                face, result, subject, match=match, searcher=searcher, photo=photo
            )
        except UnhealthyResultError:
            self.pass_over(match, searcher)
            raise

    def pass_over(self, match: Match = "encrypted", searcher: Searcher | None = None) -> None:
        """Search for nobody: the server must not see that no search follows a refused face."""
        if match != "encrypted":
            return
        vector = np.random.default_rng().normal(size=self.opened.parameters.features)
        unit: Array = vector / np.linalg.norm(vector)
        self.scores(unit, match, searcher)

    def _names(self, searcher: Searcher | None) -> int:
        """As of any other searcher."""
        return 2 * sum(not row.deleted for row in self.remote.mirror().values()) + 1

    def _used(self, searcher: Searcher | None, outcomes: int) -> Searcher:
        """The server where no other was named; its answers are counted in any case."""
        return self._counted.around(searcher or self.remote_searcher, outcomes)

    def _prepare(self) -> None:
        """Ask for all that any answer may need, so that no question depends on the answer."""
        self.remote.mirror()
        self.finder.index.snapshot()
        self.finder.subjects_of_templates()

    def backup(self, target: str | os.PathLike[str], stage: Stage = silent) -> None:
        """Copy all rows, as of one moment, with the key, into a new folder here.

        Raises:
            As `fhe_face.remote.saving.back_up`.
        """
        back_up(self.opened, Path(target), stage)

    def _new_keys(self) -> NewKeys:
        return RemoteKeys(self.opened, self.remote.connection)

    @contextmanager
    def _moving(self, facts: Mapping[str, Any]) -> Iterator[None]:
        """Other facts in this block: the folder knows them as soon as the server has them."""
        root = self.opened.folder.root
        with Place.load(root).moving(root, Facts.from_json(facts)):
            yield
            self.remote.witness.save(self.opened.folder.client)

    def seen(self) -> tuple[int, str | None]:
        """Read all rows and compare them: how many templates there are, and a digest of all that
        two clients of one gallery may compare.

        Raises:
            TamperedError: the server has changed something.
        """
        count = sum(1 for _ in self.remote.templates(include_deleted=True))
        listing = self.remote.witness.listing
        return count, None if listing is None else listing.digest()


def watched(
    connection: Connection,
    gallery: str,
    parameters: MatchParameters,
    witness: Witness,
    tell: Warn = warn_in_python,
) -> WatchedStore:
    """The store of a gallery at a server."""
    block = 6 * parameters.features * parameters.parameters.ring_dimension + BLOCK_SLACK
    return WatchedStore(
        connection, gallery, block, parameters.templates, witness=witness, tell=tell
    )
