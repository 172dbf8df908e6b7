"""Workers, their lanes and whoever submits are killed at random: nothing is lost or done twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from fhe_face.service.queueing import State
from fhe_face.service.rows import Room
from tests.extent import LONG
from tests.service.jobs.afterwards import embedder, nothing_left, nothing_repeated
from tests.service.jobs.engine import PAUSE
from tests.service.jobs.kit import (
    LIMITS,
    Kit,
    Owner,
    Process,
    make_kit,
    start_worker,
    stop,
    wait_for,
)
from tests.service.jobs.submitter import append, lines
from tests.service.jobs.worker import ROOT

TENANTS = ("alice", "bob")
PARTS = 2
#: Seconds without any progress after which something has stopped, also on a machine that is busy.
PATIENCE = 120.0


@dataclass
class Chaos:
    """Two workers and a submitter, and who is killed. kills: of whom, how often."""

    kit: Kit
    folder: Path
    counts: Path
    draw: random.Random
    workers: list[Process] = field(default_factory=list)
    submitter: subprocess.Popen[bytes] | None = None
    kills: Counter[str] = field(default_factory=Counter)
    planned: int = 0

    @property
    def plan(self) -> Path:
        return self.folder / "plan"

    @property
    def accepted(self) -> Path:
        return self.folder / "accepted"

    def more_work(self) -> None:
        """Plan jobs as long as few are waiting."""
        for _ in range(2):  # a busy machine may take them no faster than they are done
            if sum(self.kit.queue.waiting(tenant) for tenant in TENANTS) >= 4:
                return
            for tenant in TENANTS:
                self.planned += 1
                name = f"faces{self.planned}"
                self.kit.faces(tenant, name, PARTS, seed=self.planned)
                append(self.plan, tenant, name)
            wait_for(self.is_taken, PATIENCE, lambda: len(self.jobs()))

    def is_taken(self) -> bool:
        """Whether most of what was planned was accepted."""
        return len(set(map(tuple, self.jobs()))) >= self.planned - 3

    def jobs(self) -> list[list[str]]:
        """Accepted: tenant, name, job; those that were submitted twice, twice."""
        return lines(self.accepted)

    def start(self) -> None:
        """Start what does not run."""
        while len(self.workers) < 2:
            self.workers.append(start_worker(self.kit, self.counts, **{PAUSE: 0.2}))
        if self.submitter is None:
            arguments = [str(self.kit.service.folder), str(self.plan), str(self.accepted)]
            self.submitter = subprocess.Popen(
                [sys.executable, "-m", "tests.service.jobs.submitter", *arguments], cwd=ROOT
            )

    def kill(self) -> None:
        """Kill one of them at a random moment."""
        if self.draw.random() < 0.7:  # in the middle of a part
            before = len(lines(self.counts))
            with suppress(AssertionError):
                wait_for(lambda: len(lines(self.counts)) > before, 5.0)
        time.sleep(self.draw.uniform(0.0, 0.5))
        worker = self.draw.choice(self.workers)
        what = self.draw.choice(("worker", "lane", "lane", "lane", "submitter"))
        if what == "submitter":
            assert self.submitter is not None
            self.submitter.kill()
            self.submitter.wait()
            self.submitter = None
        elif what == "worker":
            worker.process.kill()
            worker.process.wait()
            self.workers.remove(worker)
        else:
            lanes = worker.lanes()
            if not lanes:
                return
            with suppress(ProcessLookupError):
                os.kill(self.draw.choice(lanes), signal.SIGKILL)
        self.kills[what] += 1
        self.start()

    def end(self) -> None:
        """Stop all."""
        if self.submitter is not None:
            self.submitter.kill()
            self.submitter.wait()
        for worker in self.workers:
            stop(worker)


def survive(kit: Kit, folder: Path, counts: Path, kills: int, seed: int) -> None:
    """So many kills; then every accepted job must have ended, with the right output."""
    for tenant in TENANTS:
        kit.tenant(tenant)
    chaos = Chaos(kit, folder, counts, random.Random(seed))
    try:
        chaos.start()
        while sum(chaos.kills.values()) < kills:
            chaos.more_work()
            chaos.kill()
        wait_for(
            lambda: len({tuple(job[:2]) for job in chaos.jobs()}) == chaos.planned,
            PATIENCE,
            lambda: len(chaos.jobs()),
        )
        for tenant, _, job in chaos.jobs():
            assert kit.until(tenant, job, PATIENCE).state is State.DONE
    finally:
        chaos.end()
    accepted = {tuple(job) for job in chaos.jobs()}
    assert len(accepted) == chaos.planned  # submitted again after a kill: the same job
    assert sum(len(kit.queue.list(tenant, 10_000)) for tenant in TENANTS) == chaos.planned
    embed = embedder(kit.owner.key)
    for tenant, name, _ in accepted:
        faces = kit.service.blobs.path(tenant, Room.FACES, name)
        assert kit.output(tenant, name) == embed(faces)
    died = chaos.kills["lane"] + chaos.kills["worker"]
    interrupted = nothing_repeated(counts, {job for _, _, job in accepted}, PARTS, died)
    print(f"{dict(chaos.kills)}, {chaos.planned} jobs, {interrupted} parts interrupted")
    nothing_left(kit.service, kit.limits)


@pytest.fixture
def patient(tmp_path: Path, owner: Owner, url: str | None) -> Iterator[Kit]:
    """A service that sets nothing aside: here it is never the job's fault."""
    made = make_kit(tmp_path / "service", owner, url, replace(LIMITS, deaths=1000))
    yield made
    made.close()


@pytest.mark.slow
def test_kills(patient: Kit, tmp_path: Path, counts: Path) -> None:
    """Of two workers on one database; tests/service/trials kills more, over HTTP."""
    survive(patient, tmp_path, counts, 20 if LONG else 10, seed=1)
