"""Two workers on one PostgreSQL and one folder, as on two machines without Ray."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from fhe_face.service.queueing import State
from tests.service.jobs.afterwards import expected
from tests.service.jobs.engine import PAUSE
from tests.service.jobs.kit import Kit, Owner, counted, wait_for, worker
from tests.service.jobs.submitter import lines

pytestmark = pytest.mark.parametrize("url", ["postgres"], indirect=True)
PARTS = 2


def test_they_share_the_jobs_and_a_killed_lane_costs_one_part(
    kit: Kit, owner: Owner, counts: Path
) -> None:
    kit.tenant("alice")
    for number in range(8):
        kit.faces("alice", f"face{number}", PARTS, seed=number)
    with worker(kit, counts, **{PAUSE: 0.2}), worker(kit, counts, **{PAUSE: 0.2}):
        wait_for(lambda: kit.queue.workers() == 2)
        jobs = [kit.embed("alice", f"face{number}", f"out{number}") for number in range(8)]
        wait_for(lambda: len({line[2] for line in lines(counts) if line[0] == "begin"}) == 2, 60.0)
        os.kill(int(lines(counts)[-1][2]), signal.SIGKILL)
        for job in jobs:
            assert kit.until("alice", job, 60.0).state is State.DONE
    begun = Counter(counted(counts, "begin"))
    assert set(begun) == {f"{job}/{part}" for job in jobs for part in range(PARTS)}
    assert sum(begun.values()) <= len(begun) + 1  # the part that was interrupted
    assert len(counted(counts, "load")) <= 3  # once in each lane, and in the one that came after
    for number in range(8):
        same = expected(owner, kit, "alice", f"face{number}")
        assert kit.output("alice", f"out{number}") == same
