"""What the owner of a gallery does where a server enrols and searches by itself, in one object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fhe_core.secret.key import SecretKey
from fhe_face.client.ledger import Ledger
from fhe_face.engine import Engine
from fhe_face.gallery import crossing, findings
from fhe_face.gallery.crossing import Waiting
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.findings import Answered
from fhe_face.gallery.identification import Finder
from fhe_face.gallery.opened import Opened
from fhe_face.gallery.ranking import TOP
from fhe_face.gallery.subjects import People
from fhe_face.progress import Stage, silent


@dataclass(frozen=True)
class ServerOnly:
    """Of an open gallery; see docs/server-only.md.

    ledger: counts answers of the gallery's key; seal: gives templates without a place one.
    """

    opened: Opened
    people: People
    finder: Finder
    ledger: Ledger
    seal: Callable[[Stage], int]

    def make_key(self, key: SecretKey, engine: Engine, weights: str, stage: Stage = silent) -> Path:
        """The switching key from an engine's secret key, in `server/`: see `crossing.make_switch`.

        weights: digest of the gallery's network in that engine (`fhe_face.plaintexts.digest_of`).
        """
        return crossing.make_switch(self.opened, key, engine, weights, stage)

    def remove_key(self, stage: Stage = silent) -> bool:
        """Take the switching key away; whether there was one. GalleryError: faces wait."""
        return crossing.remove_switch(self.opened, stage)

    def require_none_waiting(self) -> None:
        """Raises GalleryError where faces wait, which only this key opens."""
        crossing.require_none_waiting(self.opened)

    def require_no_key(self) -> None:
        """Raises GalleryError where there is a switching key: it is for this network only."""
        if self.opened.settings.crossing is not None:
            raise GalleryError(
                "the gallery's switching key is for the network that it has now: remove it first "
                "(fhe-face gallery server-only key --remove), and make another one afterwards"
            )

    def waiting(self) -> list[Waiting]:
        """The faces that wait, each judged, and counted as an answer once."""
        return crossing.waiting_faces(self.opened, self.ledger)

    def confirm(
        self,
        faces: Sequence[str] | None = None,
        name: str | None = None,
        stage: Stage = silent,
    ) -> tuple[list[str], list[Waiting]]:
        """Make templates of healthy faces; their ids, and the faces that must not be used.

        faces: the beginnings of their names, None: all that wait. name: of the person; default:
        the id that the server was told.

        Raises:
            GalleryError: no such face waits, or its person is deleted.
            AnswerLimitError, StoreError: as for `waiting`, and the store.
        """
        only = None if faces is None else crossing.find_waiting(self.opened, faces)
        judged = crossing.waiting_faces(self.opened, self.ledger, only)
        healthy = [face for face in judged if face.healthy]
        made = [crossing.confirm(self.opened, self.people, face, name) for face in healthy]
        self.seal(stage)
        return made, [face for face in judged if not face.healthy]

    def drop(self, faces: Sequence[str] | None = None) -> int:
        """Remove faces that wait, by the beginnings of their names, or all; how many."""
        names = list(crossing.files_of(self.opened).names())
        chosen = names if faces is None else crossing.find_waiting(self.opened, faces)
        return crossing.drop(self.opened, chosen)

    def answer(self, data: bytes, request: str | None = None, top: int = TOP) -> Answered:
        """Who a face is, by a server's findings: see `findings.answer`."""
        waiting = self.waiting()
        return findings.answer(self.finder, self.ledger, data, waiting, request=request, top=top)
