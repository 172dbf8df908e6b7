"""Sixteen clients of four tenants at once, for so many seconds: what they see, what it takes.

By hand: ``python -m tests.service.jobs.load 600 [POSTGRES-URL]``; prints one JSON object.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fhe_core.formats.matching import to_bytes
from fhe_face.gallery.gallery import Gallery
from fhe_face.service.errors import Busy
from fhe_face.service.rows import Room
from tests.gallery import kit as galleries
from tests.service.jobs.engine import WORKING
from tests.service.jobs.kit import (
    LIMITS,
    Kit,
    Owner,
    Process,
    make_kit,
    make_owner,
    wait_for,
    worker,
)

CLIENTS = 16
TENANTS = ("alice", "bob", "carol", "dave")
MEMORY = 4 << 30
#: For keys: two of the four tenants'.
ROOM = 150 * 10**6


@dataclass
class Load:
    """What clients do, and what they saw. seconds: by what was asked."""

    kit: Kit
    owners: dict[str, Owner]
    gallery: Path
    probe: bytes
    until: float
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"search": [], "embed": []})
    counts: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self, number: int) -> None:
        """One client's life."""
        draw = random.Random(number)
        tenant = TENANTS[number % len(TENANTS)]
        serial = 0
        while time.monotonic() < self.until:
            serial += 1
            try:
                what = draw.choices((self.search, self.embed, self.cancel), (8, 3, 1))[0]
                what(tenant, f"{number}-{serial}")
            except Exception as error:
                self.errors.append(f"{type(error).__name__}: {error}")
            time.sleep(draw.uniform(0.0, 0.1))

    def search(self, _tenant: str, _name: str) -> None:
        """Search, again if it is too busy."""
        started = time.monotonic()
        try:
            self.kit.queue.search(self.gallery, self.probe, 30.0)
        except Busy:
            self.counts["busy"] += 1
            return
        with self.lock:
            self.seconds["search"].append(time.monotonic() - started)

    def embed(self, tenant: str, name: str) -> None:
        """Send a face, wait for its embedding, remove both."""
        self.kit.faces(tenant, name, seed=hash(name) % 2**31, owner=self.owners[tenant])
        started = time.monotonic()
        job = self.kit.embed(tenant, name, name)
        status = self.kit.queue.wait(tenant, job, 120.0)
        with self.lock:
            self.counts[status.state.value] += 1
            self.seconds["embed"].append(time.monotonic() - started)
        self.kit.service.blobs.delete(tenant, Room.FACES, name)
        with suppress(Exception):
            self.kit.service.blobs.delete(tenant, Room.EMBEDDINGS, name)

    def cancel(self, tenant: str, name: str) -> None:
        """Send a face, and think better of it."""
        self.kit.faces(tenant, name, owner=self.owners[tenant])
        job = self.kit.embed(tenant, name, name)
        self.kit.queue.cancel(tenant, job)
        self.counts[self.kit.queue.wait(tenant, job, 120.0).state.value] += 1
        self.kit.service.blobs.delete(tenant, Room.FACES, name)


def resident_bytes(pid: int) -> int:
    """Memory of a process; 0 if it has just ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def run(
    folder: Path, seconds: float, url: str | None = None, tell: Callable[[str], None] = print
) -> dict[str, Any]:
    """Put a new service under load; the report."""
    owners = {tenant: make_owner(folder, tenant) for tenant in TENANTS}
    limits = replace(LIMITS, turn_seconds=2.0)
    kit = make_kit(folder / "service", owners[TENANTS[0]], url, limits)
    for tenant, owner in owners.items():
        kit.tenant(tenant, owner)
    place, probe = make_gallery(folder, kit)
    settings = {WORKING: MEMORY - ROOM}
    with worker(kit, folder / "counts", memory=MEMORY, **settings) as process:
        wait_for(lambda: process.log.read_text().count("ready") == 2, 60.0)
        until = time.monotonic() + seconds
        load = Load(kit, owners, place, probe, until)
        threads = [threading.Thread(target=load.client, args=(n,)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        memory = watch(process, until)
        for thread in threads:
            thread.join()
        report = summary(load, memory, process)
    tell(json.dumps(report))
    kit.close()
    return report


def make_gallery(folder: Path, kit: Kit) -> tuple[Path, bytes]:
    """A sealed gallery inside the service, and a probe for it."""
    made: Gallery = galleries.make(folder / "gallery")
    made.enroll(galleries.people(folder / "photos", 20, 2))
    probe = to_bytes(made.opened.sealer.seal_probe(galleries.direction(1)))
    made.close()
    place = kit.service.folder / "gallery"
    (folder / "gallery" / "server").rename(place)
    return place, probe


def watch(process: Process, until: float) -> dict[str, list[int]]:
    """Memory of the worker and its lanes, every half second."""
    names = ("worker", "lane 1", "lane 2")
    seen: dict[str, list[int]] = {name: [] for name in names}
    while time.monotonic() < until:
        pids = [process.pid, *process.lanes()]
        for name, pid in zip(names, pids, strict=False):
            seen[name].append(resident_bytes(pid))
        time.sleep(0.5)
    return seen


def summary(load: Load, memory: dict[str, list[int]], process: Process) -> dict[str, Any]:
    """Percentiles, counts, and memory of the first and the last third."""
    report: dict[str, Any] = {"errors": load.errors[:5], **load.counts}
    for what, took in load.seconds.items():
        p50, p95, most = np.percentile(took or [0.0], (50, 95, 100))
        report[what] = {
            "count": len(took),
            "p50": round(float(p50), 4),
            "p95": round(float(p95), 4),
            "max": round(float(most), 4),
        }
    for name, values in memory.items():
        third = max(1, len(values) // 3)
        report[name] = [max(values[third : 2 * third]), max(values[-third:])]
    report["lanes died"] = process.log.read_text().count("lane ended")
    return report


if __name__ == "__main__":
    with TemporaryDirectory(prefix="load-") as name:
        run(Path(name), float(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
