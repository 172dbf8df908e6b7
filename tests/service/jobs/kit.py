"""A service's folder with tenants, tiny keys and faces, and workers as processes around it."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fhe_core.formats.ciphertexts import Bundle
from fhe_core.secret.files import save_evaluation_keys
from fhe_core.secret.key import SecretKey
from fhe_face.client.client import FaceClient
from fhe_face.service.jobs.calling import SearchClient
from fhe_face.service.jobs.lane import LaneSettings
from fhe_face.service.jobs.opening import open_jobs
from fhe_face.service.jobs.queue import JobQueue, Searcher
from fhe_face.service.jobs.records import Limits
from fhe_face.service.opening import Service, create_service
from fhe_face.service.queueing import JobStatus
from fhe_face.service.rows import Quotas, Room
from fhe_face.service.tenants import make_tenant
from tests.core import tiny
from tests.service.jobs.engine import COUNTS, engine, network, ring
from tests.service.jobs.worker import ROOT

#: Short enough for tests; an idle worker is found dead after three seconds.
LIMITS = Limits(lease_seconds=3.0, pause_seconds=0.05)
QUOTAS = Quotas(1 << 40, 10_000, 10_000)
#: Seconds that a test waits for what takes one or two, also on a machine that is busy.
PATIENCE = 60.0


@dataclass(frozen=True)
class Owner:
    """A client with a tiny key. key: its evaluation keys' file."""

    client: FaceClient
    key: Path


def make_owner(folder: Path, name: str) -> Owner:
    """A new key; its file lies in the folder."""
    key = SecretKey.generate(ring(""))
    own = engine()
    path = folder / f"{name}.key"
    save_evaluation_keys(path, key, own.keys(), own.facts())
    return Owner(FaceClient(key, own), path)


def encrypt(owner: Owner, count: int, seed: int) -> Bundle:
    """Encrypted faces of noise."""
    return owner.client.encrypt(tiny.faces(tiny.images_for(network(), count, seed)))


@dataclass(frozen=True)
class Kit:
    """A service, its queue, and what tenants have put there."""

    service: Service
    queue: JobQueue
    owner: Owner
    limits: Limits

    def tenant(self, name: str, owner: Owner | None = None, key: str = "key") -> None:
        """A tenant with evaluation keys."""
        make_tenant(self.service.database, name, QUOTAS)
        self.put(name, Room.KEYS, key, (owner or self.owner).key)

    def put(self, tenant: str, room: Room, id: str, file: Path) -> None:
        """A copy of a file as a resource."""
        copy = self.service.blobs.scratch() / f"{os.getpid()}-{id}-{time.monotonic_ns()}"
        shutil.copyfile(file, copy)
        self.service.blobs.publish(tenant, room, id, copy)

    def faces(
        self, tenant: str, id: str, count: int = 1, seed: int = 1, owner: Owner | None = None
    ) -> None:
        """Encrypted faces of noise."""
        bundle = encrypt(owner or self.owner, count, seed)
        path = self.service.blobs.scratch() / f"faces-{tenant}-{id}"
        bundle.save(path)
        self.service.blobs.publish(tenant, Room.FACES, id, path)

    def embed(self, tenant: str, faces: str, target: str, key: str = "key") -> str:
        """Submit an embedding."""
        inputs = {"faces": faces, "key": key}
        return self.queue.submit(tenant, "embedding", inputs, (Room.EMBEDDINGS, target))

    def output(self, tenant: str, target: str, room: Room = Room.EMBEDDINGS) -> bytes:
        """An output's bytes."""
        return self.service.blobs.path(tenant, room, target).read_bytes()

    def until(self, tenant: str, job: str, seconds: float = PATIENCE) -> JobStatus:
        """The job when it has ended; fails if it does not."""
        status = self.queue.wait(tenant, job, seconds)
        assert status.state.final, status
        return status

    def close(self) -> None:
        self.queue.close()
        self.service.close()


def make_kit(
    folder: Path,
    owner: Owner,
    url: str | None = None,
    limits: Limits = LIMITS,
    searcher: Searcher | None = None,
) -> Kit:
    """An empty service with a queue."""
    service = create_service(folder, url)
    database = open_jobs(service)
    queue = JobQueue(database, service.blobs, searcher or SearchClient(folder), limits)
    return Kit(service, queue, owner, limits)


@dataclass(frozen=True)
class Process:
    """A worker. log: what it wrote to stderr."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def lanes(self) -> list[int]:
        """Its children."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def start_worker(kit: Kit, counts: Path, **changes: object) -> Process:
    """A worker of the kit's service, which counts in a file.

    changes: of its settings, and of its environment (capitals); held=True: by a pipe on stdin;
    module=NAME: another program.
    """
    held = changes.pop("held", False)
    module = str(changes.pop("module", "tests.service.jobs.worker"))
    environment = {k: str(v) for k, v in changes.items() if k.isupper()}
    chosen = {k: v for k, v in changes.items() if not k.isupper()}
    settings = LaneSettings(str(kit.service.folder), "", 0, kit.limits, threads=1, grace=10.0)
    settings = replace(settings, **chosen)  # type: ignore[arg-type]
    log = counts.with_name(f"worker-{time.monotonic_ns()}.log")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", module, settings.to_json()],
            cwd=ROOT,
            env={**os.environ, COUNTS: str(counts), "OMP_NUM_THREADS": "1", **environment},
            stdin=subprocess.PIPE if held else subprocess.DEVNULL,
            stderr=stream,
        )
    return Process(process, log)


@contextmanager
def worker(kit: Kit, counts: Path, **changes: object) -> Iterator[Process]:
    """A worker for the length of the block; at the end it is asked to end, and must."""
    process = start_worker(kit, counts, **changes)
    try:
        yield process
    finally:
        stop(process)


def stop(worker: Process) -> int:
    """End a worker; its exit status."""
    worker.process.terminate()
    try:
        return worker.process.wait(PATIENCE)
    finally:
        worker.process.kill()
        worker.process.wait()


def wait_for(
    what: Callable[[], object],
    seconds: float = PATIENCE,
    progress: Callable[[], object] | None = None,
) -> None:
    """Until it is true; fails if it does not come, and says which line waited for it.

    progress: as long as its value changes, the seconds begin anew: for what may take long on a
    machine that is slow or busy.
    """
    end, seen = time.monotonic() + seconds, progress and progress()
    while not what():
        if progress is not None and (now := progress()) != seen:
            end, seen = time.monotonic() + seconds, now
        assert time.monotonic() < end, f"not within {seconds:g} s: {_told(what)} ({seen=})"
        time.sleep(0.02)


def _told(what: Callable[[], object]) -> str:
    """The source of a function, on one line; its name, where there is none."""
    try:
        return " ".join(inspect.getsource(what).split())
    except (OSError, TypeError):
        return repr(what)


def counted(path: Path, what: str) -> list[str]:
    """What was counted: jobs with parts, or keys."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split()[1] for line in lines if line.split()[0] == what]
