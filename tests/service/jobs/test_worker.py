"""Workers as processes: jobs, deaths of lanes and workers, ends, poison, searches."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from fhe_core.formats.matching import to_bytes
from fhe_core.matching import Probe, Scores
from fhe_face.gallery.gallery import Gallery
from fhe_face.gallery.searchers import read_scores
from fhe_face.service.errors import Busy
from fhe_face.service.jobs.calling import SearchClient, SearchFailed, sockets
from fhe_face.service.jobs.keeping import host
from fhe_face.service.jobs.search_lane import serve
from fhe_face.service.jobs.stopping import Stopping
from fhe_face.service.queueing import Answer, State
from fhe_face.service.rows import Room
from tests.gallery import kit as galleries
from tests.service.jobs.engine import HANG, PAUSE, POISON
from tests.service.jobs.kit import (
    LIMITS,
    PATIENCE,
    Kit,
    Owner,
    Process,
    counted,
    make_kit,
    start_worker,
    stop,
    wait_for,
    worker,
)
from tests.service.jobs.search_lane import POISON as POISONED

SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


def test_a_worker_computes_and_ends_when_asked(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    with worker(kit, counts) as process:
        job = kit.embed("alice", "face", "out")
        assert kit.until("alice", job).state is State.DONE
        wait_for(lambda: kit.queue.workers() == 1)
    assert process.process.returncode == 0
    assert kit.queue.workers() == 0
    assert not list((kit.service.folder / "run").glob("*.lock"))
    events = [json.loads(line)["event"] for line in process.log.read_text().splitlines()]
    assert {"ready", "done", "ended"} <= set(events)


@SQLITE
def test_processes_of_a_worker_are_confined(kit: Kit, counts: Path) -> None:
    with worker(kit, counts, memory=8 << 30) as process:
        wait_for(lambda: len(process.lanes()) == 2)
        wait_for(lambda: process.log.read_text().count("ready") == 2)
        for pid in process.lanes():
            status = Path(f"/proc/{pid}/status").read_text()
            assert "NoNewPrivs:\t1" in status
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"Max core file size +0 +0 ", limits)
        jobs = next(pid for pid in process.lanes() if b"jobs.lane" in _command(pid))
        assert str(8 << 30) in Path(f"/proc/{jobs}/limits").read_text()


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _lane(process: Process) -> int:
    return next(pid for pid in process.lanes() if b"jobs.lane" in _command(pid))


@SQLITE
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGBUS])
def test_a_lane_that_dies_costs_one_part(kit: Kit, counts: Path, number: signal.Signals) -> None:
    kit.tenant("alice")
    kit.faces("alice", "faces", 3)
    with worker(kit, counts, **{PAUSE: 0.3}) as process:
        job = kit.embed("alice", "faces", "out")
        wait_for(lambda: counted(counts, "begin")[-1:] == [f"{job}/1"])
        os.kill(_lane(process), number)
        assert kit.until("alice", job).state is State.DONE
        assert process.process.poll() is None
    assert counted(counts, "begin") == [f"{job}/{part}" for part in (0, 1, 1, 2)]


def test_a_worker_that_is_killed_loses_no_job(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "faces", 2)
    first = start_worker(kit, counts, **{PAUSE: 0.5})
    job = kit.embed("alice", "faces", "out")
    wait_for(lambda: counted(counts, "begin") == [f"{job}/0", f"{job}/1"])
    lanes = first.lanes()
    first.process.kill()
    first.process.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in lanes))
    with worker(kit, counts):
        assert kit.until("alice", job).state is State.DONE
    assert counted(counts, "begin") == [f"{job}/{part}" for part in (0, 1, 1)]


@SQLITE
def test_a_worker_that_is_asked_to_end_hands_back(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "faces", 2)
    first = start_worker(kit, counts, grace=0.0, **{PAUSE: 5.0})
    job = kit.embed("alice", "faces", "out")
    wait_for(lambda: counted(counts, "begin"))
    assert stop(first) == 0
    status = kit.queue.status("alice", job)
    assert status.state is State.QUEUED
    with worker(kit, counts):
        assert kit.until("alice", job).state is State.DONE


@SQLITE
def test_what_is_computed_may_end_within_the_grace(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    process = start_worker(kit, counts, grace=20.0, **{PAUSE: 1.0})
    job = kit.embed("alice", "face", "out")
    wait_for(lambda: counted(counts, "begin"))
    assert stop(process) == 0
    assert kit.queue.status("alice", job).state is State.DONE


@SQLITE
def test_a_running_job_is_cancelled(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    with worker(kit, counts, **{PAUSE: 30.0}):
        job = kit.embed("alice", "face", "out")
        wait_for(lambda: counted(counts, "begin"))
        running = kit.queue.cancel("alice", job)
        assert running.state in (State.RUNNING, State.CANCELLED)
        assert kit.until("alice", job).state is State.CANCELLED
        other = kit.embed("alice", "face", "out")
        wait_for(lambda: len(counted(counts, "begin")) == 2)
        kit.queue.cancel("alice", other)


@SQLITE
def test_a_job_that_hangs_is_ended_with_its_lane(
    tmp_path: Path, owner: Owner, counts: Path, url: str | None
) -> None:
    kit = make_kit(tmp_path / "service", owner, url, replace(LIMITS, job_seconds=4.0))
    kit.tenant("alice")
    for seed, name in enumerate(("bad", "good")):
        kit.faces("alice", name, seed=seed)
    hang = tmp_path / "hang"
    hang.touch()
    with worker(kit, counts, **{HANG: hang}):
        bad = kit.embed("alice", "bad", "bad")
        failed = kit.until("alice", bad)
        hang.unlink()
        good = kit.embed("alice", "good", "good")
        assert kit.until("alice", good).state is State.DONE
    assert failed.error is not None
    assert failed.error["code"] == "time-limit"
    kit.close()


#: What a hostile file does to the process that reads it, and what its job ends with.
FAULTS = {
    "abort": ("set-aside", "SIGABRT"),
    "segfault": ("set-aside", "SIGSEGV"),
    "killed": ("set-aside", "memory"),
    "exit": ("set-aside", "status 3"),
    "memory": ("retries", "memory"),
}


@SQLITE
def test_hostile_files_cost_their_own_job_only(kit: Kit, counts: Path, tmp_path: Path) -> None:
    kit = replace(kit, limits=replace(kit.limits, deaths=2, retries=1))
    kit.tenant("alice")
    kit.tenant("bob")
    poison, lines = tmp_path / "poison", []
    for seed, fault in enumerate(FAULTS):
        kit.faces("alice", fault, seed=seed)
        lines.append(f"{kit.service.blobs.path('alice', Room.FACES, fault).name} {fault}")
    poison.write_text("\n".join(lines))
    kit.faces("bob", "good", seed=99)
    with worker(kit, counts, **{POISON: poison}) as process:
        bad = {fault: kit.embed("alice", fault, fault) for fault in FAULTS}
        good = kit.embed("bob", "good", "good")
        assert kit.until("bob", good, 60.0).state is State.DONE
        for fault, (code, said) in FAULTS.items():
            failed = kit.until("alice", bad[fault], 60.0)
            assert failed.error is not None
            assert failed.error["code"] == code, (fault, failed)
            assert said in failed.error["detail"], (fault, failed)
        assert process.process.poll() is None
    order = [step.partition("/")[0] for step in counted(counts, "begin")]
    assert order.index(good) <= 2  # another tenant has its turn after the first death
    begun = Counter(order)
    for fault, (code, _) in FAULTS.items():
        limits = kit.limits
        tries = limits.deaths if code == "set-aside" else limits.retries + 1
        assert begun[bad[fault]] == tries, fault
    assert begun[good] == 1


def test_two_workers_do_each_job_once(kit: Kit, counts: Path, other: Owner) -> None:
    kit.tenant("alice")
    kit.tenant("bob", other)
    jobs = []
    with worker(kit, counts), worker(kit, counts):
        for number in range(6):
            kit.faces("alice", f"{number}", seed=number)
            kit.faces("bob", f"{number}", seed=number, owner=other)
            jobs += [(t, kit.embed(t, f"{number}", f"{number}")) for t in ("alice", "bob")]
        for tenant, job in jobs:
            assert kit.until(tenant, job, 60.0).state is State.DONE
    assert sorted(counted(counts, "end")) == sorted(f"{job}/0" for _, job in jobs)


@SQLITE
def test_keys_that_are_in_memory_go_first(kit: Kit, counts: Path, other: Owner) -> None:
    kit.tenant("alice")
    kit.tenant("bob", other)
    for number in range(4):  # alternating
        kit.faces("alice", f"{number}", seed=number)
        kit.embed("alice", f"{number}", f"{number}")
        kit.faces("bob", f"{number}", seed=number, owner=other)
        last = kit.embed("bob", f"{number}", f"{number}")
    # Room for the keys of one client only.
    with worker(kit, counts, memory=2 << 30, **{"JOBS_TEST_WORKING": (2 << 30) - (100 << 20)}):
        assert kit.until("bob", last, 60.0).state is State.DONE
    assert len(counted(counts, "load")) == 2


@SQLITE
def test_a_worker_ends_when_its_parent_is_gone(kit: Kit, counts: Path) -> None:
    process = start_worker(kit, counts, held=True)
    wait_for(lambda: kit.queue.workers() == 1)
    assert process.process.stdin is not None
    process.process.stdin.close()
    assert process.process.wait(PATIENCE) == 0
    assert kit.queue.workers() == 0


@SQLITE
def test_a_worker_without_a_service_says_so(kit: Kit, counts: Path, tmp_path: Path) -> None:
    empty = replace(kit, service=replace(kit.service, folder=tmp_path))
    process = start_worker(empty, counts)
    assert process.process.wait(PATIENCE) == 2
    assert "cannot start" in process.log.read_text()


# --- Searches ------------------------------------------------------------------------------------


@pytest.fixture
def gallery(kit: Kit, tmp_path: Path) -> Gallery:
    """A sealed gallery whose server folder is inside the service."""
    made = galleries.make(tmp_path / "gallery", names=True)
    made.enroll(galleries.people(tmp_path / "photos", 3, 2))
    os.rename(tmp_path / "gallery" / "server", kit.service.folder / "gallery")
    os.symlink(kit.service.folder / "gallery", tmp_path / "gallery" / "server")
    return made


@dataclass(frozen=True)
class Remote:
    """A gallery's searcher that asks the queue."""

    kit: Kit
    folder: Path

    def search(self, probe: Probe, /) -> Scores:
        answer = self.kit.queue.search(self.folder, to_bytes(probe), 10.0)
        file = self.folder.parent / "scores"
        file.write_bytes(answer.scores)
        return read_scores(file, probe)


@SQLITE
def test_people_are_found_through_the_lane_of_searches(
    kit: Kit, counts: Path, gallery: Gallery, tmp_path: Path
) -> None:
    folder = kit.service.folder / "gallery"
    photo = tmp_path / "photos" / "person01" / "0.png"
    with worker(kit, counts):
        wait_for(lambda: sockets(kit.service.folder / "run"))
        (found,) = gallery.identify(photo, searcher=Remote(kit, folder))
        assert found.best is not None
        assert found.best.name == "person01"
        gallery.delete(subjects=["person01"])
        probe = gallery.opened.sealer.seal_probe(galleries.direction(1))
        answer = kit.queue.search(folder, to_bytes(probe), 10.0)
        state = gallery.opened.store.state()
        assert (answer.changes, answer.version) == (state.changes, state.version)
        assert answer.damaged == ()
        for block in gallery.opened.store.blocks():
            next(gallery.opened.folder.server.rglob(block.digest)).write_bytes(b"damaged")
        restarted = kit.queue.search(folder, to_bytes(probe), 10.0)
        assert restarted.changes == state.changes


@SQLITE
def test_searches_without_a_worker_are_told_to_come_again(kit: Kit) -> None:
    with pytest.raises(Busy) as refused:
        kit.queue.search(kit.service.folder / "gallery", b"probe", 1.0)
    assert refused.value.retry_after > 0


@SQLITE
def test_bad_searches_are_refused_without_a_path(kit: Kit, counts: Path, gallery: Gallery) -> None:
    folder = kit.service.folder
    with worker(kit, counts):
        wait_for(lambda: sockets(folder / "run"))
        for place, probe, code in (
            (folder / "gallery", b"no probe", "not-a-container"),
            (folder / "none", b"probe", "store"),
            (folder / ".." / "outside", b"probe", "failure"),
        ):
            with pytest.raises(SearchFailed) as refused:
                kit.queue.search(place, probe, 10.0)
            assert refused.value.reason == code
            assert str(folder.parent) not in str(refused.value)


@SQLITE
def test_hostile_searches_cost_themselves_only(kit: Kit, counts: Path, gallery: Gallery) -> None:
    kit.tenant("alice")
    kit.faces("alice", "faces", 2)
    folder = kit.service.folder / "gallery"
    probe = to_bytes(gallery.opened.sealer.seal_probe(galleries.direction(1)))

    def answers() -> bool:
        with suppress(Busy):
            return bool(kit.queue.search(folder, probe, 10.0).scores)
        return False

    with worker(kit, counts, **{PAUSE: 0.5}) as process:
        job = kit.embed("alice", "faces", "out")
        for fault in ("segfault", "killed"):
            wait_for(answers)
            with pytest.raises(Busy):
                kit.queue.search(folder, POISONED + fault.encode(), 10.0)
        wait_for(answers)
        with pytest.raises(SearchFailed) as refused:
            kit.queue.search(folder, POISONED + b"memory", 10.0)
        assert refused.value.reason == "memory"
        assert answers()
        assert kit.until("alice", job).state is State.DONE
        assert process.log.read_text().count('"lane ended"') == 2
    assert len(counted(counts, "begin")) == 2  # the other lane noticed nothing


@SQLITE
def test_searches_do_not_wait_for_an_embedding(kit: Kit, counts: Path, gallery: Gallery) -> None:
    kit.tenant("alice")
    kit.faces("alice", "faces", 4)
    probe = to_bytes(gallery.opened.sealer.seal_probe(galleries.direction(1)))
    with worker(kit, counts, **{PAUSE: 0.5}):
        wait_for(lambda: sockets(kit.service.folder / "run"))
        job = kit.embed("alice", "faces", "out")
        wait_for(lambda: counted(counts, "begin"))
        seconds = []
        while not kit.queue.status("alice", job).state.final:
            started = time.monotonic()
            kit.queue.search(kit.service.folder / "gallery", probe, 10.0)
            seconds.append(time.monotonic() - started)
    assert len(seconds) > 3
    assert sorted(seconds)[int(0.95 * len(seconds))] < 1.0


def test_more_searches_than_there_is_room_for_are_told_to_come_again(
    tmp_path: Path, owner: Owner
) -> None:
    kit = make_kit(tmp_path / "service", owner)
    hold, stopping = threading.Event(), Stopping()

    def slow(_folder: Path, _probe: bytes) -> Answer:
        hold.wait(20.0)
        return Answer(b"scores", 1, 1)

    lane = threading.Thread(target=serve, args=(kit.service.folder, slow, stopping))
    lane.start()
    answers: list[str] = []

    def ask() -> None:
        try:
            client = SearchClient(kit.service.folder)
            answers.append(client.search(kit.service.folder / "g", b"probe", 30.0).scores.decode())
        except Busy:
            answers.append("busy")

    threads = [threading.Thread(target=ask) for _ in range(50)]
    try:
        wait_for(lambda: sockets(kit.service.folder / "run"))
        for thread in threads:
            thread.start()
        wait_for(lambda: answers.count("busy") >= 14)
    finally:
        hold.set()
        for thread in threads:
            thread.join()
        stopping.ask()
        lane.join()
        kit.close()
    assert answers.count("busy") == 14
    assert answers.count("scores") == 36


def test_searches_find_the_lane_that_lives(tmp_path: Path, owner: Owner) -> None:
    """A killed lane's socket, one of another machine, and another lane that ends."""
    kit = make_kit(tmp_path / "service", owner)
    run = kit.service.folder / "run"
    run.mkdir()
    for name in (f"{host()}.1.dead.sock", "elsewhere.1.abcd.sock"):
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(run / name))
    names = ("first", "second")
    stops = [Stopping() for _ in names]

    def lane(number: int) -> threading.Thread:
        def search(_folder: Path, _probe: bytes) -> Answer:
            return Answer(names[number].encode(), 1, 1)

        thread = threading.Thread(target=serve, args=(kit.service.folder, search, stops[number]))
        thread.start()
        return thread

    client = SearchClient(kit.service.folder)
    lanes = [lane(0)]
    wait_for(lambda: [n for n in sockets(run) if "dead" not in n])
    assert len(sockets(run)) == 1  # the dead one was removed
    assert client.search(run, b"probe", 5.0).scores == b"first"
    lanes.append(lane(1))
    wait_for(lambda: len(sockets(run)) == 2)
    assert client.search(run, b"probe", 5.0).scores == b"second"
    stops[1].ask()
    lanes[1].join()
    assert client.search(run, b"probe", 5.0).scores == b"first"
    stops[0].ask()
    lanes[0].join()
    assert [path.name for path in run.glob("*.sock")] == ["elsewhere.1.abcd.sock"]
    with pytest.raises(Busy):
        client.search(run, b"probe", 5.0)
    kit.close()


def test_an_answer_that_takes_too_long_is_a_time_out(tmp_path: Path, owner: Owner) -> None:
    kit = make_kit(tmp_path / "service", owner)
    stopping = Stopping()

    def slow(_folder: Path, _probe: bytes) -> Answer:
        time.sleep(0.5)
        return Answer(b"scores", 1, 1)

    lane = threading.Thread(target=serve, args=(kit.service.folder, slow, stopping))
    lane.start()
    try:
        wait_for(lambda: sockets(kit.service.folder / "run"))
        with pytest.raises(TimeoutError):
            kit.queue.search(kit.service.folder / "g", b"probe", 0.1)
    finally:
        stopping.ask()
        lane.join()
        kit.close()
