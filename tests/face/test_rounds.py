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
    healthy_at: float = 0.0  # what contrast culprits do well with
    contrasts: list[float] = field(default_factory=list)
    bundles: list[list[Run]] = field(default_factory=list)
    engine: Any = None

    def __post_init__(self) -> None:
        self.engine = SimpleNamespace(packings=self.packings, capacity=CAPACITY)

    def plan(
        self,
        faces: int,
        *,
        packings: Sequence[Packing] | None = None,
        memory: int | None = None,
    ) -> tuple[Run, ...]:
        return plan_runs(faces, packings or self.packings, CAPACITY, memory)

    def encrypt(self, faces: Sequence[int], *, runs: Sequence[Run], contrast: float) -> Any:
        self.contrasts.append(contrast)
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
        well = self.contrasts[-1] <= self.healthy_at
        spoiled = [face for face in faces if face in self.culprits and not well]
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


@settings(max_examples=50)
@given(st.sampled_from(WAYS), st.integers(1, 140), st.sampled_from((0.9, 0.8)), st.data())
def test_less_contrast_gives_culprits_an_embedding(
    packings: tuple[Packing, ...], faces: int, healthy_at: float, data: st.DataObject
) -> None:
    culprits = data.draw(st.sets(st.integers(0, faces - 1), min_size=1, max_size=4))
    found = through(Rumour(packings, culprits, healthy_at), faces)
    assert found.refused == []
    for number in culprits:
        result = found.results[number]
        assert isinstance(result, Embedding)
        assert result.contrast == healthy_at
    assert len(found.rounds) == (2 if healthy_at == 0.9 else 3)


def test_what_a_culprit_costs() -> None:
    """Of 64 faces: itself where it is known who it was, a batch where not; never each alone."""
    alone, batch = COST[Packing.ALONE], COST[Packing.BATCH]
    for culprit, spent in ((40, batch), (41, batch)):
        found = through(Rumour(tuple(Packing), {culprit}, 0.9), 64)
        assert [one.contrast for one in found.rounds] == [1.0, 0.9]
        assert [cost(one.runs) for one in found.rounds] == [batch, spent]
        assert "64 of 64 faces healthy in 2 rounds" in found.summary()
    # One that no contrast helps: everybody else has an embedding all the same.
    for culprit, spends in ((40, [batch] * 3 + [63 * alone]), (41, [batch] * 3 + [64 * alone])):
        found = through(Rumour(tuple(Packing), {culprit}), 64)
        assert [cost(one.runs) for one in found.rounds] == spends
        assert found.refused == [culprit]
    assert repr(found).startswith("<Embedded: 63 of 64")


def test_the_first_contrast_may_be_lower() -> None:
    rumour = Rumour(tuple(Packing), {41}, 0.9)
    client = cast("FaceClient", rumour)
    found = embed_faces(client, cast("Any", list(range(64))), cast("Any", rumour), contrast=0.9)
    assert len(found.rounds) == 1
    assert found.refused == []
    assert {cast("Embedding", result).contrast for result in found.results} == {0.9}


@pytest.mark.parametrize("culprits", [set(), {1}, {0, 1, 2, 3}])
@pytest.mark.parametrize("rounds", [1, 2, 6])
def test_a_server_with_fixed_rounds_sees_the_same_always(culprits: set[int], rounds: int) -> None:
    """So many rounds, of all faces, whatever comes out of them; the first good result counts."""
    rumour = Rumour((Packing.ALONE,), culprits, 0.9)
    server = SimpleNamespace(rounds=rounds, embed=rumour.embed)
    found = embed_faces(
        cast("FaceClient", rumour), cast("Any", list(range(4))), cast("Any", server)
    )
    assert [one.faces for one in found.rounds] == [4] * rounds
    assert rumour.contrasts == [1.0, 0.9, 0.8, 0.8, 0.8, 0.8][:rounds]
    assert found.refused == ([] if rounds > 1 else sorted(culprits))
    for number, result in enumerate(found.results):
        if isinstance(result, Embedding):
            assert result.contrast == (0.9 if number in culprits else 1.0)


@pytest.mark.parametrize("rounds", [0, -1])
def test_a_server_with_no_round_sees_nothing(rounds: int) -> None:
    """None is not as many as its faces need: it would see which were refused."""
    rumour = Rumour((Packing.ALONE,), {1})
    server = SimpleNamespace(rounds=rounds, embed=rumour.embed)
    with pytest.raises(PlanningError, match="rounds"):
        embed_faces(cast("FaceClient", rumour), cast("Any", [0, 1]), cast("Any", server))
    assert rumour.contrasts == []


def test_copies_of_a_face_have_one_contrast() -> None:
    """A culprit spoils one copy of another face, in a batch of its own: both are made again."""
    rumour = Rumour((Packing.BATCH,), {1}, 0.9)
    found = embed_faces(
        cast("FaceClient", rumour), cast("Any", list(range(80))), cast("Any", rumour), copies=16
    )
    contrasts = [cast("Embedding", result).contrast for result in found.results]
    assert contrasts == [0.9] * 64 + [1.0] * 16
    found = embed_faces(
        cast("FaceClient", rumour), cast("Any", list(range(72))), cast("Any", rumour), copies=36
    )
    contrasts = [cast("Embedding", result).contrast for result in found.results]
    assert contrasts == [0.9] * 72


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
