"""Who may compute what: claims, leases, deaths; what old results and engines lead to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fhe_face.service.errors import NotHere
from fhe_face.service.jobs.claims import Claims
from fhe_face.service.jobs.inline import work
from fhe_face.service.jobs.keeping import Keeper, Presence
from fhe_face.service.jobs.opening import open_jobs
from fhe_face.service.jobs.turns import Turns
from fhe_face.service.queueing import State
from fhe_face.service.rows import Room
from tests.service.jobs.engine import TinyEngines
from tests.service.jobs.kit import LIMITS, Kit, counted


def test_a_worker_that_was_taken_for_dead_can_write_nothing(kit: Kit) -> None:
    from fhe_face.service.jobs.claims import Lost

    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    database = open_jobs(kit.service)
    first, second = (Claims(database, name, LIMITS) for name in ("first", "second"))
    lost = first.claim(Turns(1.0))
    assert lost is not None
    assert second.claim(Turns(1.0)) is None
    assert second.died("it was killed", ["first"]) == 1
    mine = second.claim(Turns(1.0))
    assert mine is not None
    assert mine.deaths == 1
    for write in (first.hand_back, first.cancelled, lambda c: first.finish(c, "n", "d")):
        with pytest.raises(Lost):
            write(lost)
    with pytest.raises(Lost):
        first.progress(lost, "stage", 1, 2)
    second.finish(mine, "name", "digest")
    assert kit.queue.status("alice", job).state is State.DONE
    database.engine.dispose()


def test_a_job_that_kills_its_workers_is_set_aside(kit: Kit) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    database = open_jobs(kit.service)
    claims = Claims(database, "worker", replace(LIMITS, deaths=3, pause_seconds=0.0))
    for _ in range(3):
        assert claims.claim(Turns(1.0)) is not None
        assert claims.died("the process was ended by SIGABRT") == 1
    assert claims.claim(Turns(1.0)) is None
    failed = kit.queue.status("alice", job)
    assert failed.error is not None
    assert failed.error["code"] == "set-aside"
    assert "SIGABRT" in failed.error["detail"]
    database.engine.dispose()


def test_a_lease_that_has_run_out_gives_the_job_to_others(kit: Kit) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    kit.embed("alice", "face", "out")
    database = open_jobs(kit.service)
    gone = Claims(database, "gone", replace(LIMITS, lease_seconds=-1.0))
    assert gone.claim(Turns(1.0)) is not None
    other = Claims(database, "other", LIMITS)
    assert other.bury_expired() == 1
    assert other.claim(Turns(1.0)) is not None
    other.beat()
    assert other.bury_expired() == 0
    database.engine.dispose()


def test_the_same_work_is_not_begun_twice_at_once(kit: Kit) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    kit.embed("alice", "face", "one")
    kit.embed("alice", "face", "two")
    database = open_jobs(kit.service)
    first, second = (Claims(database, name, LIMITS) for name in ("first", "second"))
    assert first.claim(Turns(1.0)) is not None
    assert second.claim(Turns(1.0)) is None
    database.engine.dispose()


def test_old_results_are_removed(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    kit.faces("alice", "other", seed=2)
    work(kit.service, TinyEngines())
    waiting = kit.embed("alice", "other", "later")
    stray = kit.service.folder / "parts" / "0123"
    kept = kit.service.folder / "parts" / waiting
    for folder in (stray, kept):
        folder.mkdir()
    database = open_jobs(kit.service)

    def sweep(seconds: float) -> int:
        claims = Claims(database, "worker", replace(LIMITS, results_seconds=seconds))
        presence = Presence(kit.service.folder / "run", "worker")
        return Keeper(claims, presence, kit.service.blobs, kit.service.folder).sweep()

    assert sweep(60.0) == 0
    assert kit.output("alice", "out")
    assert sweep(-1.0) == 1
    with pytest.raises(NotHere):
        kit.output("alice", "out")
    with pytest.raises(NotHere):
        kit.queue.status("alice", job)
    assert kit.queue.status("alice", waiting).state is State.QUEUED
    assert kept.is_dir()
    assert not stray.exists()
    database.engine.dispose()


def test_another_engine_computes_anew(kit: Kit, counts: Path) -> None:
    class Newer(TinyEngines):
        def identity(self) -> str:
            return "insecure-newer"

    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    work(kit.service, TinyEngines())
    assert kit.embed("alice", "face", "out") == job
    work(kit.service, Newer())
    again = kit.embed("alice", "face", "new")
    assert work(kit.service, Newer()) == [again]
    assert len(counted(counts, "end")) == 2
    assert kit.embed("alice", "face", "new") == again


def test_what_was_put_into_the_target_by_others_is_no_output(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    for seed, name in enumerate(("one", "two")):
        kit.faces("alice", name, seed=seed)
        kit.embed("alice", name, name)
    work(kit.service, TinyEngines())
    kit.service.blobs.delete("alice", Room.EMBEDDINGS, "one")
    other = kit.service.blobs.path("alice", Room.EMBEDDINGS, "two")
    kit.put("alice", Room.EMBEDDINGS, "one", other)
    job = kit.embed("alice", "one", "one")
    assert work(kit.service, TinyEngines()) == [job]
    failed = kit.queue.status("alice", job)
    assert failed.error is not None
    assert failed.error["code"] == "other-content"


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_each_part_has_the_time_that_a_part_may_take(
    kit: Kit, counts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All parts together take longer, each a tenth of it, so that a busy machine has room."""
    monkeypatch.setenv("JOBS_TEST_PAUSE", "0.7")
    kit.tenant("alice")
    kit.faces("alice", "faces", 10)
    job = kit.embed("alice", "faces", "out")
    work(kit.service, TinyEngines(), replace(LIMITS, job_seconds=6.5))
    assert kit.queue.status("alice", job).state is State.DONE


def test_deaths_before_a_part_ended_do_not_count(kit: Kit) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    database = open_jobs(kit.service)
    claims = Claims(database, "worker", replace(LIMITS, deaths=2, pause_seconds=0.0))
    for _ in range(5):
        claim = claims.claim(Turns(1.0))
        assert claim is not None
        claims.next_part(claim)
        claims.died("the process was killed")
    assert kit.queue.status("alice", job).state is State.QUEUED
    assert claims.claim(Turns(1.0)) is not None
    claims.died("the process was killed")
    assert kit.queue.status("alice", job).state is State.FAILED
    database.engine.dispose()
