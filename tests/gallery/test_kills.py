"""kill -9 in the middle of enrolment, deletion and compaction: nothing is lost, nothing doubled.

A child process works on a small gallery until it is killed (`tests.gallery.killing`).
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.extent import LONG
from tests.gallery.killing import ALIVE, Model, act, paint
from tests.gallery.kit import Painted, consistent, make, reopen

#: On each database; 100 in all in the long run.
KILLS = 50 if LONG else 25
#: What kills must have hit at least once.
ALL = {"enrol", "delete", "compact"}
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
    folder = tmp_path / "g"
    make(folder, names=True, url=url).close()
    model, first, interrupted, kills = Model(), 0, set[str](), 0
    while kills < KILLS or interrupted != ALL:
        assert kills < 4 * KILLS, f"only {interrupted} were hit"
        kills += 1
        paint(photos, made, first + 40)
        made = first + 40
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
    assert model.ended > kills, "two operations between kills, on average"
