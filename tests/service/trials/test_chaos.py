"""kill -9 of API process, worker, lanes and clients over HTTP: nothing is lost or done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fhe_core import container
from fhe_face.remote import jobs
from fhe_face.remote.creating import create_remote
from fhe_face.remote.pushing import push
from fhe_face.remote.resources import Room
from fhe_face.remote.waiting import wait
from fhe_face.service.rows import Room as Kept
from tests.extent import LONG
from tests.gallery.killing import Model, paint
from tests.gallery.kit import ALIGNED, SMALL, THRESHOLDS, Painted, consistent
from tests.service.jobs.afterwards import embedder, nothing_left, nothing_repeated
from tests.service.jobs.engine import PAUSE
from tests.service.jobs.kit import LIMITS, Owner, encrypt, wait_for
from tests.service.jobs.submitter import append, lines
from tests.service.jobs.worker import ROOT
from tests.service.trials.place import Place
from tests.service.trials.visitor import Visit, reopen

#: On each database; 50 with those of jobs/test_kills.py are more than 100 in all.
KILLS = 50 if LONG else 14
PARTS = 2
#: Seconds without any progress after which something has stopped, also on a machine that is busy.
PATIENCE = 120.0
#: Whoever is killed, and how often by comparison.
VICTIMS = {"api": 5, "worker": 3, "lane": 4, "enrol": 4, "embed": 2, "send": 4}
#: Those whose death interrupts what is computed.
COMPUTING = ("api", "worker", "lane")


@dataclass
class Chaos:
    """A service with three clients, and who is killed. kills: of whom, how often."""

    place: Place
    owner: Owner
    draw: random.Random
    visits: dict[str, Visit]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    planned: int = 0

    @classmethod
    def make(cls, root: Path, owner: Owner, url: str | None, seed: int) -> Chaos:
        """A service whose clients have sent what they need once."""
        place = Place.make(root, ["alice", "bob"], url, {PAUSE: "0.1"})
        place.start()
        with place.connect("alice") as connection:
            push(connection, Room.KEYS, owner.key, "key")
            create_remote(
                root / "gallery",
                connection=connection,
                embedder=Painted(together=1),
                names=True,
                thresholds=THRESHOLDS,
                preparation=ALIGNED,
                parameters=SMALL,
                threads=1,
            )
        visits = {
            "enrol": {"gallery": str(root / "gallery"), "photos": str(root / "photos")},
            "embed": {"plan": str(root / "plan")},
            "send": {"file": str(owner.key)},
        }
        tenants = {"enrol": "alice", "embed": "alice", "send": "bob"}
        return cls(
            place,
            owner,
            random.Random(seed),
            {
                role: Visit(str(root), place.port, role, tenants[role], more)
                for role, more in visits.items()
            },
        )

    @property
    def plan(self) -> Path:
        return self.place.root / "plan"

    def accepted(self) -> dict[str, str]:
        """Jobs by what they were asked for."""
        return dict(lines(self.visits["embed"].log))

    def more_work(self) -> None:
        """Plan faces and people as long as few are waiting."""
        wanted = 4 + max(len(self.accepted()), self.ended())
        for number in range(self.planned, wanted):
            file = self.place.root / f"faces{number}.ct"
            encrypt(self.owner, PARTS, number).save(file)
            append(self.plan, file.stem, str(file))
        self.planned = max(self.planned, wanted)
        self.more_people()

    def more_people(self) -> None:
        """Paint photos of people who can be enrolled next."""
        photos = self.place.root / "photos"
        first = len(list(photos.iterdir())) if photos.exists() else 0
        paint(photos, first, 10 + sum(one[1] == "enrol" for one in lines(self.visits["enrol"].log)))

    def ended(self) -> int:
        """About how many jobs have ended."""
        return sum(one[0] == "end" for one in lines(self.place.counts)) // PARTS

    def start(self) -> None:
        """Start what does not run. A client that has ended by itself is a fault."""
        for role, visit in self.visits.items():
            if role not in self.running:
                with (self.place.root / f"{role}.err").open("ab") as log:
                    self.running[role] = subprocess.Popen(
                        [sys.executable, "-m", "tests.service.trials.visitor", visit.to_json()],
                        cwd=ROOT,
                        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                        stderr=log,
                    )
        self.require_alive()

    def require_alive(self) -> None:
        """All clients and the API process run."""
        for role, process in self.running.items():
            told = self.place.root / f"{role}.err"
            assert process.poll() is None, told.read_text()[-2000:]
        assert self.place.process is not None
        assert self.place.process.poll() is None, self.place.log.read_text()[-2000:]

    def kill(self, whom: str) -> None:
        """Kill one that is at work, at a random moment."""
        signs = {"worker": self.place.counts, "lane": self.place.counts}
        sign = signs.get(whom, self.visits[whom if whom in self.visits else "send"].log)
        before = len(lines(sign))
        with suppress(AssertionError):  # then it is killed while it starts
            wait_for(lambda: len(lines(sign)) > before, 30.0)
        time.sleep(self.draw.uniform(0.0, 0.4))
        self.require_alive()
        if whom == "api":
            self.place.kill()
            self.place.start()
        elif whom in self.running:
            process = self.running.pop(whom)
            process.kill()
            process.wait()
        else:
            find = self.place.workers if whom == "worker" else self.place.lanes
            while not (pids := find()):
                time.sleep(0.02)
            with suppress(ProcessLookupError):
                os.kill(self.draw.choice(pids), signal.SIGKILL)
        self.kills[whom] += 1

    def end(self) -> None:
        """Stop the clients."""
        for process in self.running.values():
            process.kill()
            process.wait()
        self.running.clear()


def survive(chaos: Chaos, order: list[str]) -> None:
    """Kills, in this order; then all must be as if nobody had been killed."""
    try:
        for whom in order:
            chaos.more_work()
            chaos.start()
            chaos.kill(whom)
        chaos.start()
        wait_for(
            lambda: len(chaos.accepted()) == chaos.planned,
            PATIENCE,
            lambda: len(chaos.accepted()),
        )
        progress(chaos)
        chaos.require_alive()
    finally:
        chaos.end()
    try:
        embeddings_are_right(chaos)
        sections_went_once(chaos)
        gallery_is_right(chaos)
    finally:
        assert chaos.place.stop() == 0, chaos.place.log.read_text()[-2000:]
    died = sum(chaos.kills[whom] for whom in COMPUTING)
    jobs_ = set(chaos.accepted().values())
    interrupted = nothing_repeated(chaos.place.counts, jobs_, PARTS, died)
    with chaos.place.open() as service:
        nothing_left(service, LIMITS)
    print(f"{dict(chaos.kills)}, {chaos.planned} jobs, {interrupted} parts interrupted")


def progress(chaos: Chaos) -> None:
    """After the last kill clients get something done still."""
    # Whoever was away for long leaves time to enrol all that were painted until then.
    chaos.more_people()
    for role in ("enrol", "send"):
        grows(chaos.visits[role].log, 4)


def grows(log: Path, by: int) -> None:
    """Wait until so many lines more are in a log."""
    before = len(lines(log))
    wait_for(lambda: len(lines(log)) >= before + by, PATIENCE, lambda: len(lines(log)))


def embeddings_are_right(chaos: Chaos) -> None:
    """Every accepted job is done, once, with the output that nobody has interrupted."""
    accepted = chaos.accepted()
    assert len(set(accepted.values())) == chaos.planned
    with chaos.place.connect("alice") as connection:
        for job in accepted.values():
            wait(connection, jobs.find(connection, job), patience=PATIENCE)
        assert {str(one.id) for one in jobs.every(connection)} == set(accepted.values())
    embed = embedder(chaos.owner.key)
    with chaos.place.open() as service:
        for name in accepted:
            found = service.blobs.path("alice", Kept.EMBEDDINGS, name).read_bytes()
            assert found == embed(chaos.place.root / f"{name}.ct")


def sections_went_once(chaos: Chaos) -> None:
    """A section that was taken is never sent again; a kill costs the one that was on its way."""
    begun: Counter[tuple[str, str]] = Counter()
    taken: set[tuple[str, str]] = set()
    for what, name, *digest in lines(chaos.visits["send"].log):
        if what == "begin":
            assert (name, digest[0]) not in taken
            begun[name, digest[0]] += 1
        elif what == "end":
            taken.add((name, digest[0]))
    again = sum(begun.values()) - len(begun)
    assert again <= chaos.kills["send"] + chaos.kills["api"]
    file = chaos.owner.key
    with chaos.place.connect("bob") as connection:
        push(connection, Room.KEYS, file, "last")
    with chaos.place.open() as service:
        stored = service.blobs.path("bob", Kept.KEYS, "last")
        assert stored.read_bytes() == file.read_bytes()
    sections = len({one.digest for one in container.read_header(file).sections})
    print(f"{len(begun)} sections of files of {sections}, {again} sent again")


def gallery_is_right(chaos: Chaos) -> None:
    """No template lost or doubled, nobody back from the dead; what was interrupted can be ended."""
    visit, model = chaos.visits["enrol"], Model()
    photos = Path(visit.more["photos"])
    model.read(visit.log.read_text())
    with reopen(chaos.place, visit.tenant, Path(visit.more["gallery"])) as gallery:
        consistent(gallery)
        model.require(gallery)
        model.finish(gallery, photos)
        consistent(gallery)
        counts = gallery.counts()
        assert counts["templates"] == sum(row.templates for row in gallery.subjects())
        assert gallery.seen()[0] == counts["templates"] + counts["deleted_templates"]
    assert model.ended > 3
    print(f"{model.ended} changes of the gallery, {len(model.alive)} people are left")


@pytest.mark.slow
def test_kills(owner: Owner, tmp_path: Path, url: str | None) -> None:
    chaos = Chaos.make(tmp_path / "place", owner, url, seed=1 + (url is None))
    more = chaos.draw.choices(list(VICTIMS), list(VICTIMS.values()), k=KILLS - len(VICTIMS))
    order = [*VICTIMS, *more]
    chaos.draw.shuffle(order)
    try:
        survive(chaos, order)
    finally:
        chaos.place.end()
    assert set(chaos.kills) == set(VICTIMS)
