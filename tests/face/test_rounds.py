"""A face that diverges costs its partners a retry, never their result; the planner's choices."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhe_core.analysis.cost import Machine, step_costs, totals
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Embedding
from fhe_face.client.embedding import MAX_RUNS, RETRIES, Embedded, embed_faces
from fhe_face.client.health import Cause, HealthReport
from fhe_face.engine import choose_engine
from fhe_face.places import Packing, Run
from fhe_face.planning import COST, MEMORY, PlanningError, cost, plan_runs

CAPACITY = 64
WAYS: tuple[tuple[Packing, ...], ...] = (
    tuple(Packing),
    (Packing.ALONE,),
    (Packing.BATCH,),
)


@dataclass
class Rumour:
    """A client and a server without ciphertexts: a face is its number, culprits spoil others.

    In a batch an even culprit is told from the others, which do not fit any more; beside an odd
    one, which wraps around, nobody can tell who diverged.
    """

    packings: tuple[Packing, ...]
    culprits: Collection[int]
    bundles: list[list[Run]] = field(default_factory=list)
    engine: Any = None

    def __post_init__(self) -> None:
        self.engine = SimpleNamespace(packings=self.packings, capacity=CAPACITY)

    def plan(self, faces: int, *, memory: int | None = None) -> tuple[Run, ...]:
        return plan_runs(faces, self.packings, CAPACITY, memory)

    def encrypt(self, faces: Sequence[int], *, runs: Sequence[Run]) -> Any:
        assert sum(run.faces for run in runs) == len(faces)
        assert {run.packing for run in runs} <= set(self.packings)
        self.bundles.append(list(runs))
        return faces, runs

    def embed(self, bundle: Any) -> Any:
        return bundle

    def decrypt(self, bundle: Any, _sent: Any = ()) -> list[Embedding | HealthReport]:
        faces, runs = bundle
        return [one for run in runs for one in self._run([faces[n] for n in run.numbers], run)]

    def _run(self, faces: list[int], run: Run) -> list[Embedding | HealthReport]:
        spoiled = [face for face in faces if face in self.culprits]
        unclear = len(faces) > 1 and any(face % 2 for face in spoiled)
        found: list[Embedding | HealthReport] = []
        for face in faces:
            cause = Cause.OWN if face in spoiled else Cause.PARTNER
            if unclear:
                cause = Cause.UNCLEAR
            report = HealthReport((400.0,), (100.0, 3000.0), ("diverged",), cause)
            healthy = HealthReport((400.0,), (100.0, 3000.0), ())
            fine = Embedding(np.array([float(face)]), healthy)
            found.append(report if spoiled else fine)
        return found


def through(rumour: Rumour, faces: int) -> Embedded:
    client = cast("FaceClient", rumour)
    return embed_faces(client, cast("Any", list(range(faces))), cast("Any", rumour))


@settings(max_examples=150)
@given(st.sampled_from(WAYS), st.integers(1, 140), st.data())
def test_only_culprits_are_refused(
    packings: tuple[Packing, ...], faces: int, data: st.DataObject
) -> None:
    culprits = data.draw(st.sets(st.integers(0, faces - 1), max_size=4))
    rumour = Rumour(packings, culprits)
    found = through(rumour, faces)
    assert found.refused == sorted(culprits)
    for number, result in enumerate(found.results):
        if isinstance(result, Embedding):
            assert result.values[0] == number
        else:
            assert result.cause is Cause.OWN
    assert len(found.rounds) <= 1 + RETRIES
    assert len(found.rounds) == 1 or culprits
    assert found.healthy == faces - len(culprits)
    for bundle in rumour.bundles:
        assert len(bundle) <= MAX_RUNS


def test_what_a_culprit_costs() -> None:
    """Of 64 faces: a batch of the others where it is known, and all of them alone where not."""
    for culprit, faces, spent in (
        (40, 63, COST[Packing.BATCH]),
        (41, 64, 64 * COST[Packing.ALONE]),
    ):
        found = through(Rumour(tuple(Packing), {culprit}), 64)
        assert [one.faces for one in found.rounds] == [64, faces]
        assert [cost(one.runs) for one in found.rounds] == [COST[Packing.BATCH], spent]
        assert "63 of 64 faces healthy in 2 rounds" in found.summary()
    assert repr(found).startswith("<Embedded: 63 of 64")


def test_the_cheapest_runs() -> None:
    def planned(faces: int, memory: int | None = None) -> list[tuple[str, int]]:
        runs = plan_runs(faces, tuple(Packing), CAPACITY, memory)
        assert [run.first for run in runs] == [
            sum(one.faces for one in runs[:n]) for n in range(len(runs))
        ]
        return [(run.packing.value, run.faces) for run in runs]

    assert planned(1) == [("alone", 1)]
    assert planned(3) == [("alone", 1)] * 3
    assert planned(70) == [("batch", 64), *[("alone", 1)] * 6]
    assert planned(100) == [("batch", 64), ("batch", 36)]
    assert planned(64, MEMORY[Packing.BATCH] - 1) == [("alone", 1)] * 64
    assert planned(1, 1) == [("alone", 1)]  # the least that there is
    assert [run.faces for run in plan_runs(65, [Packing.BATCH], CAPACITY)] == [64, 1]
    for wrong in ((0, tuple(Packing)), (1, ())):
        with pytest.raises(PlanningError):
            plan_runs(wrong[0], wrong[1], CAPACITY)


def test_costs_are_those_of_the_model() -> None:
    engine = choose_engine(packings=Packing)

    def seconds(packing: Packing) -> float:
        plan = engine.of(packing).plan
        costs = step_costs(plan, engine.parameters, Machine(threads=2))
        return totals(costs).estimated_seconds

    for packing in Packing:
        assert COST[packing] == pytest.approx(seconds(packing) / seconds(Packing.ALONE), rel=0.25)
