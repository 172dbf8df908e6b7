"""Sixteen clients of four tenants over HTTP for so many seconds: what they see, what it takes.

    python -m tests.service.trials.load [SECONDS] [--database URL] [--plot FILE] [--json]

On tiny rings, so that it is the service that is measured, and not the arithmetic. The worker has
room for the keys of two of the tenants.
"""

from __future__ import annotations

import argparse
import json
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from fhe_core.formats.matching import to_bytes
from fhe_face.coeffs.figures import figure_class
from fhe_face.failures import UsageError
from fhe_face.remote.creating import create_remote
from fhe_face.remote.pushing import push_keys
from tests.core import tiny
from tests.gallery import kit as galleries
from tests.service import kit
from tests.service.jobs.engine import WORKING, network
from tests.service.jobs.kit import Owner, make_owner, wait_for
from tests.service.trials.place import Place
from tests.service.trials.report import draw, percentiles, table
from tests.service.trials.serving import MEMORY
from tests.service.trials.visitor import reopen

CLIENTS = 16
TENANTS = ("alice", "bob", "carol", "dave")
ADDRESS_SPACE = 4 << 30
#: For keys: two of the four tenants'.
ROOM = 150 * 10**6
PEOPLE, PHOTOS = 20, 2
#: Faces of each tenant: each is sent again and again under other names.
FACES = 8
#: What clients do, and how often by comparison.
DEEDS = {"search": 8, "embed": 3, "look": 3, "cancel": 1, "enrol": 1}
_ENDED = ("done", "failed", "cancelled")
_LOOKS = ("/v1/about", "/v1/jobs", "/v1/keys", "/v1/galleries/g", "/v1/galleries/g/subjects")
PROCESSES = ("API", "worker", "lane of jobs", "lane of searches")


@dataclass
class Tenant:
    """What its clients use. probe: of a search."""

    token: str
    owner: Owner
    faces: list[kit.Sent]
    probe: bytes


@dataclass
class Load:
    """What clients do, and what they saw. seconds: by what was asked."""

    url: str
    tenants: dict[str, Tenant]
    until: float
    seconds: dict[str, list[float]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, seconds: float) -> None:
        with self.lock:
            self.counts[what] += 1
            self.seconds.setdefault(what, []).append(seconds)


class Client:
    """One of them, in a thread of its own."""

    def __init__(self, load: Load, number: int) -> None:
        self.load, self.draw, self.number = load, random.Random(number), number
        self.tenant = load.tenants[TENANTS[number % len(TENANTS)]]
        headers = {"Authorization": f"Bearer {self.tenant.token}"}
        self.http = httpx.Client(base_url=load.url, headers=headers, timeout=60.0)

    def run(self) -> None:
        """Until the end."""
        serial = 0
        with self.http:
            while time.monotonic() < self.load.until:
                serial += 1
                (what,) = self.draw.choices(list(DEEDS), list(DEEDS.values()))
                try:
                    getattr(self, what)(f"{self.number}-{serial}")
                except Exception as error:
                    self.load.errors.append(f"{what}: {type(error).__name__}: {error}")
                time.sleep(self.draw.uniform(0.0, 0.2))

    def ask(self, method: str, path: str, what: str, **more: Any) -> httpx.Response | None:
        """Ask and note how long it took; None: later, as the server said, which is no error."""
        began = time.monotonic()
        answer = self.http.request(method, path, **more)
        if answer.status_code == 503 and answer.headers.get("retry-after", "").isdigit():
            self.load.counts["later"] += 1
            time.sleep(min(2.0, float(answer.headers["retry-after"])))
            return None
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:200]}"
        self.load.note(what, time.monotonic() - began)
        return answer

    def search(self, _name: str) -> None:
        """Look for somebody in a gallery."""
        self.ask("POST", "/v1/galleries/g/searches", "search", content=self.tenant.probe)

    def look(self, _name: str) -> None:
        """Read a list."""
        self.ask("GET", self.draw.choice(_LOOKS), "look")

    def embed(self, name: str) -> None:
        """Send a face, wait for its embedding, fetch and remove it."""
        began, job = time.monotonic(), self._submitted(name)
        while job is not None and job["state"] not in _ENDED:
            time.sleep(0.3)
            answer = self.ask("GET", f"/v1/jobs/{job['id']}", "look")
            job = job if answer is None else answer.json()
        if job is None:
            return
        self.load.counts[f"jobs {job['state']}"] += 1
        assert job["state"] == "done", job
        self.ask("GET", f"{job['result']['location']}/content", "fetch")
        self.load.note("embed", time.monotonic() - began)
        self._remove(f"/v1/embeddings/{name}")
        self._remove(f"/v1/faces/{name}")

    def cancel(self, name: str) -> None:
        """Send a face, and think better of it."""
        job = self._submitted(name)
        if job is not None:
            self.ask("DELETE", f"/v1/jobs/{job['id']}", "cancel")
            self._remove(f"/v1/faces/{name}")

    def enrol(self, name: str) -> None:
        """A person with a template, who leaves again."""
        row = {"id": f"t{name}", "subject": f"s{name}", "source": None, "record": "AAAA"}
        body = {"subjects": [{"id": f"s{name}"}], "templates": [row]}
        if self.ask("POST", "/v1/galleries/g/add", "enrol", json=body):
            self.ask("POST", "/v1/galleries/g/delete", "enrol", json={"templates": [row["id"]]})

    def _submitted(self, name: str) -> dict[str, Any] | None:
        sent = self.draw.choice(self.tenant.faces)
        answer = self.ask("PUT", f"/v1/faces/{name}", "send", content=sent.front)
        if answer is None:
            return None
        for one in answer.json()["missing"]:
            path = f"/v1/faces/{name}/sections/{one['digest']}"
            while self.ask("PUT", path, "send", content=sent.sections[one["digest"]]) is None:
                pass
        asked = {"faces": name, "key": self.tenant.owner.client.key_id, "id": name}
        answer = self.ask("POST", "/v1/embeddings", "submit", json=asked)
        return None if answer is None else dict(answer.json())

    def _remove(self, path: str) -> None:
        while self.ask("DELETE", path, "remove") is None:
            pass


def resident_bytes(pid: int) -> int:
    """Memory of a process; 0 if it has just ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def watch(place: Place, until: float) -> tuple[list[float], dict[str, list[int]]]:
    """Seconds, and memory of all processes then, about twice a second."""
    seen: dict[str, list[int]] = {name: [] for name in PROCESSES}
    times, began = list[float](), time.monotonic()
    while time.monotonic() < until:
        times.append(round(time.monotonic() - began, 1))
        pids = [place.pid, *place.workers(), *place.lanes()]
        for name, pid in zip(PROCESSES, pids, strict=False):
            seen[name].append(resident_bytes(pid))
        time.sleep(0.5)
    return times, seen


def prepare(place: Place, name: str) -> Tenant:
    """Keys, a gallery and faces of a tenant; what is needed once is sent."""
    owner = make_owner(place.root, name)
    with place.connect(name) as connection:
        pushed = push_keys(connection, owner.key)
        assert pushed.sent
        create_remote(
            place.root / name,
            connection=connection,
            gallery="g",
            embedder=galleries.Painted(),
            thresholds=galleries.THRESHOLDS,
            preparation=galleries.ALIGNED,
            parameters=galleries.SMALL,
            threads=1,
        )
    with reopen(place, name, place.root / name) as gallery:
        gallery.enroll(galleries.people(place.root / "photos", PEOPLE, PHOTOS))
        probe = to_bytes(gallery.opened.sealer.seal_probe(galleries.direction(1)))
    faces = []
    for number in range(FACES):
        path = place.root / f"{name}-{number}.ct"
        owner.client.encrypt(tiny.faces(tiny.images_for(network(), 1, number))).save(path)
        faces.append(kit.Sent.of(path))
    return Tenant(place.token(name).read_text(), owner, faces, probe)


def run(root: Path, seconds: float, url: str | None = None) -> dict[str, Any]:
    """Put a new service under load; the report."""
    limits = {MEMORY: str(ADDRESS_SPACE), WORKING: str(ADDRESS_SPACE - ROOM)}
    place = Place.make(root, TENANTS, url, limits)
    place.start()
    try:
        tenants = {name: prepare(place, name) for name in TENANTS}
        wait_for(lambda: place.log.read_text().count('"ready"') == 2, 120.0)
        load = Load(f"http://127.0.0.1:{place.port}", tenants, time.monotonic() + seconds)
        threads = [threading.Thread(target=Client(load, number).run) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        times, memory = watch(place, load.until)
        for thread in threads:
            thread.join()
    finally:
        status = place.stop()
    log = place.log.read_text()
    return {
        "title": f"{CLIENTS} clients of {len(TENANTS)} tenants",
        "seconds": seconds,
        "errors": [*load.errors[:5], *([] if status == 0 else [f"the service's status: {status}"])],
        "counts": dict(load.counts),
        "latency": {what: percentiles(took) for what, took in sorted(load.seconds.items())},
        "times": times,
        "memory": memory,
        "lanes died": log.count('"lane ended"'),
    }


def main() -> None:
    """Print a table or one JSON object; the status says whether there were errors."""
    parser = argparse.ArgumentParser(prog="python -m tests.service.trials.load")
    parser.add_argument("seconds", type=float, nargs="?", default=600.0)
    parser.add_argument("--database", help="of PostgreSQL, empty")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    if chosen.plot:
        figure_class(chosen.plot, UsageError)
    with TemporaryDirectory(prefix="load-") as name:
        report = run(Path(name) / "place", chosen.seconds, chosen.database)
    if chosen.plot:
        draw(report, chosen.plot)
    print(json.dumps(report) if chosen.json else table(report))
    raise SystemExit(bool(report["errors"]))


if __name__ == "__main__":
    main()
