"""The worker of one machine: two lanes that compute, and a process that sees to it that they live.

    python -m fhe_face.service.jobs.worker --folder DATA

It loads no engine. A lane that dies, by whatever, is started again; its job is tried again or, if
it was there too often when a lane died, set aside. Several workers may share one PostgreSQL and
one folder. SIGTERM: what is computed may end within the grace, the rest is handed back.
"""

from __future__ import annotations

import argparse
import os
import secrets
import select
import signal
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from fhe_core.errors import Failure
from fhe_core.files import one_line
from fhe_face.service.jobs.children import ROOT, Lane
from fhe_face.service.jobs.claims import Claims
from fhe_face.service.jobs.confining import confine
from fhe_face.service.jobs.keeping import RUN, Dispatcher, Keeper, Presence, host
from fhe_face.service.jobs.lane import (
    BLOCK_BYTES,
    CANNOT_START,
    LaneSettings,
    cannot_start,
    log,
)
from fhe_face.service.jobs.opening import open_jobs
from fhe_face.service.jobs.records import Limits
from fhe_face.service.jobs.stopping import Stopping
from fhe_face.service.opening import open_service
from fhe_face.service.settings import load_settings
from fhe_face.store.errors import StoreError

JOBS: Final = "fhe_face.service.jobs.lane"
SEARCHES: Final = "fhe_face.service.jobs.search_lane"
#: The lanes that compute here, and those that have the nodes of a Ray cluster compute.
HERE: Final = (JOBS, SEARCHES)
RAY: Final = ("fhe_face.service.cluster.lane", "fhe_face.service.cluster.search_lane")
_TICK_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 2.0
_SWEEP_SECONDS: Final = 60.0
#: A job that should have ended itself by its time limit is ended with its lane after that, or after
#: as long as the limit itself.
_SLACK_SECONDS: Final = 30.0
#: Address space of the lane of searches beside blocks: libraries, tables, probes.
_SEARCH_BYTES: Final = 4 << 30
#: A lane that was asked to end may take so much longer than the grace: a step of a plan.
_END_SECONDS: Final = 3.0


@dataclass
class Worker:
    """Lanes, and what is done for them in the database."""

    keeper: Keeper
    lanes: tuple[Lane, Lane]
    stopping: Stopping
    _due: dict[str, float] = field(default_factory=dict)
    _death: str | None = None

    def run(self) -> int:
        """Until asked to end; the exit status: 0 unless a lane cannot start."""
        self.keeper.presence.enter()
        can_start = True
        while can_start and not self.stopping.asked:
            if is_abandoned():
                log("abandoned", {"worker": self.keeper.claims.worker})
                break
            now = time.monotonic()
            ended = [(lane, lane.ended(now)) for lane in self.lanes]
            can_start = CANNOT_START not in {status for _, status in ended}
            for lane, status in ended:
                self._note(lane, status)
            if can_start:
                self._look(now)
                self.stopping.nap(_TICK_SECONDS)
        self._end()
        return 0 if can_start else CANNOT_START

    def _note(self, lane: Lane, status: int | None) -> None:
        """A lane has ended, or not (None)."""
        if status is not None:
            log("lane ended", {"lane": lane.module, "status": status})
            if lane is self.lanes[0]:
                self._death = _reason(status)

    def _look(self, now: float) -> None:
        """Start what does not run; a lane of jobs only when it is written down that one died."""
        jobs, searches = self.lanes
        if self._death is not None:
            self._try(self._bury_lane)
        if self._death is None:
            jobs.start(now)
        searches.start(now)
        self._keep(jobs, now)

    def _bury_lane(self) -> None:
        if self.keeper.claims.died(str(self._death)):
            self.lanes[0].forgive()  # it was the job: others need not wait for a pause
        self._death = None

    def _keep(self, jobs: Lane, now: float) -> None:
        limits = self.keeper.claims.limits
        for name, seconds, what in (
            ("seen", limits.lease_seconds / 4, self.keeper.seen),
            ("bury", min(_LOOK_SECONDS, limits.lease_seconds / 4), self.keeper.bury),
            ("overdue", _LOOK_SECONDS, lambda: self._overdue(jobs)),
            ("sweep", _SWEEP_SECONDS, self.keeper.sweep),
        ):
            if now >= self._due.get(name, 0.0):
                self._due[name] = now + seconds
                self._try(what)

    def _overdue(self, jobs: Lane) -> None:
        """A job that does not end itself is ended with its lane."""
        claims = self.keeper.claims
        slack = min(_SLACK_SECONDS, claims.limits.job_seconds)
        if claims.overdue(slack):
            claims.time_out(slack)
            jobs.signal(signal.SIGKILL)

    def _end(self) -> None:
        for lane in self.lanes:
            lane.signal(signal.SIGTERM)
        until = time.monotonic() + self.stopping.grace + _END_SECONDS
        for lane in self.lanes:
            if not lane.wait(until - time.monotonic()):
                lane.signal(signal.SIGKILL)
                lane.wait(10.0)
        self._try(self.keeper.claims.give_back_all)
        self._try(self.keeper.gone)
        log("ended", {"worker": self.keeper.claims.worker})

    @staticmethod
    def _try(what: Callable[[], object]) -> None:
        """The database may be away for a while: that must not end the worker."""
        try:
            what()
        except (StoreError, Failure, OSError) as error:
            log("database", {"error": one_line(str(error))})


def _reason(status: int) -> str:
    if status == -signal.SIGKILL:
        return "the process was killed, perhaps because memory ran out"
    if status < 0:
        with suppress(ValueError):
            return f"the process was ended by {signal.Signals(-status).name}"
    return f"the process ended by itself (status {status})"


def make_worker(
    settings: LaneSettings,
    modules: tuple[str, str] | None = None,
    root: Path = ROOT,
) -> Worker:
    """A worker for a service's folder. modules: of its lanes, where tests have others.

    Raises:
        Failure: there is no such service, or its database cannot be reached.
    """
    service = open_service(settings.folder)
    claims = Claims(open_jobs(service), settings.worker, settings.limits)
    presence = Presence(service.folder / RUN, settings.worker)
    kind = Keeper if settings.ray is None else Dispatcher
    keeper = kind(claims, presence, service.blobs, service.folder)
    here = HERE if settings.ray is None else RAY
    jobs, searches = (Lane(module, settings, root) for module in modules or here)
    if settings.ray is None:
        searches.settings = replace(settings, memory=settings.blocks + _SEARCH_BYTES)
    return Worker(keeper, (jobs, searches), Stopping(settings.grace))


def is_abandoned() -> bool:
    """Whether whoever started this process has gone: its end of the pipe on stdin is closed.

    Where stdin is no pipe (a terminal, /dev/null), nobody is expected there.
    """
    try:
        if not stat.S_ISFIFO(os.fstat(0).st_mode):
            return False
        readable, _, _ = select.select([0], [], [], 0)
        return bool(readable) and not os.read(0, 4096)
    except OSError:
        return False


def worker_name() -> str:
    """A new one; it begins with the machine's."""
    return f"{host()}.{os.getpid()}.{secrets.token_hex(4)}"


def settings_for(
    folder: Path,
    *,
    weights: str | None = None,
    threads: int | None = None,
    memory: int | None = None,
    blocks: int | None = None,
    grace: float | None = None,
    ray: str | None = None,
) -> LaneSettings:
    """Of a new worker; what is not given here is as in the service's settings.

    Raises:
        Invalid: the service's settings make no sense.
    """
    place = folder.resolve()
    settings = load_settings(place)
    return LaneSettings(
        folder=str(place),
        worker=worker_name(),
        parent=os.getpid(),
        limits=Limits.of(settings),
        weights=weights or settings.weights,
        threads=threads or settings.threads,
        memory=memory or settings.worker_memory,
        blocks=BLOCK_BYTES if blocks is None else blocks,
        grace=settings.grace_seconds if grace is None else grace,
        ray=ray,
    )


def serve(
    settings: LaneSettings,
    modules: tuple[str, str] | None = None,
    root: Path = ROOT,
) -> int:
    """Be a worker until asked to end; the exit status: 0 unless a lane cannot start.

    Raises:
        Failure: there is no such service, or its database cannot be reached.
    """
    worker = make_worker(settings, modules, root)
    confine()
    worker.stopping.on_signals()
    return worker.run()


def main() -> None:
    """``python -m fhe_face.service.jobs.worker``, as the service starts it."""
    parser = argparse.ArgumentParser(prog="fhe-face worker", description="computes jobs")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--weights")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--memory", type=int)
    parser.add_argument("--blocks", type=int)
    parser.add_argument("--grace", type=float)
    parser.add_argument("--ray")
    try:
        sys.exit(serve(settings_for(**vars(parser.parse_args()))))
    except Failure as error:
        sys.exit(cannot_start(error))


if __name__ == "__main__":
    main()
