"""What Ray adds to a job, and what a job takes from the queue: ``python -m benchmarks.cluster``.

Starts Ray on this machine, asks for a token, ends it. With ``--full KEY FACE`` (evaluation keys and
an encrypted face of `fhe-face keygen` and `encrypt`) a face is computed at full size as well, in
this process and on a node, in turns. Prints one JSON object; `--keep` puts it into measured.json.
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
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
from fhe_face.service.jobs.records import Kind
from fhe_face.service.jobs.residents import Residents
from tests.service.cluster.ray_cluster import running
from tests.service.jobs.kit import make_owner

if TYPE_CHECKING:
    from fhe_face.service.cluster.pool import Engine, Pool

#: Requests of a job of one face: its keys, its inputs, its part; `join` only where there are more.
_STEPS: Final = ("load", "open", "compute")
_HELLO_SECONDS: Final = 120.0


@dataclass
class IdleEngines:
    """Loads nothing and computes nothing: what remains is what everything else takes."""

    name: str = "insecure-idle"
    working_bytes: int = 0
    memory_bytes: int = 0
    parts: int = 1

    def identity(self) -> str:
        return self.name

    def forecast(self, key: Header) -> int:
        return 0

    def load(self, key: Path, stage: Stage) -> Resident:
        return self

    def open(self, kind: Kind, files: Sequence[Path]) -> Work:
        return self

    def compute(self, part: int, target: Path, stage: Stage) -> None:
        target.touch()

    def join(self, parts: Sequence[Path], target: Path) -> None:
        raise NotImplementedError


def idle(_weights: str | None, _threads: int | None) -> IdleEngines:
    """For `NodeSettings.engine`."""
    return IdleEngines()


def job(key: str, key_file: str, face: str, number: int) -> list[Request]:
    """What is asked of a node for one face."""
    common = {"key": key, "key_file": key_file}
    told = {**common, "kind": "embedding", "files": (face,), "target": f"out{number}"}
    return [
        Request(f"{number}", step, **(common if step == "load" else told))  # type: ignore[arg-type]
        for step in _STEPS
    ]


def seconds_of(ask: Callable[[Request], Any], requests: Sequence[Request]) -> float:
    """Of one job; its output is removed by who made its folder."""
    started = time.perf_counter()
    for request in requests:
        answer = ask(request)
        if "failed" in answer:
            raise SystemExit(f"failed: {answer['failed']}")
    return time.perf_counter() - started


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
        times["ray"].append(seconds_of(lambda one: engine.ask(one, silent), requests))
        requests = job(digest, key.name, "idle.face", rounds + number)
        times["here"].append(seconds_of(local, requests))
    engine.close()
    ray, alone = (statistics.median(times[name]) for name in ("ray", "here"))
    return {"job_seconds_ray": ray, "job_seconds_here": alone, "dispatch_seconds": ray - alone}


def digest_of(key: Path) -> str:
    """Of its content."""
    return front_digest(key, read_header(key))


def full(pool: Pool, settings: NodeSettings, folder: Path, rounds: int) -> dict[str, Any]:
    """A face at full size, in this process and then on a node: both with their keys loaded."""
    digest = digest_of(folder / "key")
    found: dict[str, list[float]] = {}
    for name in ("here", "ray"):
        ask = here(settings, folder / "cache") if name == "here" else on_node(pool)
        found[name] = [
            seconds_of(ask, job(digest, "key", "face", 1000 * len(found) + number))
            for number in range(rounds + 1)
        ][1:]  # the first loads keys
        del ask
    return {"face_seconds_here": found["here"], "face_seconds_ray": found["ray"]}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", nargs=2, type=Path, metavar=("KEY", "FACE"))
    parser.add_argument("--weights")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--faces", type=int, default=3)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    facts = machine.facts(2)
    answer: dict[str, Any] = {"date": datetime.now(timezone.utc).date().isoformat()}
    answer["machine"] = {name: facts[name] for name in MACHINE}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(folder) as cluster:
            os.environ.update({**cluster.environment, AUTH_MODE: "token"})
            from fhe_face.service.cluster.pool import Pool  # Ray reads these when it is imported

            settings = NodeSettings(name, given.weights, 2, engine=f"{__spec__.name}:idle")
            with Pool(cluster.address, settings, "benchmark") as pool:
                answer |= dispatch(pool, settings, folder, given.rounds)
                if given.full:
                    for source, target in zip(given.full, ("key", "face"), strict=True):
                        shutil.copyfile(source, folder / target)
                    pool.settings = NodeSettings(name, given.weights, 2)
                    answer |= full(pool, pool.settings, folder, given.faces)
    print(json.dumps(answer, indent=1))
    if given.keep:
        measured = json.loads(MEASURED.read_text(encoding="utf-8"))
        MEASURED.write_text(json.dumps(measured | {"cluster": answer}, indent=1) + "\n")


if __name__ == "__main__":
    main()
