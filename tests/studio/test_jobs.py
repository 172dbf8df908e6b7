"""One job at a time: progress, giving up, errors; keys that are made ready beside."""

from __future__ import annotations

import threading
import time

import pytest

from fhe_core.parameters import presets
from fhe_face.failures import UsageError
from fhe_face.studio.engine import security_bits
from fhe_face.studio.jobs import Desk, DeskBusy, Job, State
from fhe_face.studio.progress import Cancelled, Progress, Side
from fhe_face.studio.readiness import Readiness
from tests.studio.kit import TinyEngine

PATIENCE = 20.0


def ended(job: Job) -> Job:
    until = time.monotonic() + PATIENCE
    while job.running:
        assert time.monotonic() < until, "the job does not end"
        time.sleep(0.01)
    return job


def test_an_outcome() -> None:
    desk = Desk()
    job = Job("any")
    desk.begin(job, lambda own: own.id)
    assert ended(job).outcome == job.id
    assert job.state is State.DONE


def test_only_one_at_a_time() -> None:
    desk, go = Desk(), threading.Event()
    first = Job("any")
    desk.begin(first, lambda _: go.wait(PATIENCE))
    with pytest.raises(DeskBusy, match="wait for it, or cancel it"):
        desk.begin(Job("any"), lambda _: None)
    assert desk.last is first
    go.set()
    ended(first)
    second = Job("any")
    desk.begin(second, lambda _: 2)
    assert ended(second).outcome == 2


def test_giving_up_ends_a_job_at_its_next_step() -> None:
    desk = Desk()

    def work(job: Job) -> None:
        for step in range(100_000):
            job.tell(Side.SERVER, "counting", step, 100_000)
            time.sleep(0.001)

    job = Job("any")
    desk.begin(job, work)
    time.sleep(0.05)
    job.cancel()
    assert ended(job).state is State.CANCELLED
    assert job.error is None
    assert all(step.finished for step in job.progress.steps())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (UsageError("no such thing"), "No such thing."),
        (MemoryError(), "Not enough memory."),
        (RuntimeError("odd"), "Internal error, please report it: RuntimeError: odd."),
    ],
)
def test_an_error_is_one_sentence(error: Exception, said: str) -> None:
    desk, job = Desk(), Job("any")

    def work(_job: Job) -> None:
        raise error

    desk.begin(job, work)
    assert ended(job).error == said
    assert job.state is State.FAILED


def test_steps_follow_each_other() -> None:
    progress = Progress()
    progress.report(Side.CLIENT, "one", 0, 0)
    progress.report(Side.CLIENT, "one", 1, 4)
    progress.report(Side.SERVER, "two", 0, 8)
    one, two = progress.steps()
    assert (one.what, one.finished, two.finished) == ("one", True, False)
    progress.report(Side.SERVER, "two", 8, 8)
    assert all(step.finished for step in progress.steps())
    before = progress.version
    progress.finish()
    assert progress.version > before


def test_time_left_is_told_when_something_is_known() -> None:
    progress = Progress()
    progress.report(Side.CLIENT, "one", 1, 10)
    (step,) = progress.steps()
    assert step.left is None


def test_readiness_is_shown_in_the_job_that_waits(engine: TinyEngine) -> None:
    engine.pause = 0.01
    ready, job = Readiness(engine), Job("any")
    ready.start()
    ready.wait(job)
    assert [step.what for step in job.progress.steps()] == [
        "making evaluation keys",
        "reading evaluation keys",
    ]
    later = Job("any")
    ready.wait(later)
    assert later.progress.steps() == []
    assert engine.prepared == 1


def test_a_failure_is_told_and_tried_again(engine: TinyEngine) -> None:
    engine.failure = UsageError("the disk is full")
    ready = Readiness(engine)
    with pytest.raises(UsageError, match="disk is full"):
        ready.wait(Job("any"))
    assert ready.said == "The disk is full."
    engine.failure = None
    ready.wait(Job("any"))
    assert ready.ready
    assert ready.said is None


def test_giving_up_does_not_stop_the_keys(engine: TinyEngine) -> None:
    engine.pause = 0.05
    ready, job = Readiness(engine), Job("any")
    job.cancel()
    with pytest.raises(Cancelled):
        ready.wait(job)
    ready.wait(Job("any"))
    assert engine.prepared == 1


def test_closing_stops_the_keys(engine: TinyEngine) -> None:
    engine.pause = 0.05
    ready = Readiness(engine)
    ready.start()
    ready.close()
    assert not ready.ready
    assert ready.error is None


def test_security_is_that_of_the_page_on_security() -> None:
    """Of the ring that is attacked at the least cost."""
    assert security_bits(presets.load("lean")) == pytest.approx(128.1, abs=0.1)
    assert security_bits(presets.load("safe")) == pytest.approx(131.6, abs=0.1)


def test_a_small_ring_claims_no_security(engine: TinyEngine) -> None:
    assert security_bits(engine.world.parameters) is None
