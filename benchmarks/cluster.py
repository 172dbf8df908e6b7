"""What Ray adds to a job, and what a job takes from the queue: ``python -m benchmarks.cluster``.

Starts Ray on this machine, with a token, and ends it; PostgreSQL as well. With ``--full KEYS FACE``
(the folder of `fhe-face keygen`, and a face of `encrypt --alone`) a face is computed at full size,
in this process and then on a node, and a client encrypts a batch. Prints one JSON object; `--keep`
puts it into measured.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.measured import MACHINE, MEASURED
from fhe_core.container import Header, read_header
from fhe_face.bench import machine
from fhe_face.progress import Stage, silent
from fhe_face.service.blobs import front_digest
from fhe_face.service.cluster.cache import KeyCache
from fhe_face.service.cluster.messages import ENGINE, NodeSettings, Request, to_text
from fhe_face.service.cluster.node import EngineNode
from fhe_face.service.cluster.reaching import AUTH_MODE
from fhe_face.service.jobs.engines import FaceEngines, Resident, Work
from fhe_face.service.jobs.inline import work
from fhe_face.service.jobs.records import Kind
from fhe_face.service.jobs.residents import Residents
from tests.service.cluster.ray_cluster import running
from tests.service.jobs.kit import Owner, make_kit, make_owner
from tests.store.postgres import programs
from tests.store.postgres import running as postgres

if TYPE_CHECKING:
    from fhe_face.service.cluster.pool import Engine, Pool

#: Requests of a job of one face: its keys, its inputs, its part; `join` only where there are more.
_STEPS: Final = ("load", "open", "compute")
#: Of a queue's measurement.
_SEATS: Final = 8
_HELLO_SECONDS: Final = 120.0
_BATCH: Final = 64


@dataclass
class IdleEngines:
    """Loads nothing and computes nothing: what remains is what everything else takes."""

    name: str = "insecure-idle"
    working_bytes: int = 0
    memory_bytes: int = 0

    def identity(self) -> str:
        return self.name

    def forecast(self, key: Header) -> int:
        return 0

    def load(self, key: Path, stage: Stage) -> Resident:
        return self

    def open(self, kind: Kind, files: Sequence[Path]) -> Work:
        return IdleWork(files[0])


@dataclass
class IdleWork:
    """Its output is its input."""

    source: Path
    parts: int = 1

    def compute(self, part: int, target: Path, stage: Stage) -> None:
        shutil.copyfile(self.source, target)

    def join(self, parts: Sequence[Path], target: Path) -> None:
        raise NotImplementedError


def idle(_weights: str | None, _threads: int | None) -> IdleEngines:
    """For `NodeSettings.engine`."""
    return IdleEngines()


def job(key: str, key_file: str, face: str, number: object) -> list[Request]:
    """What is asked of a node for one face."""
    common = {"key": key, "key_file": key_file}
    told = {**common, "kind": "embedding", "files": (face,), "target": f"out{number}"}
    return [Request(f"{number}", step, **(common if step == "load" else told)) for step in _STEPS]


def seconds_of(ask: Callable[[Request], Any], requests: Sequence[Request]) -> tuple[float, float]:
    """Of one job, as who asks sees it, and of that what the node was at work."""
    started, inside = time.perf_counter(), 0.0
    for request in requests:
        answer = ask(request)
        if "failed" in answer:
            raise SystemExit(f"failed: {answer['failed']}")
        inside += answer["seconds"]
    return time.perf_counter() - started, inside


def ready(engine: Engine) -> Engine:
    """Once it answers."""
    end = time.monotonic() + _HELLO_SECONDS
    while engine.hello() is None:
        if time.monotonic() > end:
            raise SystemExit("the node does not answer")
    return engine


def engine_of(pool: Pool) -> Engine:
    """Of one of the nodes."""
    node, processors = next(iter(pool.nodes().items()))
    return pool.engine(node, processors)


def on_node(pool: Pool) -> Callable[[Request], Any]:
    """A node, once it is ready."""
    engine = ready(engine_of(pool))
    return lambda request: engine.ask(request, silent)


def here(settings: NodeSettings, cache: Path) -> Callable[[Request], dict[str, Any]]:
    """The same code in this process, without Ray."""
    engines = FaceEngines(settings.weights, settings.threads)
    chosen = engines if settings.engine == ENGINE else IdleEngines()
    node = EngineNode(Path(settings.folder), chosen, Residents(chosen, 1 << 62), KeyCache(cache))
    return lambda request: dict(json.loads(node.ask(to_text(request))))


def dispatch(pool: Pool, settings: NodeSettings, folder: Path, rounds: int) -> dict[str, float]:
    """Jobs that compute nothing, through Ray and here."""
    key = make_owner(folder, "idle").key  # a real file, of a tiny ring
    digest = digest_of(key)
    (folder / "idle.face").touch()
    local = here(settings, folder / "cache")
    engine = ready(engine_of(pool))
    times: dict[str, list[float]] = {"ray": [], "here": []}
    for number in range(rounds):
        requests = job(digest, key.name, "idle.face", number)
        times["ray"].append(seconds_of(lambda one: engine.ask(one, silent), requests)[0])
        requests = job(digest, key.name, "idle.face", rounds + number)
        times["here"].append(seconds_of(local, requests)[0])
    engine.close()
    ray, alone = (statistics.median(times[name]) for name in ("ray", "here"))
    return {"job_seconds_ray": ray, "job_seconds_here": alone, "dispatch_seconds": ray - alone}


def digest_of(key: Path) -> str:
    """Of its content."""
    return front_digest(key, read_header(key))


def queue(folder: Path, owner: Owner, jobs: int) -> dict[str, float]:
    """What the queue takes of a job, on PostgreSQL: claim, names, publishing, end; no computing.

    As in a worker that has many nodes: several seats at once in one process.
    """
    binaries = programs()
    if binaries is None:
        raise SystemExit("install PostgreSQL")
    with postgres(binaries) as server:
        kit = make_kit(folder / "service", owner, server.new_database())
        kit.tenant("one")
        for number in range(jobs):
            kit.faces("one", f"face{number}", seed=number)
            kit.embed("one", f"face{number}", f"out{number}")
        started = time.perf_counter()
        with ThreadPoolExecutor(_SEATS) as seats:
            each = [seats.submit(work, kit.service, IdleEngines()) for _ in range(_SEATS)]
            begun = [job for one in each for job in one.result()]
        seconds = time.perf_counter() - started
        kit.close()
    if len(begun) != jobs:
        raise SystemExit(f"{len(begun)} of {jobs} jobs were computed")
    return {"queue_seconds": seconds / jobs}


def client(key: Path) -> dict[str, Any]:
    """A batch as a client makes it: encrypted, and as bytes; and its evaluation keys' size."""
    from fhe_face.client.client import FaceClient
    from fhe_face.engine import choose_engine, key_bytes
    from fhe_face.places import Packing, numbered

    owner = FaceClient.load(key)
    draw = np.random.default_rng(1)
    faces = [draw.uniform(-1, 1, (3, 64, 64)) for _ in range(_BATCH)]
    times = []
    for _ in range(3):
        started = time.perf_counter()
        sent = owner.encrypt(faces, runs=numbered([(Packing.BATCH, _BATCH)])).to_bytes()
        times.append(time.perf_counter() - started)
    circuit = owner.circuit
    engine = choose_engine(circuit.normalisation, circuit.input_size, 1, (Packing.BATCH,))
    return {
        "client_batch_seconds": statistics.median(times),
        "batch_bytes": len(sent),
        "batch_key_bytes": key_bytes(engine.keys(), engine.parameters),
    }


def full(pool: Pool, settings: NodeSettings, folder: Path, rounds: int) -> dict[str, Any]:
    """A face at full size, in this process and then on a node: both with their keys loaded.

    On a busy machine only `face_overhead_seconds` says what Ray adds: it is the same face's time as
    who asks sees it, less the time that the node was at work.
    """
    digest = digest_of(folder / "key")
    found: dict[str, list[tuple[float, float]]] = {}
    for name in ("here", "ray"):
        ask = here(settings, folder / "cache") if name == "here" else on_node(pool)
        found[name] = [
            seconds_of(ask, job(digest, "key", "face", f"-{name}-{number}"))
            for number in range(rounds + 1)
        ][1:]  # the first loads keys
        del ask
    return {
        "face_seconds_here": [seconds for seconds, _ in found["here"]],
        "face_seconds_ray": [seconds for seconds, _ in found["ray"]],
        "face_overhead_seconds": [seconds - inside for seconds, inside in found["ray"]],
    }


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", nargs=2, type=Path, metavar=("KEYS", "FACE"))
    parser.add_argument("--weights")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--faces", type=int, default=3)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    facts = machine.facts(2)
    answer: dict[str, Any] = {"date": datetime.now(timezone.utc).date().isoformat()}
    answer["machine"] = {name: facts[name] for name in MACHINE}
    with tempfile.TemporaryDirectory() as name:
        answer |= queue(Path(name), make_owner(Path(name), "idle"), given.jobs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(folder) as cluster:
            os.environ.update({**cluster.environment, AUTH_MODE: "token"})
            from fhe_face.service.cluster.pool import Pool  # Ray reads these when it is imported

            settings = NodeSettings(name, given.weights, 2, engine=f"{__spec__.name}:idle")
            with Pool(cluster.address, settings, "benchmark") as pool:
                answer |= dispatch(pool, settings, folder, given.rounds)
                if given.full:
                    keys, face = given.full
                    answer |= client(keys / "client.key")
                    shutil.copyfile(keys / "evaluation.key", folder / "key")
                    shutil.copyfile(face, folder / "face")
                    pool.settings = NodeSettings(name, given.weights, 2)
                    answer |= full(pool, pool.settings, folder, given.faces)
    print(json.dumps(answer, indent=1))
    if given.keep:
        measured = json.loads(MEASURED.read_text(encoding="utf-8"))
        MEASURED.write_text(json.dumps(measured | {"cluster": answer}, indent=1) + "\n")


if __name__ == "__main__":
    main()
