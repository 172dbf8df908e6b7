"""A server over HTTP in the shape of `FaceServer`: bundles go there, and answers come back.

What comes back is read as every result of somebody else: compared with the client's own plans and
with what was sent, from its header, before it is decrypted.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fhe_core.container.header import MAX_HEADER_BYTES
from fhe_core.formats.ciphertexts import Bundle, load_bundle
from fhe_face.client.client import FaceClient
from fhe_face.client.requests import Sent, facts_of_sent
from fhe_face.places import EMBEDDING, SCORE, Run, runs_of
from fhe_face.progress import Stage, silent
from fhe_face.remote import jobs
from fhe_face.remote.connection import Connection
from fhe_face.remote.downloading import download
from fhe_face.remote.errors import BadAnswer, RemoteError
from fhe_face.remote.pushing import push
from fhe_face.remote.resources import Room, remove
from fhe_face.remote.waiting import PATIENCE_SECONDS, wait
from fhe_face.shapes import items_of

#: Of padding between sections.
_SLACK: Final = 64 << 10
_ROOMS: Final = {EMBEDDING: Room.EMBEDDINGS, SCORE: Room.SCORES}


@dataclass
class RemoteServer:
    """Somebody else's computer. `FaceClient.embed` and `.verify` take it as any other server.

    The evaluation keys must be there (`push_keys`). key: their name at the server; default: the
    key's id. weights: digest of those that it must have (`fhe_face.plaintexts.digest_of`); None:
    any. patience: seconds that one job may take. cancels: Ctrl-C cancels a job also where its
    result could be fetched later. keep: leave faces and results at the server. folder: for what is
    on the way; default: the system's, each time a private one.

    rounds: a refused face is not tried again, because the server would see that it was refused.
    sent, received: bytes of ciphertexts so far; seconds: that was waited for jobs.
    """

    connection: Connection
    client: FaceClient
    key: str | None = None
    model: str = "default"
    weights: str | None = None
    patience: float = PATIENCE_SECONDS
    cancels: bool = False
    keep: bool = False
    folder: Path | None = None
    stage: Stage = field(default=silent, repr=False)
    rounds: int = 1
    sent: int = 0
    received: int = 0
    seconds: float = 0.0

    def embed(self, bundle: Bundle, /) -> Bundle:
        """Encrypted faces to encrypted embeddings; Ctrl-C cancels the job: these very faces are
        nowhere else, so that nobody could use its result.

        Raises:
            ContainerError: the answer is none to this request.
            JobFailed: the server could not compute it. RemoteError: it cannot be used.
        """
        with self._workspace() as work:
            faces = work / "faces.ct"
            bundle.save(faces)
            return self._embedded(faces, work / "embeddings.ct", [bundle], leave=False)

    def match(self, left: Bundle, right: Bundle) -> Bundle:
        """Encrypted embeddings to encrypted scores, as `FaceServer.match`; errors as `embed`.

        NoScoresError: the client normalises; nothing is sent.
        """
        self.client.circuit.require_scores()
        with self._workspace() as work:
            names = []
            for number, bundle in enumerate((left, right)):
                path = work / f"{number}.ct"
                bundle.save(path)
                names.append(push(self.connection, Room.EMBEDDINGS, path, stage=self.stage).id)
            inputs = {"left": names[0], "right": names[1], "key": self._key}
            job = jobs.submit(self.connection, "scores", inputs)
            return self._fetched(job, SCORE, work / "scores.ct", [left, right])

    def embed_file(
        self,
        faces: str | os.PathLike[str],
        target: str | os.PathLike[str],
        sent: Sequence[Sent] | None = None,
    ) -> Bundle:
        """A file of encrypted faces to one of embeddings, which is written and read.

        Asked again for the same file, after an interruption, nothing is sent or computed twice:
        Ctrl-C leaves the job at the server (`JobLeft`), unless `cancels`.
        """
        return self._embedded(faces, target, sent or [faces], leave=not self.cancels)

    def _embedded(
        self,
        faces: str | os.PathLike[str],
        target: str | os.PathLike[str],
        sent: Sequence[Sent],
        leave: bool,
    ) -> Bundle:
        pushed = push(self.connection, Room.FACES, faces, stage=self.stage, what="sending faces")
        self.sent += pushed.sent
        inputs = {"faces": pushed.id, "key": self._key, "model": self.model}
        job = jobs.submit(self.connection, "embeddings", inputs)
        found = self._fetched(job, EMBEDDING, Path(target), sent, leave)
        if not self.keep:
            self._tidy(Room.FACES, pushed.id)
        return found

    def resume(
        self, job: str, sent: Sequence[Sent], target: str | os.PathLike[str] | None = None
    ) -> Bundle:
        """The answer of a job that was asked for before, by its id; target: keeps it as a file.

        sent: the faces, or both sides of scores: bundles or files.

        Raises: as `embed`.
        """
        with self._workspace() as work:
            found = jobs.find(self.connection, job)
            what = SCORE if len(sent) > 1 else EMBEDDING
            place = Path(target) if target is not None else work / "answer.ct"
            return self._fetched(found, what, place, sent, not self.cancels)

    @property
    def _key(self) -> str:
        return self.key or self.client.key_id

    def _fetched(
        self, job: jobs.Job, what: str, target: Path, sent: Sequence[Sent], leave: bool = False
    ) -> Bundle:
        """Wait, download, read and compare."""
        room, id = self._waited(job, leave)
        if room is not _ROOMS[what]:
            raise BadAnswer(f"the server's result is in {room.value}, expected an {what}")
        limit = self._largest(what, sent)
        download(self.connection, room, id, target, limit, self.stage)
        self.received += target.stat().st_size
        if not self.keep:
            self._tidy(room, id)
        engine = self.client.engine
        admit = self.client.expected.admission(what, sent)
        found = load_bundle(target, what, lambda _name: engine.parameters, admit)
        if self.weights is not None and found.facts.get("weights") != self.weights:
            raise BadAnswer(
                "the server computes with other weights than were meant: embeddings of two models "
                "cannot be compared"
            )
        return found

    def _waited(self, job: jobs.Job, leave: bool) -> tuple[Room, str]:
        started = time.monotonic()
        try:
            return wait(self.connection, job, self.stage, patience=self.patience, leave=leave)
        finally:
            self.seconds += time.monotonic() - started

    def _largest(self, what: str, sent: Sequence[Sent]) -> int:
        """Bytes of the largest answer that there can be to this."""
        engine = self.client.engine
        runs: list[Run] = []
        for one in sent:
            runs += runs_of(facts_of_sent(one)[1], engine.capacity)
        each, levels = 2 * 8 * engine.parameters.ring_dimension, engine.parameters.levels
        limbs = sum(
            levels[item.level].limbs for run in runs for item in items_of(engine, what, run)
        )
        return limbs * each + MAX_HEADER_BYTES + _SLACK

    def _tidy(self, room: Room, id: str) -> None:
        """Leave nothing behind that is not needed: the server sweeps what stays."""
        with suppress(RemoteError):
            remove(self.connection.hasty(), room, id)

    @contextmanager
    def _workspace(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="fhe-face-", dir=self.folder) as name:
            yield Path(name)
