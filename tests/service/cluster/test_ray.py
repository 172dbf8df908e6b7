"""A worker whose jobs the nodes of a Ray cluster compute: two nodes, both on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fhe_core.formats.matching import to_bytes
from fhe_core.matching import Probe
from fhe_face.gallery.gallery import Gallery
from fhe_face.gallery.searchers import scores_of
from fhe_face.service.jobs.calling import sockets
from fhe_face.service.jobs.galleries import Galleries
from fhe_face.service.queueing import Answer, State
from fhe_face.service.rows import Room
from tests.gallery import kit as galleries
from tests.service.cluster.ray_cluster import RayCluster, running
from tests.service.jobs.afterwards import expected
from tests.service.jobs.kit import (
    LIMITS,
    Kit,
    Owner,
    Process,
    counted,
    make_kit,
    wait_for,
    worker,
)
from tests.service.jobs.submitter import lines
from tests.service.jobs.worker import ROOT

pytestmark = pytest.mark.slow

SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
POSTGRES = pytest.mark.parametrize("url", ["postgres"], indirect=True)
START_SECONDS = 90.0


@contextmanager
def dispatcher(kit: Kit, cluster: RayCluster, **changes: object) -> Iterator[Process]:
    """A worker that has the cluster compute, once both nodes are ready."""
    asked = {"module": "tests.service.cluster.worker", "ray": cluster.address}
    with worker(kit, cluster.counts, **asked, **cluster.environment, **changes) as process:
        try:
            wait_for(lambda: process.log.read_text().count('"node ready"') >= 2, START_SECONDS)
            yield process
        except BaseException:
            print(process.log.read_text())
            raise


def begun(counts: Path) -> Counter[str]:
    """How often each part was begun."""
    return Counter(counted(counts, "begin"))


def pids(counts: Path) -> set[int]:
    """Processes that computed."""
    return {int(line[2]) for line in lines(counts) if line[0] == "begin"}


def inodes(cluster: RayCluster) -> list[list[int]]:
    """Of the key files in each node's cache: one that is copied again has another."""
    return [sorted(path.stat().st_ino for path in cache.glob("*.fhec")) for cache in cluster.caches]


@POSTGRES
def test_two_nodes_compute_what_one_machine_does(
    kit: Kit, owner: Owner, cluster: RayCluster, counts: Path
) -> None:
    for tenant in ("alice", "bob"):  # the same key, twice
        kit.tenant(tenant)
        for number in range(4):
            kit.faces(tenant, f"face{number}", 2, seed=number)
    with dispatcher(kit, cluster):
        jobs = {
            (t, n): kit.embed(t, f"face{n}", f"out{n}") for t in ("alice", "bob") for n in range(4)
        }
        for (tenant, _), job in jobs.items():
            assert kit.until(tenant, job, 60.0).state is State.DONE
        assert kit.queue.workers() == 2
        (first,) = {tuple(map(len, [own])) for own in inodes(cluster)}
        assert first == (1,)
        score = kit.queue.submit(
            "alice", "score", {"left": "out0", "right": "out1", "key": "key"}, (Room.SCORES, "s")
        )
        assert kit.until("alice", score).state is State.DONE
    assert len(pids(counts)) == 2
    done = begun(counts)
    assert set(done) == {*(f"{job}/{p}" for job in jobs.values() for p in range(2)), f"{score}/0"}
    assert set(done.values()) == {1}
    assert len(counted(counts, "load")) == 2  # once on each node, whoever's job it was
    for tenant, number in jobs:
        same = expected(owner, kit, tenant, f"face{number}")
        assert kit.output(tenant, f"out{number}") == same


@SQLITE
def test_a_killed_engine_costs_one_part(
    kit: Kit, owner: Owner, cluster: RayCluster, counts: Path
) -> None:
    kit.tenant("alice")
    kit.faces("alice", "faces", 6)
    with dispatcher(kit, cluster):
        job = kit.embed("alice", "faces", "out")
        wait_for(lambda: len(counted(counts, "begin")) >= 3)
        before = inodes(cluster)
        what, step, pid = lines(counts)[-1]
        assert what == "begin"
        os.kill(int(pid), signal.SIGKILL)
        assert kit.until("alice", job, 60.0).state is State.DONE
    done = begun(counts)
    assert done.pop(step) == 2
    assert set(done.values()) == {1}
    assert len(done) == 5
    assert inodes(cluster) == before  # read from the node's own disk the second time
    assert kit.output("alice", "out") == expected(owner, kit, "alice", "faces")


@SQLITE
def test_a_killed_worker_costs_one_part_of_each_node(
    kit: Kit, owner: Owner, cluster: RayCluster, counts: Path
) -> None:
    kit.tenant("alice")
    for number in range(2):
        kit.faces("alice", f"faces{number}", 4, seed=number)
    with dispatcher(kit, cluster) as first:
        jobs = [kit.embed("alice", f"faces{number}", f"out{number}") for number in range(2)]
        wait_for(lambda: len(counted(counts, "begin")) >= 4)
        first.process.kill()
        first.process.wait()
        with dispatcher(kit, cluster):
            for job in jobs:
                assert kit.until("alice", job, 60.0).state is State.DONE
    done = begun(counts)
    assert set(done) == {f"{job}/{part}" for job in jobs for part in range(4)}
    assert sum(done.values()) <= len(done) + 2
    for number in range(2):
        same = expected(owner, kit, "alice", f"faces{number}")
        assert kit.output("alice", f"out{number}") == same


def test_a_node_that_vanishes_leaves_its_work_to_the_other(tmp_path: Path, owner: Owner) -> None:
    pytest.importorskip("ray", reason="no Ray: pip install 'fhe-face[ray]'")
    kit = make_kit(tmp_path / "service", owner)
    kit.tenant("alice")
    for number in range(4):
        kit.faces("alice", f"faces{number}", 4, seed=number)
    with running(tmp_path) as own, dispatcher(kit, own):
        jobs = [kit.embed("alice", f"faces{number}", f"out{number}") for number in range(4)]
        wait_for(lambda: len(pids(own.counts)) == 2)
        own.kill_node(0)
        for job in jobs:
            assert kit.until("alice", job, 120.0).state is State.DONE
        wait_for(lambda: kit.queue.workers() == 1, 60.0)
    done = begun(own.counts)
    assert sum(done.values()) <= len(done) + 1
    for number in range(4):
        same = expected(owner, kit, "alice", f"faces{number}")
        assert kit.output("alice", f"out{number}") == same
    kit.close()


@SQLITE
def test_what_kills_every_engine_is_set_aside(kit: Kit, cluster: RayCluster, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "poison", seed=1)
    kit.faces("alice", "good", seed=2)
    name = kit.service.blobs.path("alice", Room.FACES, "poison").name
    with dispatcher(kit, cluster):
        cluster.poison.write_text(f"{name} abort\n")
        bad = kit.embed("alice", "poison", "out1")
        good = kit.embed("alice", "good", "out2")
        done = kit.until("alice", good, 90.0)
        assert done.state is State.DONE, done.error
        status = kit.until("alice", bad, 180.0)
    assert status.state is State.FAILED
    assert status.error is not None
    assert status.error["code"] == "set-aside"
    assert str(kit.service.folder) not in status.error["detail"]


@SQLITE
def test_a_job_is_cancelled_at_its_next_step(kit: Kit, cluster: RayCluster, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "faces", 20)
    with dispatcher(kit, cluster):
        job = kit.embed("alice", "faces", "out")
        wait_for(lambda: counted(counts, "begin"))
        kit.queue.cancel("alice", job)
        assert kit.until("alice", job).state is State.CANCELLED
        assert len(counted(counts, "begin")) < 20
        again = kit.embed("alice", "faces", "out")
        wait_for(lambda: any(step.startswith(again) for step in counted(counts, "end")))


@SQLITE
def test_an_engine_that_hangs_is_ended(
    tmp_path: Path, owner: Owner, cluster: RayCluster, counts: Path, url: str | None
) -> None:
    kit = make_kit(tmp_path / "service", owner, url, replace(LIMITS, job_seconds=6.0))
    kit.tenant("alice")
    kit.faces("alice", "faces")
    with dispatcher(kit, cluster):
        cluster.hang.touch()
        try:
            job = kit.embed("alice", "faces", "out")
            status = kit.until("alice", job, 60.0)
        finally:
            cluster.hang.unlink()
        assert status.error is not None
        assert status.error["code"] == "time-limit"
        assert kit.until("alice", kit.embed("alice", "faces", "out"), 60.0).state is State.DONE
    kit.close()


@SQLITE
def test_searches_are_spread_and_are_what_one_machine_finds(
    kit: Kit, cluster: RayCluster, tmp_path: Path
) -> None:
    made = galleries.make(tmp_path / "gallery", names=True)
    made.enroll(galleries.people(tmp_path / "photos", 40, 1))  # three blocks of 16
    folder = kit.service.folder / "gallery"
    os.rename(tmp_path / "gallery" / "server", folder)
    os.symlink(folder, tmp_path / "gallery" / "server")
    sealer = made.opened.sealer
    assert len(made.opened.store.blocks()) >= 3
    with dispatcher(kit, cluster):
        wait_for(lambda: sockets(kit.service.folder / "run"), START_SECONDS)
        made.delete(subjects=["person01"])
        here = Galleries(1 << 30, 1, galleries.SMALL)
        for person in range(3):
            probe = sealer.seal_probe(galleries.expected(person))
            answer = kit.queue.search(folder, to_bytes(probe), 60.0)
            alone = here.search(folder, to_bytes(probe))
            one, other = (live_words(made, a, probe) for a in (answer, alone))
            assert one == other
            assert (answer.changes, answer.version) == (alone.changes, alone.version)
            assert answer.damaged == ()
    here.close()


def live_words(gallery: Gallery, answer: Answer, probe: Probe) -> dict[str, bytes]:
    """Of all live positions, by block; at the others stands chance."""
    scores = scores_of(answer.scores, probe)
    store = gallery.opened.store
    found = {}
    for block, words in zip(scores.blocks, scores.words, strict=True):
        found[block] = words[:, [entry.position for entry in store.entries(block)]].tobytes()
    return found


def test_a_wrong_token_is_refused(cluster: RayCluster) -> None:
    code = (
        "from fhe_face.service.cluster.messages import NodeSettings\n"
        "from fhe_face.service.cluster.pool import Pool\n"
        f"with Pool({cluster.address!r}, NodeSettings('/nowhere'), 'x') as pool:\n"
        "    print(pool.nodes())"
    )
    environment = {**os.environ, **cluster.environment, "RAY_AUTH_TOKEN": "0" * 64}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "NoCluster" in done.stderr
    assert "engine" not in json.dumps(done.stdout)
