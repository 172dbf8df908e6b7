"""A service's folder for trials, its API process, and what clients need to reach it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fhe_face.remote.backoff import Backoff
from fhe_face.remote.connection import Connection
from fhe_face.service.opening import Service, create_service, open_service
from fhe_face.service.rows import Quotas, Scope
from fhe_face.service.settings import Settings, save_settings
from fhe_face.service.tenants import make_tenant
from fhe_face.service.tokens import create_token
from tests.service.jobs.engine import COUNTS
from tests.service.jobs.worker import ROOT

QUOTAS = Quotas(1 << 40, 10_000, 1_000_000)
#: The service is away for a while again and again: clients wait for it.
PATIENT = Backoff(200, first=0.1, most=0.5)


def children(pid: int) -> list[int]:
    """Of a process, as far as it is there."""
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@dataclass
class Place:
    """folder: of the service; beside it are logs, tokens, and what clients have.

    environment: of the API process, its worker and lanes.
    """

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[str] | None = None

    @classmethod
    def make(
        cls,
        root: Path,
        tenants: Sequence[str],
        url: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Place:
        """An empty service with tenants."""
        place = cls(root, environment or {})
        root.mkdir(exist_ok=True)
        with create_service(place.folder, url) as service:
            # Nobody is poison here: it is never the job's fault when a process is killed.
            save_settings(place.folder, Settings(free_bytes=0, deaths=10_000, turn_seconds=2.0))
            for tenant in tenants:
                make_tenant(service.database, tenant, QUOTAS)
                secret = create_token(service.database, tenant, set(Scope))[1]
                place.token(tenant).write_text(secret)
        return place

    @property
    def folder(self) -> Path:
        return self.root / "service"

    @property
    def counts(self) -> Path:
        """What lanes count."""
        return self.root / "counts"

    @property
    def log(self) -> Path:
        """What the API process, its worker and lanes write to stderr."""
        return self.root / "serve.log"

    def token(self, tenant: str) -> Path:
        return self.root / f"{tenant}.token"

    def open(self) -> Service:
        return open_service(self.folder)

    def connect(self, tenant: str, backoff: Backoff = PATIENT) -> Connection:
        """As a tenant's client."""
        url = f"http://127.0.0.1:{self.port}"
        return Connection(url, self.token(tenant).read_text(), backoff=backoff)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def workers(self) -> list[int]:
        return children(self.pid)

    def lanes(self) -> list[int]:
        return [lane for worker in self.workers() for lane in children(worker)]

    def start(self) -> None:
        """Start the API process, at the port that it had before; until it listens."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.service.trials.serving", self.folder, str(self.port)],
                cwd=ROOT,
                env={
                    **os.environ,
                    COUNTS: str(self.counts),
                    "OMP_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                    **self.environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.process.stdout.close()
        assert line.startswith("listening on "), self.log.read_text()
        self.port = int(line.rpartition(":")[2])

    def kill(self) -> None:
        """kill -9 of the API process."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Leave nothing that runs, whatever has failed."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(60.0)
        finally:
            self.process.kill()
            self.process.wait()
