"""The real service on small rings, over a real socket: jobs are computed by a thread beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from fhe_core.formats.matching import probe_from_bytes, to_bytes
from fhe_core.matching import MatchParameters
from fhe_face.client.client import FaceClient
from fhe_face.remote.backoff import Backoff
from fhe_face.remote.connection import Connection
from fhe_face.server.searching import SearchServer
from fhe_face.service.admission import Circuits
from fhe_face.service.app import build_app
from fhe_face.service.context import Context
from fhe_face.service.jobs.engines import Engines
from fhe_face.service.jobs.inline import work
from fhe_face.service.jobs.queue import open_queue
from fhe_face.service.opening import Service
from fhe_face.service.queueing import Answer
from fhe_face.service.settings import Settings
from tests.gallery.kit import SMALL
from tests.service import kit
from tests.service.jobs.engine import TinyEngines


@dataclass
class Searching:
    """The durable queue, with a search lane in this process."""

    queue: Any
    ring: MatchParameters

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queue, name)

    def search(self, gallery: Path, probe: bytes, timeout: float) -> Answer:
        server = SearchServer.load(gallery, threads=1, parameters=self.ring)
        try:
            asked = probe_from_bytes(probe, self.ring, server.key_id)
            state = server.store.state()
            return Answer(to_bytes(server.search(asked)), state.changes, state.version)
        finally:
            server.close()


@dataclass
class Live:
    """url: where it listens; working: whether jobs are computed."""

    service: Service
    url: str
    working: threading.Event
    opened: list[Connection] = field(default_factory=list)

    def token(self, tenant: str = "anna") -> str:
        return kit.token(self.service, tenant)

    def connect(self, tenant: str = "anna") -> Connection:
        """Closed at the end."""
        self.opened.append(Connection(self.url, self.token(tenant), backoff=Backoff(3, first=0.05)))
        return self.opened[-1]

    def client(self) -> FaceClient:
        """Of the keys in `kit.files`."""
        return FaceClient(kit.files().key, kit.engine())


@contextmanager
def live(
    folder: Path,
    ring: MatchParameters = SMALL,
    circuits: Circuits | None = None,
    engines: Engines | None = None,
) -> Iterator[Live]:
    """A service that listens until the end of the block; ring: of its galleries; circuits, engines:
    others than the tiny default."""
    service = kit.make(folder)
    queue = open_queue(service, Settings())
    circuits = circuits or Circuits(
        (kit.engine().circuit.describe(),), ring, lambda *_: kit.engine()
    )
    context = Context(service, Settings(free_bytes=0), Searching(queue, ring), circuits)
    config = uvicorn.Config(build_app(context), host="127.0.0.1", port=0, log_level="error")
    server = uvicorn.Server(config)
    end, working = threading.Event(), threading.Event()
    working.set()

    def compute() -> None:
        while not end.wait(0.05):
            if working.is_set():
                work(service, engines or TinyEngines())

    threads = [threading.Thread(target=server.run), threading.Thread(target=compute)]
    for thread in threads:
        thread.start()
    try:
        while not server.started:
            assert threads[0].is_alive()
            end.wait(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        found = Live(service, f"http://127.0.0.1:{port}", working)
        try:
            yield found
        finally:
            for connection in found.opened:
                connection.close()
    finally:
        end.set()
        server.should_exit = True
        for thread in threads:
            thread.join(20)
        queue.close()
        service.close()
