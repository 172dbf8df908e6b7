"""All jobs that wait, computed in this thread: for tests, and to see what a job does."""

from __future__ import annotations

import os
import secrets

from fhe_face.service.jobs.claims import Claims
from fhe_face.service.jobs.engines import Engines
from fhe_face.service.jobs.keeping import tell_identity
from fhe_face.service.jobs.opening import open_jobs
from fhe_face.service.jobs.records import Limits
from fhe_face.service.jobs.residents import Residents
from fhe_face.service.jobs.steps import Runner
from fhe_face.service.jobs.stopping import Stopping
from fhe_face.service.jobs.turns import Turns
from fhe_face.service.opening import Service


def work(
    service: Service,
    engines: Engines,
    limits: Limits | None = None,
    budget_bytes: int = 1 << 62,
    stopping: Stopping | None = None,
) -> list[str]:
    """Compute until nothing waits; the names of the jobs that were begun, in order."""
    chosen = limits or Limits()
    database = open_jobs(service)
    worker = f"inline-{os.getpid()}-{secrets.token_hex(4)}"
    claims = Claims(database, worker, chosen)
    tell_identity(claims, engines.identity)
    residents = Residents(engines, budget_bytes)
    stop = stopping or Stopping()
    runner = Runner(claims, service.blobs, residents, service.folder, stop)
    turns = Turns(chosen.turn_seconds)
    begun = []
    try:
        while not stop.asked and (claim := claims.claim(turns, residents.loaded)) is not None:
            begun.append(claim.id)
            runner.run(claim)
    finally:
        database.engine.dispose()
    return begun
