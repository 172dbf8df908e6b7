"""Two tenants of one service at full size: right results that never mix, and what it takes.

The worker has room for the keys of one of them, so that they take turns in memory.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Embedding
from fhe_face.demo_faces import demo_faces
from fhe_face.models.reference import embed
from fhe_face.network import load_network
from fhe_face.photos.images import to_unit
from fhe_face.remote.connection import Connection
from fhe_face.remote.pushing import push_keys
from fhe_face.remote.server import RemoteServer
from fhe_face.service.opening import create_service
from fhe_face.service.rows import Quotas, Scope
from fhe_face.service.settings import Settings, save_settings
from fhe_face.service.tenants import make_tenant
from fhe_face.service.tokens import create_token
from tests.face.witness import short_lived
from tests.service import running

pytestmark = [pytest.mark.full, pytest.mark.slow]

Array = NDArray[np.float64]
TENANTS = ("anna", "ben")
#: Keys of one tenant, and what the engine needs beside them; not of two.
WORKER_BYTES = 6 << 30
READY_SECONDS = 15.0
HTTP_SECONDS = 1.0
#: Load for each processor, from which on times are printed and not compared.
BUSY = 2.0
_QUOTAS = Quotas(1 << 40, 100, 100_000)


@dataclass
class Tenant:
    """A client with a key of its own, and a connection."""

    client: FaceClient
    folder: Path
    token: str
    found: list[Array] = field(default_factory=list)

    def server(self, url: str) -> RemoteServer:
        return RemoteServer(Connection(url, self.token), self.client)


@dataclass
class Evening:
    """What happened. waits: seconds at the client and in the worker, of each embedding.

    events: what the lane of jobs wrote down; peaks: bytes of the API process and of the lane.
    """

    tenants: dict[str, Tenant]
    url: str = ""
    waits: list[tuple[float, float]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    peaks: dict[str, int] = field(default_factory=dict)
    ready: float = 0.0
    load: float = 0.0

    def require_quiet(self) -> None:
        """Times of a machine that does other things say nothing."""
        if self.load > BUSY * (os.cpu_count() or 1):
            pytest.skip(f"the machine is busy: load {self.load:.0f}")


def units() -> Sequence[Array]:
    return [to_unit(np.ascontiguousarray(face)) for face in demo_faces()]


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    with short_lived(tmp_path_factory, "service-full") as root:
        yield spend(root)


def spend(root: Path) -> Evening:
    data, evening = root / "data", Evening({})
    with create_service(data) as service:
        save_settings(data, Settings(worker_memory=WORKER_BYTES, turn_seconds=1.0))
        for name in TENANTS:
            make_tenant(service.database, name, _QUOTAS)
            token = create_token(service.database, name, set(Scope))[1]
            client = FaceClient.create(root / name)
            evening.tenants[name] = Tenant(client, root / name, token)
    log = root / "serve.log"
    with running.process(data, errors=log) as serving:
        for tenant in evening.tenants.values():
            with Connection(serving.url, tenant.token) as connection:
                push_keys(connection, tenant.folder)
    began = time.monotonic()
    with running.process(data, errors=log) as serving:  # keys are on the disk now
        while httpx.get(f"{serving.url}/ready").status_code != 200:
            assert time.monotonic() - began < 10 * READY_SECONDS
            time.sleep(0.1)
        evening.ready = time.monotonic() - began
        for unit in units():  # anna, ben, anna, ben: keys leave for each other
            for tenant in evening.tenants.values():
                ask(evening, tenant, serving.url, unit)
        ask(evening, tenant, serving.url, unit)  # the same key again: it is still there
        evening.peaks = {"API": serving.peak_bytes()}
        for worker in serving.children():
            lanes = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
            evening.peaks["lane"] = max(running.peak_bytes(int(lane)) for lane in lanes)
    evening.load = max(os.getloadavg())
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    evening.events = [json.loads(line) for line in lines]
    return evening


def ask(evening: Evening, tenant: Tenant, url: str, unit: Any) -> None:
    """One embedding, as any client asks for it."""
    server = tenant.server(url)
    bundle = tenant.client.encrypt(unit)
    with server.connection:
        began = time.monotonic()
        sealed = server.embed(bundle)
        wall = time.monotonic() - began
        job = server.connection.get("v1/jobs", {"limit": 1}).fields().values["items"][0]
        (found,) = [tenant.client.decrypt(sealed, [bundle])]
    (one,) = found
    assert isinstance(one, Embedding)
    tenant.found.append(one.values)
    evening.waits.append((wall, job["finished"] - job["started"]))


def test_results_are_right_and_never_mixed(evening: Evening) -> None:
    expected = embed(load_network(None), np.stack(units()))
    for tenant in evening.tenants.values():
        for found, right in zip(tenant.found[:2], expected, strict=True):
            cosine = found @ right / np.linalg.norm(found) / np.linalg.norm(right)
            assert cosine > 0.999


def test_keys_take_turns_in_memory(evening: Evening) -> None:
    """Each tenant's keys are loaded when it is served after the other, and leave for them."""
    loaded = [one for one in evening.events if one["event"] == "keys loaded"]
    assert [len(one["left"]) for one in loaded] == [0, 1, 1, 1]
    assert [one["left"] for one in loaded[1:]] == [[one["key"]] for one in loaded[:-1]]
    assert not [one for one in evening.events if one["event"] == "lane ended"]


def test_processes_stay_within_their_memory(evening: Evening) -> None:
    print({name: f"{peak / 1e6:.0f} MB" for name, peak in evening.peaks.items()})
    assert evening.peaks["API"] <= 250e6
    assert evening.peaks["lane"] <= WORKER_BYTES


def test_a_restart_is_soon_ready(evening: Evening) -> None:
    print(f"ready after {evening.ready:.1f} s, load {evening.load:.0f}")
    evening.require_quiet()
    assert evening.ready <= READY_SECONDS


def test_http_adds_little(evening: Evening) -> None:
    """What passes at the client beyond what the job's record says of the worker."""
    for wall, worker in evening.waits:
        print(f"{wall:.2f} s at the client, {worker:.2f} s in the worker: {wall - worker:.2f} s")
    done = [one for one in evening.events if one["event"] == "done"]
    print([(one["seconds"], one["computing"]) for one in done])
    evening.require_quiet()
    assert min(wall - worker for wall, worker in evening.waits) <= HTTP_SECONDS
