"""The lane of embeddings and scores: a process that computes one job at a time, and may die.

The worker starts it anew as often as necessary: ``python -m fhe_face.service.jobs.lane``, its
settings as one JSON object on stdin. Tests have a module of their own, with another engine.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from fhe_core.errors import Failure
from fhe_core.files import one_line
from fhe_face.service.jobs.claims import Claims
from fhe_face.service.jobs.confining import confine, end_with_parent
from fhe_face.service.jobs.engines import Engines, FaceEngines, require_secure
from fhe_face.service.jobs.keeping import tell_identity
from fhe_face.service.jobs.opening import open_jobs
from fhe_face.service.jobs.records import Limits
from fhe_face.service.jobs.residents import Residents
from fhe_face.service.jobs.steps import Runner
from fhe_face.service.jobs.stopping import Stopping
from fhe_face.service.jobs.turns import Turns
from fhe_face.service.opening import open_service
from fhe_face.store.errors import StoreError
from fhe_face.system import available_memory_bytes

#: A lane that ends with this status would end so again: its settings cannot be used.
CANNOT_START: Final = 2
#: Searches come first where both compute.
_NICENESS: Final = 5
_IDLE_SECONDS: Final = (0.02, 0.25)
_DATABASE_SECONDS: Final = 2.0
_AWAY_SECONDS: Final = 1.0
#: Of the memory that is there, where no limit is set.
_SHARE: Final = 0.8
_LARGEST_SETTINGS: Final = 1 << 16
#: Of galleries, in memory.
BLOCK_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class LaneSettings:
    """What a worker tells its lanes.

    memory: bytes of address space, and of keys and all else; None: what the machine has left.
    blocks: bytes of galleries' blocks that stay in memory (lane of searches). ray: address of a
    Ray cluster whose nodes compute; memory and blocks are those of each node then.
    """

    folder: str
    worker: str
    parent: int
    limits: Limits
    weights: str | None = None
    threads: int | None = None
    memory: int | None = None
    blocks: int = BLOCK_BYTES
    grace: float = 25.0
    ray: str | None = None

    def to_json(self) -> str:
        """For `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LaneSettings:
        """What `to_json` made."""
        content = json.loads(text)
        return cls(**{**content, "limits": Limits(**content["limits"])})


def serve(settings: LaneSettings, engines: Engines, *, insecure: bool = False) -> None:
    """Compute jobs until asked to end.

    insecure: whether engines may compute on rings that protect nothing; only tests say so.

    Raises:
        Failure: the engine cannot be used, or there is no such service.
    """
    require_secure(engines.name, insecure=insecure)
    stopping = Stopping(settings.grace)
    stopping.on_signals()
    with open_service(settings.folder) as service:
        database = open_jobs(service)
        claims = Claims(database, settings.worker, settings.limits)
        tell_identity(claims, engines.identity)
        residents = Residents(engines, settings.memory or budget())
        runner = Runner(claims, service.blobs, residents, service.folder, stopping, log)
        turns = Turns(settings.limits.turn_seconds)
        turns.remember(claims.served(), time.monotonic())
        log("ready", {"lane": "jobs", "engine": engines.name})
        work(runner, turns, stopping)
        database.engine.dispose()


def always() -> bool:
    """What computes is in this process."""
    return True


def work(
    runner: Runner, turns: Turns, stopping: Stopping, ready: Callable[[], bool] = always
) -> None:
    """One job after the other. ready: asked before each whether what computes is there."""
    shortest, longest = _IDLE_SECONDS
    idle, unsure = shortest, False
    while not stopping.asked:
        if not ready():
            stopping.nap(_AWAY_SECONDS)
            continue
        try:
            if unsure:  # the last claim may have been written, though its answer was lost
                runner.claims.give_back_all()
            claim = runner.claims.claim(turns, runner.residents.loaded)
            unsure = False
        except StoreError as error:
            unsure = True
            log("database", {"error": one_line(str(error))})
            stopping.nap(_DATABASE_SECONDS)
            continue
        if claim is None:
            stopping.nap(idle)
            idle = min(2 * idle, longest)
            continue
        idle = shortest
        runner.run(claim)


def log(what: str, facts: Mapping[str, Any]) -> None:
    """One JSON object as a line on stderr; no secret, no name of a person is ever in it."""
    line = json.dumps({"time": round(time.time(), 3), "event": what, **facts})
    print(line, file=sys.stderr, flush=True)


def read_settings(*, limited: bool = True) -> LaneSettings:
    """What the worker wrote to stdin; then the process is confined, and ends with the worker.

    limited: whether the limit of memory is this process's.
    """
    settings = LaneSettings.from_json(sys.stdin.read(_LARGEST_SETTINGS))
    end_with_parent(settings.parent)
    confine(settings.memory if limited else None)
    return settings


def cannot_start(error: Failure) -> int:
    """Say why this process cannot start; the status to end with: whether it would fail again."""
    log("cannot start", {"code": error.code, "error": one_line(str(error))})
    away = isinstance(error.__cause__, SQLAlchemyError)  # the database may be there a little later
    return 1 if away else CANNOT_START


def budget() -> int:
    available = available_memory_bytes()
    return 1 << 62 if available is None else int(_SHARE * available)


def main() -> None:
    """The lane with the real engine."""
    settings = read_settings()
    os.nice(_NICENESS)
    try:
        serve(settings, FaceEngines(settings.weights, settings.threads))
    except Failure as error:
        sys.exit(cannot_start(error))


if __name__ == "__main__":
    main()
