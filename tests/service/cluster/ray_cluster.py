"""A Ray cluster on this machine: a head that computes nothing, and two nodes of one processor."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fhe_face.service.cluster.cache import VARIABLE
from tests.service.jobs.engine import COUNTS, HANG, PAUSE, POISON
from tests.service.jobs.worker import ROOT

#: Of Ray's shared memory; the least that it takes.
_STORE = 78643200
_DRIVER = """
import json, os, sys, time
from ray.cluster_utils import Cluster
asked = json.loads(sys.stdin.readline())
common = {"object_store_memory": asked["store"]}
cluster = Cluster(head_node_args={"num_cpus": 0, "include_dashboard": False, **common})
nodes = [cluster.add_node(num_cpus=1, env_vars=own, **common) for own in asked["nodes"]]
raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
print(json.dumps({"address": cluster.address, "raylets": raylets}), flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


@dataclass
class RayCluster:
    """address: for `--ray`. environment: of those who want to connect. caches: of each node."""

    address: str
    environment: dict[str, str]
    caches: list[Path]
    counts: Path
    poison: Path
    hang: Path
    raylets: list[int]

    def kill_node(self, number: int) -> None:
        """As if its machine were gone: Ray's process there, whose children end with it."""
        os.kill(self.raylets[number], signal.SIGKILL)


@contextmanager
def running(folder: Path) -> Iterator[RayCluster]:
    """A cluster that wants a token; its nodes count what they compute, and take 0.3 s longer."""
    counts, poison, hang = (folder / name for name in ("counts", "poison", "hang"))
    poison.touch()
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **token, **quiet, "PYTHONPATH": str(ROOT)}
    caches = [folder / f"node{number}" for number in range(2)]
    own = {COUNTS: str(counts), PAUSE: "0.3", POISON: str(poison), HANG: str(hang)}
    nodes = [{VARIABLE: str(cache), **own} for cache in caches]
    with (folder / "ray.log").open("w") as log:
        driver = subprocess.Popen(
            [sys.executable, "-c", _DRIVER],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    assert driver.stdin is not None
    assert driver.stdout is not None
    try:
        driver.stdin.write(json.dumps({"store": _STORE, "nodes": nodes}) + "\n")
        driver.stdin.flush()
        made = json.loads(driver.stdout.readline())
        files = caches, counts, poison, hang
        yield RayCluster(made["address"], {**token, **quiet}, *files, made["raylets"])
    finally:
        driver.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            driver.wait(30.0)
        with suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()
        driver.stdout.close()
