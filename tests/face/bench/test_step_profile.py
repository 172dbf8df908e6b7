"""The profile accounts for every step of the plan and for the time of the run."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fhe_core.analysis.cost import Machine, step_costs, totals
from fhe_face.bench import step_profile
from fhe_face.bench.step_profile import Profile
from fhe_face.bench.subject import Subject


@pytest.fixture(scope="module")
def profile(subject: Subject) -> Profile:
    return step_profile.measure(subject, threads=1, repeat=2)


def test_every_step_is_measured(profile: Profile, subject: Subject) -> None:
    plan = subject.engine.compiled.plan
    assert [step.cost.label for step in profile.steps] == list(plan.labels)
    assert all(step.seconds > 0 and step.cpu_seconds >= 0 for step in profile.steps)
    assert profile.facts["plan_digest"] == plan.digest
    assert sum(step.seconds for step in profile.steps) <= profile.wall_seconds
    (face,) = profile.facts["faces"]
    assert face["relative_l2_error"] < 1e-3


def test_rows_are_merged_without_loss(profile: Profile, subject: Subject) -> None:
    rows = profile.merged()
    labels = [row.cost.label for row in rows]
    assert len(rows) < len(profile.steps)
    assert all(a != b for a, b in pairwise(labels))
    costs = step_costs(subject.engine.compiled.plan, subject.engine.parameters, Machine(threads=1))
    total, expected = profile.total(), totals(costs)
    assert total.cost.work == expected.work
    assert total.steps == sum(row.steps for row in rows) == len(profile.steps)
    assert total.cost.estimated_seconds == pytest.approx(expected.estimated_seconds)
    assert total.seconds == pytest.approx(sum(row.seconds for row in rows))
    answer = profile.to_json()
    assert len(answer["steps"]) == len(rows)
    assert answer["totals"]["ntts"] == expected.work.ntts
    assert answer["totals"]["ratio"] == pytest.approx(total.seconds / expected.estimated_seconds)


def test_steps_that_cost_nothing_have_no_ratio(profile: Profile) -> None:
    free = [row for row in profile.merged() if row.cost.op == "drop-level"]
    assert free
    assert all(row.ratio is None for row in free)


def test_more_threads_until_memory_binds(subject: Subject) -> None:
    rows = step_profile.scaling(subject.engine.compiled.plan, subject.engine.parameters)
    estimates = [row["estimated_seconds"] for row in rows]
    assert [row["threads"] for row in rows] == [1, 2, 8, 32, 96]
    assert estimates == sorted(estimates, reverse=True)
    assert rows[0]["bandwidth_bound_share"] < 0.1
    assert rows[-1]["bandwidth_bound_share"] > 0.9
