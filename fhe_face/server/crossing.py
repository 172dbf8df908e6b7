"""A server alone: a face's encrypted embedding goes on to a gallery, and no owner is online.

It needs the gallery's switching key, which only the owner of both keys can make
(docs/server-only.md). Nothing that this module imports can decrypt. What it enrols waits until its
owner has seen that it is healthy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from fhe_core.container import (
    ContainerError,
    Corrupt,
    KeyMismatch,
    ParameterMismatch,
    WrongKind,
)
from fhe_core.files import shown
from fhe_core.formats.ciphertexts import Bundle, ParameterLoader, head_of, load_bundle
from fhe_core.formats.heads import Head
from fhe_core.formats.matching import load_gallery_keys
from fhe_core.formats.preparation import ENTRY as PREPARATION
from fhe_core.formats.switching import (
    MOST_WAITING,
    KeyFacts,
    face_from_bytes,
    face_to_bytes,
    load_switch_key,
)
from fhe_core.matching import MatchParameters, gallery_parameters
from fhe_core.matching.crossed import SUBJECT, Findings, SwitchedFace, token_of
from fhe_core.matching.switch_plan import Form
from fhe_core.matching.switching import Switcher
from fhe_core.parameters import presets
from fhe_face.keyfile import SWITCH_KEY, WAITING, evaluation_key_of
from fhe_face.models.faces import whatever_contrast
from fhe_face.places import EMBEDDING, Packing, Run, runs_of
from fhe_face.server.searching import SearchServer
from fhe_face.store import DamagedBlock, StoreError
from fhe_face.store.blocks import BlockFiles
from fhe_face.system import default_threads
from fhe_face.tokens import tokens_of

#: Of a batch nothing is read: its faces do not repeat in the slots.
_NO_BATCHES: Final = 1

Path_ = str | os.PathLike[str]


class NoSwitchKey(StoreError):
    """The owner has not made a switching key for this gallery."""

    code = "no-switching-key"


class TooManyWaiting(StoreError):
    """So many faces wait that no more may be enrolled."""

    code = "too-many-waiting"


def waiting_files(folder: Path_) -> BlockFiles:
    """Of a gallery's folder `server/`: each named by the SHA-256 of its content."""
    return BlockFiles(Path(folder) / WAITING)


@dataclass
class CrossingServer:
    """One gallery that a server searches and fills by itself, for faces of one engine's key."""

    searcher: SearchServer
    switcher: Switcher
    facts: KeyFacts
    files: BlockFiles
    engines: ParameterLoader = presets.load
    _known: dict[str, SwitchedFace] = field(default_factory=dict, repr=False)

    @classmethod
    def load(
        cls,
        folder: Path_,
        *,
        threads: int | None = None,
        parameters: MatchParameters | None = None,
        engines: ParameterLoader = presets.load,
    ) -> CrossingServer:
        """Of a gallery's folder `server/`.

        Raises:
            NoSwitchKey: its owner has made none. StoreError: there is no gallery here.
            ContainerError: a key cannot be used.
        """
        chosen, count = parameters or gallery_parameters(), threads or default_threads()
        searcher = SearchServer.load(folder, threads=count, parameters=chosen)
        try:
            path = Path(folder) / SWITCH_KEY
            if not path.is_file():
                raise NoSwitchKey(
                    f"{shown(path)} is missing: only the gallery's owner can let a server enrol "
                    "and search by itself (fhe-face gallery server-only key)"
                )
            key, facts = load_switch_key(path, chosen, searcher.key_id, engines)
            keys = load_gallery_keys(
                evaluation_key_of(Path(folder), searcher.key_id), chosen, searcher.key_id
            )
            return cls(searcher, Switcher(key, keys, count), facts, waiting_files(folder), engines)
        except BaseException:
            searcher.close()
            raise

    def close(self) -> None:
        """Forget the blocks, and close the store."""
        self.searcher.close()

    # --- from results to faces --------------------------------------------------------------------

    def read(self, path: Path_) -> Bundle:
        """An engine's embeddings; what does not belong here is refused from the header.

        Raises:
            ContainerError: as `require`, or the file is damaged.
        """
        return load_bundle(path, EMBEDDING, self.engines, self._admit)

    def _admit(self, head: Head) -> None:
        self.require(head)

    def require(self, head: Head) -> tuple[Run, ...]:
        """That embeddings are of the engine's key, network and preparation, each computed alone.

        Raises:
            KeyMismatch, ParameterMismatch, WrongKind, Corrupt: they are not.
        """
        key, source = self.switcher.key, head.source
        if head.what != EMBEDDING:
            raise WrongKind(f"{source}: holds an encrypted {head.what}, not embeddings")
        if head.key_id != key.engine_key:
            raise KeyMismatch(
                f"{source}: belongs to key {head.key_id[:8]}, the gallery's switching key is for "
                f"{key.engine_key[:8]}"
            )
        if head.parameters.digest != key.plan.engine.digest:
            raise ParameterMismatch(f"{source}: was made with other parameters")
        runs = runs_of(head.facts, _NO_BATCHES)
        if any(run.packing is not Packing.ALONE for run in runs):
            raise ParameterMismatch(
                f"{source}: holds a batch; a server alone takes faces that were computed alone "
                "(fhe-face encrypt --alone)"
            )
        tokens_of(source, head.facts, len(runs))
        self._require_facts(head)
        self._require_items(head, runs)
        return runs

    def _require_facts(self, head: Head) -> None:
        source, own = head.source, self.searcher.store.facts
        if head.facts.get("weights") != self.facts.weights:
            raise ParameterMismatch(f"{source}: was computed by another network than the gallery's")
        if head.facts.get("normalisation") != self.facts.normalisation:
            raise ParameterMismatch(f"{source}: was normalised in another way")
        if head.facts.get("embedding") != self.switcher.plan.features:
            raise Corrupt(f"{source}: does not hold embeddings of the gallery's length")
        found, wanted = head.facts.get(PREPARATION), own.get("preparation")
        both = isinstance(found, dict) and isinstance(wanted, dict)
        if not both or whatever_contrast(found or {}) != whatever_contrast(wanted or {}):
            raise ParameterMismatch(
                f"{source}: its faces were prepared in another way than the gallery's"
            )

    def _require_items(self, head: Head, runs: tuple[Run, ...]) -> None:
        plan, found = self.switcher.plan, {item.name: item for item in head.items}
        wanted: dict[str, Form] = {}
        for run in runs:
            names = [f"{run.label} {name}" for name in self.facts.outputs]
            wanted |= zip(names, (plan.embedding, plan.norm), strict=True)
        same = found.keys() == wanted.keys() and len(found) == len(head.items)
        if not same or not all(
            form.fits(found[name].level, found[name].scale) for name, form in wanted.items()
        ):
            raise Corrupt(f"{head.source}: does not hold what the engine makes of its faces")

    def faces(self, bundle: Bundle, subject: str = "") -> list[SwitchedFace]:
        """The faces of embeddings, in the gallery's ring; subject: whom they are enrolled for.

        Raises:
            ValueError: the subject is no id. Others as `require`.
        """
        if subject and not SUBJECT.fullmatch(subject):
            raise ValueError(
                f"subject {subject[:80]!r}: an id has 1 to 64 of the characters A-Z a-z 0-9 . _ -"
            )
        runs = self.require(head_of(bundle))
        requests = tokens_of("the embeddings", bundle.facts, len(runs))
        found = []
        for run, request in zip(runs, requests, strict=True):
            embedding, norm = (bundle.items[f"{run.label} {name}"] for name in self.facts.outputs)
            found.append(
                SwitchedFace(
                    self.searcher.parameters,
                    self.searcher.key_id,
                    request,
                    subject,
                    self.switcher.embedding(embedding),
                    self.switcher.norm(norm),
                )
            )
        return found

    # --- enrolling and looking up -----------------------------------------------------------------

    def enrol(self, face: SwitchedFace) -> str:
        """Let a face wait for its owner; what it is called: the digest of its file.

        Raises:
            TooManyWaiting: nothing has changed. FileError: it cannot be written.
        """
        if sum(1 for _ in self.files.names()) >= MOST_WAITING:
            raise TooManyWaiting(
                f"{MOST_WAITING} faces wait for the gallery's owner already: gallery "
                "server-only confirm, or drop"
            )
        return self.files.write(face_to_bytes(face))

    def waiting(self) -> dict[str, SwitchedFace]:
        """Faces that wait and can be read, each with its digest; they stay in memory."""
        parameters, key_id = self.searcher.parameters, self.searcher.key_id
        found: dict[str, SwitchedFace] = {}
        for digest in islice(self.files.names(), MOST_WAITING):
            face = self._known.get(digest)
            try:
                data = b"" if face else self.files.read(digest)
                name = f"face {digest[:12]}"
                found[digest] = face or face_from_bytes(data, parameters, key_id, name)
            except (DamagedBlock, ContainerError):
                continue  # its owner is told: `gallery server-only waiting`
        self._known = found
        return found

    def look_up(self, face: SwitchedFace) -> Findings:
        """The sealed scores of a face with everybody, and with all faces that wait.

        Raises:
            StoreError, MatchingError: the store cannot be read, or a place lies outside its block.
        """
        token = token_of(face.request)
        scores = self.searcher.search_prepared(
            self.switcher.constants(face.embedding, token), token
        )
        others = self.waiting()
        beside = [face.embedding, *(one.embedding for one in others.values())]
        products = self.switcher.products(face.embedding, beside)
        return Findings(scores, face.norm, products, tuple(others))
