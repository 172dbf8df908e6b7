"""kill -9 in the middle of enrolment, deletion and compaction: nothing is lost, nothing doubled.

A child process works on a small gallery until it is killed. Before and after each operation it
writes a line; what it said was done must be there, and of what it had begun, a part or all.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fhe_face.gallery.gallery import Gallery
from tests.gallery.kit import Painted, consistent, face, make, photo, reopen, save

#: On each database; 100 in all.
KILLS = 50
PHOTOS = 3
#: People that are there at once: whoever is this much older is deleted.
ALIVE = 5
#: At most so many operations end before a kill.
OPERATIONS = 4
#: About what an operation takes, where none was measured.
FIRST_SECONDS = 0.1


def work(folder: Path, photos: Path, log: int, first: int) -> None:
    """Enrol, delete and compact for ever."""
    with reopen(folder, Painted(together=1)) as gallery:
        for person in range(first, first + 10_000):
            steps = [("enrol", person), ("delete", person - ALIVE), ("compact", 0)]
            for what, whom in steps:
                os.write(log, f"begin {what} {whom}\n".encode())
                act(gallery, photos, what, whom)
                os.write(log, f"end {what} {whom}\n".encode())


def act(gallery: Gallery, photos: Path, what: str, whom: int) -> None:
    if what == "enrol":
        gallery.enroll(photos / f"{whom}", subject=f"{whom}")
    elif what == "delete" and whom >= 0:
        gallery.delete([f"{whom}"])
    elif what == "compact":
        gallery.compact()


@contextmanager
def child(folder: Path, photos: Path, first: int) -> Iterator[tuple[int, int]]:
    """A process that works; its id, and what reads its lines."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        try:
            os.close(reader)
            work(folder, photos, writer, first)
        finally:
            os._exit(1)
    os.close(writer)
    try:
        yield pid, reader
    finally:
        os.close(reader)


@dataclass
class Model:
    """Who must be there, by what the lines say. begun: the operation that was interrupted."""

    alive: set[int] = field(default_factory=set)
    begun: tuple[str, int] | None = None
    ended: int = 0

    def read(self, text: str) -> None:
        self.begun = None
        for line in text.splitlines():
            which, what, whom = line.split()
            if which == "begin":
                self.begun = what, int(whom)
                continue
            self.begun = None
            self.ended += 1
            if what == "enrol":
                self.alive.add(int(whom))
            elif what == "delete":
                self.alive.discard(int(whom))

    def require(self, gallery: Gallery) -> None:
        """Nothing lost, nothing doubled, nothing back from the dead."""
        found = {one.name: one.templates for one in gallery.subjects() if one.templates}
        uncertain = self.begun[1] if self.begun and self.begun[0] != "compact" else None
        for person in self.alive - {uncertain}:
            assert found.pop(f"{person}", 0) == PHOTOS, person
        if uncertain is not None:
            assert found.pop(f"{uncertain}", 0) <= PHOTOS
        assert not found, "people who were deleted"

    def finish(self, gallery: Gallery, photos: Path) -> None:
        """What was interrupted, done again, is done."""
        if self.begun is None:
            return
        what, whom = self.begun
        act(gallery, photos, what, whom)
        if what == "enrol":
            assert gallery.subject(f"{whom}").templates == PHOTOS
            self.alive.add(whom)
        elif what == "delete":
            self.alive.discard(whom)


def killed(folder: Path, photos: Path, first: int, operations: int, share: float) -> str:
    """What a child said until it was killed: in the middle of what follows so many operations.

    share: of the time that one operation took until then, which passes before.
    """
    with child(folder, photos, first) as (pid, reader):
        text, started = os.read(reader, 1 << 16), time.perf_counter()
        while text.count(b"end") < operations:
            text += os.read(reader, 1 << 16)
        seconds = (time.perf_counter() - started) / operations if operations else FIRST_SECONDS
        time.sleep(share * seconds)
        os.kill(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        while more := os.read(reader, 1 << 16):
            text += more
    return text.decode()


@pytest.mark.slow
def test_kills(tmp_path: Path, url: str | None) -> None:
    draw = random.Random(url is None)
    photos = tmp_path / "photos"
    made = 0

    def paint(until: int) -> None:
        nonlocal made
        for person in range(made, until):
            for number in range(PHOTOS):
                save(photos / f"{person}" / f"{number}.png", photo(face(person % 250, number)))
        made = until

    folder = tmp_path / "g"
    make(folder, names=True, url=url).close()
    model, first, interrupted = Model(), 0, set()
    for _ in range(KILLS):
        paint(first + 40)
        operations, share = draw.randrange(OPERATIONS + 1), draw.random()
        model.read(killed(folder, photos, first, operations, share))
        if model.begun:
            interrupted.add(model.begun[0])
        with reopen(folder) as gallery:
            consistent(gallery)
            model.require(gallery)
            model.finish(gallery, photos)
            consistent(gallery)
            for person in [one for one in model.alive if one <= max(model.alive) - ALIVE]:
                gallery.delete([f"{person}"])
                model.alive.discard(person)
        first = max(model.alive, default=first) + 1
    assert interrupted == {"enrol", "delete", "compact"}, "the kills hit everything"
    assert model.ended > KILLS, "two operations between kills, on average"
