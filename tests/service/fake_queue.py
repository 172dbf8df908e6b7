"""A queue in memory, for tests of the API: jobs do what a test says, when it says so."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from fhe_face.service.errors import Busy, NotHere
from fhe_face.service.opening import Service
from fhe_face.service.queueing import Answer, JobStatus, State
from fhe_face.service.rows import Room, now


@dataclass
class FakeQueue:
    """Jobs wait until `finish`. Searches answer with the probe, backwards."""

    service: Service
    full: bool = False
    ready: bool = True
    jobs: dict[tuple[str, str], JobStatus] = field(default_factory=dict)
    inputs: dict[str, Mapping[str, str]] = field(default_factory=dict)
    searched: list[tuple[Path, bytes]] = field(default_factory=list)
    hold: threading.Event | None = None

    def submit(
        self, tenant: str, kind: str, inputs: Mapping[str, str], target: tuple[Room, str]
    ) -> str:
        if self.full:
            raise Busy("the queue is full", 7.0)
        id = uuid4().hex
        self.inputs[id] = inputs
        self.jobs[tenant, id] = JobStatus(
            id, kind, State.QUEUED, 0, 0, 0, "", None, None, *target, now()
        )
        return id

    def status(self, tenant: str, id: str) -> JobStatus:
        if (tenant, id) not in self.jobs:
            raise NotHere("there is no job of this id")
        return self.jobs[tenant, id]

    def list(self, tenant: str, limit: int, state: State | None = None) -> list[JobStatus]:
        mine = [job for (owner, _), job in self.jobs.items() if owner == tenant]
        return [job for job in reversed(mine) if state in (None, job.state)][:limit]

    def cancel(self, tenant: str, id: str) -> JobStatus:
        if not self.status(tenant, id).state.final:
            self.change(tenant, id, state=State.CANCELLED, position=None)
        return self.status(tenant, id)

    def depth(self) -> Mapping[str, Mapping[str, int]]:
        counts = Counter((job.kind, job.state.value) for job in self.jobs.values())
        depth: dict[str, dict[str, int]] = {}
        for (kind, state), count in counts.items():
            depth.setdefault(kind, {})[state] = count
        return depth

    def waiting(self, tenant: str) -> int:
        return sum(not job.state.final for (owner, _), job in self.jobs.items() if owner == tenant)

    def search(self, gallery: Path, probe: bytes, timeout: float) -> Answer:
        if self.full:
            raise Busy("the searchers are busy", 1.0)
        if self.hold is not None:
            self.hold.wait(timeout)
        self.searched.append((gallery, probe))
        return Answer(probe[::-1], 5, 3)

    def identity(self) -> str:
        return "fake"

    def workers(self) -> int:
        return int(self.ready)

    def forget(self, tenant: str) -> int:
        mine = [key for key in self.jobs if key[0] == tenant]
        for key in mine:
            del self.jobs[key]
        return len(mine)

    def close(self) -> None:
        pass

    # --- what a test does ----------------------------------------------------------------------

    def change(self, tenant: str, id: str, **changes: Any) -> None:
        self.jobs[tenant, id] = replace(self.jobs[tenant, id], **changes)

    def finish(self, tenant: str, id: str, content: Path) -> None:
        """End a job with a copy of a container as its result."""
        job = self.jobs[tenant, id]
        file = self.service.blobs.scratch() / id
        file.write_bytes(content.read_bytes())
        self.service.blobs.publish(tenant, job.target_room, job.target, file)
        self.change(tenant, id, state=State.DONE, position=None, finished=now())
