"""What must be true of a service after workers were killed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from fhe_face.service import receiving
from fhe_face.service.jobs.claims import Claims
from fhe_face.service.jobs.keeping import Keeper, Presence
from fhe_face.service.jobs.opening import open_jobs
from fhe_face.service.jobs.records import Limits
from fhe_face.service.opening import Service
from fhe_face.service.rows import Room
from fhe_face.service.settings import Settings
from fhe_face.service.upkeep import tidy
from tests.service.jobs.engine import TinyEngines
from tests.service.jobs.kit import Kit, Owner
from tests.service.jobs.submitter import lines


def expected(owner: Owner, kit: Kit, tenant: str, name: str) -> bytes:
    """The output for a resource of faces that nobody has interrupted."""
    return embedder(owner.key)(kit.service.blobs.path(tenant, Room.FACES, name))


def embedder(key: Path) -> Callable[[Path], bytes]:
    """What computes the embeddings of a file of faces, with keys that are loaded once."""
    server = TinyEngines().load(key, lambda *_: None).resident.server  # type: ignore[attr-defined]
    return lambda faces: bytes(server.embed(server.read(faces, "image")).to_bytes())


def nothing_repeated(counts: Path, jobs: set[str], parts: int, kills: int) -> int:
    """A part that has ended is never begun again; how many were begun again after a kill."""
    ended: set[str] = set()
    begun: Counter[str] = Counter()
    for what, step, *_ in lines(counts):
        if what == "begin":
            assert step not in ended, f"{step} was computed, and then again"
            begun[step] += 1
        elif what == "end":
            ended.add(step)
    assert set(begun) == {f"{job}/{part}" for job in jobs for part in range(parts)}
    again = sum(begun.values()) - len(begun)
    assert again <= kills
    return again


def nothing_left(service: Service, limits: Limits) -> None:
    """No part, no scratch file, no dead worker after housekeeping."""
    database = open_jobs(service)
    presence = Presence(service.folder / "run", "keeper")
    keeper = Keeper(Claims(database, "keeper", limits), presence, service.blobs, service.folder)
    keeper.bury()
    keeper.sweep()
    assert not list((service.folder / "parts").iterdir())
    for path in service.blobs.scratch().iterdir():
        # Of a request to an API process that was killed.
        assert path.name.startswith(receiving.PREFIX), path
        os.utime(path, (0, 0))
    tidy(service, Settings())
    assert not list(service.blobs.scratch().iterdir())
    assert not list((service.folder / "run").glob("*.lock"))
    database.engine.dispose()
