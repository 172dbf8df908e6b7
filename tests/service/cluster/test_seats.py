"""Seats: what the worker does with nodes that compute, die, lie, come and go; without Ray."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fhe_face.progress import Stage, silent
from fhe_face.service.cluster.messages import Request, to_text
from fhe_face.service.cluster.seats import NodeKeys, Seats, tell_seconds
from fhe_face.service.jobs.claims import Claims
from fhe_face.service.jobs.keeping import tell_identity
from fhe_face.service.jobs.opening import open_jobs
from fhe_face.service.jobs.records import JobFailed, Kind, NodeFailed
from fhe_face.service.jobs.steps import explained
from fhe_face.service.jobs.stopping import Stopping
from fhe_face.service.queueing import State
from fhe_face.service.rows import Room
from tests.service.cluster.fake import FakeEngine, FakeNodes, engine_node
from tests.service.jobs.afterwards import expected
from tests.service.jobs.engine import TinyEngines
from tests.service.jobs.kit import Kit, Owner, counted, wait_for

pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JOBS_TEST_COUNTS", str(tmp_path / "counts"))
    return tmp_path / "counts"


def engine(kit: Kit, tmp_path: Path, name: str = "a", **changes: object) -> FakeEngine:
    node = engine_node(kit.service.folder, tmp_path / f"cache-{name}")
    return FakeEngine(node, **changes)  # type: ignore[arg-type]


@contextmanager
def seated(kit: Kit, nodes: FakeNodes, *, insecure: bool = True) -> Iterator[Seats]:
    database = open_jobs(kit.service)
    claims = Claims(database, "dispatcher", kit.limits)
    tell_identity(claims, TinyEngines().identity)
    mine = TinyEngines().identity()
    service = kit.service
    seats = Seats(claims, service.blobs, service.folder, nodes, mine, Stopping(10.0), insecure)
    thread = threading.Thread(target=seats.run)
    thread.start()
    try:
        yield seats
    finally:
        seats.stopping.ask()
        thread.join()
        database.engine.dispose()


def test_nodes_share_the_jobs(kit: Kit, owner: Owner, tmp_path: Path, counts: Path) -> None:
    kit.tenant("alice")
    for number in range(6):
        kit.faces("alice", f"face{number}", seed=number)
    nodes = FakeNodes({name: engine(kit, tmp_path, name) for name in "ab"})
    jobs = [kit.embed("alice", f"face{n}", f"out{n}") for n in range(6)]
    with seated(kit, nodes):
        for job in jobs:
            assert kit.until("alice", job).state is State.DONE
        wait_for(lambda: kit.queue.workers() == 2)
    assert sorted(counted(counts, "begin")) == sorted(f"{job}/0" for job in jobs)
    assert all(one.closed for one in nodes.engines.values())
    assert kit.queue.workers() == 0
    for number in range(6):
        assert kit.output("alice", f"out{number}") == expected(owner, kit, "alice", f"face{number}")


def test_requests_name_files_by_digest(kit: Kit, tmp_path: Path, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "faces", 2)
    one = engine(kit, tmp_path)
    with seated(kit, FakeNodes({"a": one})):
        assert kit.until("alice", kit.embed("alice", "faces", "out")).state is State.DONE
    assert [request.do for request in one.asked] == ["load", "open", "compute", "compute", "join"]
    faces = kit.service.blobs.path("alice", Room.FACES, "faces")
    key = kit.service.blobs.find("alice", Room.KEYS, "key").digest
    for request in one.asked:
        assert request.key == key
        assert len(to_text(request)) < 2000  # no object travels
        assert request.files in ((), (str(faces.relative_to(kit.service.folder)),))


def test_a_death_costs_one_part_and_the_next_node_goes_on(
    kit: Kit, owner: Owner, tmp_path: Path, counts: Path
) -> None:
    kit.tenant("alice")
    kit.faces("alice", "faces", 3)
    one = engine(kit, tmp_path, deaths=1)
    with seated(kit, FakeNodes({"a": one})):
        job = kit.embed("alice", "faces", "out")
        assert kit.until("alice", job).state is State.DONE
    assert sorted(counted(counts, "begin")) == [f"{job}/{part}" for part in range(3)]
    assert kit.output("alice", "out") == expected(owner, kit, "alice", "faces")


def test_what_kills_nodes_is_set_aside_and_others_are_not(
    kit: Kit, tmp_path: Path, counts: Path
) -> None:
    kit.tenant("alice")
    kit.faces("alice", "bad", seed=1)
    kit.faces("alice", "good", seed=2)
    bad = kit.embed("alice", "bad", "out1")
    with seated(kit, FakeNodes({"a": engine(kit, tmp_path, deaths=kit.limits.deaths)})):
        status = kit.until("alice", bad)
        assert kit.until("alice", kit.embed("alice", "good", "out2")).state is State.DONE
    assert status.error is not None
    assert status.error["code"] == "set-aside"


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": ""},
        {"mode": "disabled"},
        {"identity": "insecure-tiny of another version"},
    ],
)
def test_a_node_that_is_not_what_it_should_be_gets_nothing(
    kit: Kit, tmp_path: Path, changes: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    bad = engine(kit, tmp_path, "a", hello_changes=changes)
    good = engine(kit, tmp_path, "b")
    with seated(kit, FakeNodes({"a": bad, "b": good})):
        assert kit.until("alice", kit.embed("alice", "face", "out")).state is State.DONE
        wait_for(lambda: kit.queue.workers() == 1)
    assert not bad.asked
    assert "node not used" in capfd.readouterr().err


def test_an_insecure_node_gets_nothing(kit: Kit, tmp_path: Path) -> None:
    keys = NodeKeys("a", engine(kit, tmp_path), kit.service.folder, TinyEngines().identity())
    assert not keys.ready()


def test_a_node_that_comes_late_gets_jobs(kit: Kit, tmp_path: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    nodes = FakeNodes({"a": engine(kit, tmp_path, silent=1)}, {"none"})
    nodes.there = set()
    job = kit.embed("alice", "face", "out")
    with seated(kit, nodes):
        assert kit.queue.status("alice", job).state is State.QUEUED
        nodes.there = {"a"}
        assert kit.until("alice", job).state is State.DONE


def test_a_node_that_leaves_gets_no_more(kit: Kit, tmp_path: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    one = engine(kit, tmp_path)
    nodes = FakeNodes({"a": one})
    with seated(kit, nodes):
        wait_for(lambda: kit.queue.workers() == 1)
        nodes.there = set()
        wait_for(lambda: one.closed)
        job = kit.embed("alice", "face", "out")
        assert kit.queue.wait("alice", job, 1.0).state is State.QUEUED


def test_failures_of_inputs_are_those_of_one_machine(
    kit: Kit, owner: Owner, tmp_path: Path
) -> None:
    kit.tenant("alice")
    keys = NodeKeys(
        "a", engine(kit, tmp_path), kit.service.folder, TinyEngines().identity(), insecure=True
    )
    digest = kit.service.blobs.find("alice", Room.KEYS, "key").digest
    path = kit.service.blobs.path("alice", Room.KEYS, "key")
    resident = keys.get(digest, path, silent)
    assert list(keys.loaded) == [digest]
    assert resident.memory_bytes > 0
    with pytest.raises(NodeFailed) as refused:  # a key is no face
        resident.open(Kind.EMBEDDING, [path])
    failed, passing = explained(refused.value, {str(path): "faces x"})
    assert (failed.reason, passing) == ("wrong-kind", False)
    assert "faces x" in str(failed)
    keys.engine.node.residents.budget_bytes = 1  # type: ignore[attr-defined]
    keys.engine.node.residents.clear()  # type: ignore[attr-defined]
    with pytest.raises(JobFailed) as full:
        keys.get(digest, path, silent)
    assert full.value.reason == "memory"


@pytest.mark.parametrize("parts", [-1, 0, 10**12])
def test_a_node_that_counts_parts_that_cannot_be_is_refused(
    kit: Kit, tmp_path: Path, parts: int
) -> None:
    """A path is made for each of them, and none would be no output at all."""
    kit.tenant("alice")
    kit.faces("alice", "face")
    node = engine(kit, tmp_path)
    ask = node.ask

    def lying(request: Request, stage: Stage) -> Mapping[str, Any]:
        return {**ask(request, stage), **({"parts": parts} if request.do == "open" else {})}

    node.ask = lying  # type: ignore[method-assign]
    keys = NodeKeys("a", node, kit.service.folder, TinyEngines().identity(), insecure=True)
    digest = kit.service.blobs.find("alice", Room.KEYS, "key").digest
    resident = keys.get(digest, kit.service.blobs.path("alice", Room.KEYS, "key"), silent)
    with pytest.raises(NodeFailed, match="parts"):
        resident.open(Kind.EMBEDDING, [kit.service.blobs.path("alice", Room.FACES, "face")])


def test_a_damaged_copy_of_keys_is_not_used(kit: Kit, tmp_path: Path) -> None:
    kit.tenant("alice")
    node = engine(kit, tmp_path).node
    digest = kit.service.blobs.find("alice", Room.KEYS, "key").digest
    path = kit.service.blobs.path("alice", Room.KEYS, "key")
    copy = node.cache.get(digest, path)
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    request = Request("1", "load", digest, str(path.relative_to(kit.service.folder)))
    assert json.loads(node.ask(to_text(request)))["loaded"] == [digest]
    assert not copy.exists()  # the next process copies it again


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd"])
def test_a_node_reads_nothing_outside_the_folder(kit: Kit, tmp_path: Path, name: str) -> None:
    node = engine(kit, tmp_path).node
    answer = json.loads(node.ask(to_text(Request("1", "load", "ab" * 32, name))))
    assert answer["failed"]["text"] == "a file outside the service's folder"


def test_a_request_of_another_version_is_told(kit: Kit, tmp_path: Path) -> None:
    answer = json.loads(engine(kit, tmp_path).node.ask('{"call": "1"}'))
    assert "install the same one" in answer["failed"]["text"]


def test_what_is_done_already_is_not_done_again(kit: Kit, tmp_path: Path, counts: Path) -> None:
    """Ray repeats a request whose answer was lost."""
    kit.tenant("alice")
    kit.faces("alice", "face")
    node = engine(kit, tmp_path).node
    digest = kit.service.blobs.find("alice", Room.KEYS, "key").digest
    key, faces = (
        str(kit.service.blobs.path("alice", room, id).relative_to(kit.service.folder))
        for room, id in ((Room.KEYS, "key"), (Room.FACES, "face"))
    )
    request = Request("1", "compute", digest, key, 0, "embedding", (faces,), 0, (), "scratch/part")
    kit.service.blobs.scratch()
    for _ in range(2):
        assert "failed" not in json.loads(node.ask(to_text(request)))
    assert len(counted(counts, "begin")) == 1


@pytest.mark.parametrize(("nodes", "seconds"), [(1, 0.5), (50, 0.5), (200, 2.0), (1000, 10.0)])
def test_many_nodes_report_less_often_each(nodes: int, seconds: float, url: str | None) -> None:
    assert tell_seconds(nodes) == seconds
