"""A client over HTTP as a process, which may be killed: ``python -m ...visitor JSON``.

What it begins and what has ended are lines of a file; one that starts again goes on from there, as
a person would who types the same command once more.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fhe_face.remote import jobs
from fhe_face.remote.connection import Answer, Connection, Content
from fhe_face.remote.errors import Unreachable
from fhe_face.remote.gallery import RemoteGallery
from fhe_face.remote.pushing import push
from fhe_face.remote.resources import Room, remove
from tests.gallery.killing import ALIVE, act
from tests.gallery.kit import SMALL, Painted, Tiles
from tests.service.jobs.submitter import append, lines
from tests.service.trials.place import PATIENT, Place

_PIECE_SECONDS = 0.005


@dataclass(frozen=True)
class Visit:
    """What a client is told. role: a function's name; log: what it writes; more: its arguments."""

    root: str
    port: int
    role: str
    tenant: str
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return Path(self.root) / f"{self.role}.log"

    @property
    def place(self) -> Place:
        return Place(Path(self.root), port=self.port)

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@contextmanager
def reopen(place: Place, tenant: str, folder: Path) -> Iterator[RemoteGallery]:
    """A gallery of painted photos at the service, with a connection of its own."""
    with (
        place.connect(tenant) as connection,
        RemoteGallery.open(
            folder,
            connection=connection,
            embedder=Painted(together=1),
            parameters=SMALL,
            threads=1,
            warn=lambda text: print(text, file=sys.stderr, flush=True),
        ) as found,
    ):
        found.finder.reader.aligner = Tiles()  # type: ignore[assignment]
        yield found


def enrol(visit: Visit) -> None:
    """Enrol people, delete them, compact; whatever was interrupted first."""
    photos, log = Path(visit.more["photos"]), visit.log
    with reopen(visit.place, visit.tenant, Path(visit.more["gallery"])) as gallery:
        done = lines(log)
        if done and done[-1][0] == "begin":
            act(gallery, photos, done[-1][1], int(done[-1][2]))
            append(log, "end", *done[-1][1:])
        person = max((int(one[2]) for one in done if one[1] == "enrol"), default=-1)
        while True:
            person += 1
            while not (photos / f"{person}").is_dir():
                time.sleep(0.02)
            for what, whom in (("enrol", person), ("delete", person - ALIVE), ("compact", 0)):
                append(log, "begin", what, str(whom))
                act(gallery, photos, what, whom)
                append(log, "end", what, str(whom))


def embed(visit: Visit) -> None:
    """Send faces as they are planned, ask for embeddings, and write down what was accepted."""
    with visit.place.connect(visit.tenant) as connection:
        done = {one[0] for one in lines(visit.log)}
        while True:
            for name, file in lines(Path(visit.more["plan"])):
                if name in done:
                    continue
                push(connection, Room.FACES, file, name)
                asked = {"faces": name, "key": "key", "id": name}
                job = jobs.submit(connection, "embeddings", asked)
                append(visit.log, name, str(job.id))
                done.add(name)
            time.sleep(0.05)


class Telling(Connection):
    """Writes down which sections it begins to send, and which were taken. name: of the file."""

    log: Path
    name: str

    def __enter__(self) -> Telling:
        return self

    def put(
        self, path: str, content: Content = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """As any other, but slowly, so that kills come in the middle."""
        if not isinstance(content, tuple):
            return super().put(path, content, headers)
        digest, (make, length) = path.rpartition("/")[2], content

        def pieces() -> Iterator[bytes]:
            append(self.log, "begin", self.name, digest)
            for piece in make():
                time.sleep(_PIECE_SECONDS)
                yield piece

        answer = super().put(path, (pieces, length), headers)
        append(self.log, "end", self.name, digest)
        return answer


def send(visit: Visit) -> None:
    """Send a file by section, remove it, and again under another name."""
    place = visit.place
    url, token = f"http://127.0.0.1:{place.port}", place.token(visit.tenant).read_text()
    with Telling(url, token, backoff=PATIENT) as connection:
        connection.log = visit.log
        whole = sum(one[0] == "whole" for one in lines(visit.log))
        if whole:
            remove(connection, Room.KEYS, f"k{whole - 1}")  # perhaps it was not removed any more
        while True:
            connection.name = f"k{whole}"
            push(connection, Room.KEYS, visit.more["file"], connection.name, parallel=1)
            append(visit.log, "whole", connection.name)
            remove(connection, Room.KEYS, connection.name)
            whole += 1


ROLES = {one.__name__: one for one in (enrol, embed, send)}

if __name__ == "__main__":
    asked = Visit(**json.loads(sys.argv[1]))
    while True:
        try:
            ROLES[asked.role](asked)
        except Unreachable as error:  # a list that was cut off is not asked for again by itself
            print(error, file=sys.stderr, flush=True)
