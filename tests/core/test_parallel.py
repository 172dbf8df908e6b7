"""Steps on threads: the ciphertexts of native.run, bit for bit, and its errors."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from fhe_core.ciphertext import Ciphertext
from fhe_core.compiler import SAFE, CompiledNetwork, compile_network
from fhe_core.compiler.architecture import architecture_of
from fhe_core.keys.evaluation import EvaluationKeys, MissingKeyError
from fhe_core.plan import PlanError, required_keys
from fhe_core.runtime import native, parallel
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.runtime.packed import PackedPlan, pack
from tests.core import tiny


class Alone:
    """The plan with every patch in ciphertexts of its own, ready to run."""

    def __init__(self, world: tiny.World) -> None:
        shape = architecture_of(world.network)
        parameters = world.parameters
        self.compiled: CompiledNetwork = compile_network(
            shape, parameters, SAFE, tiny.ROOT, lanes=1
        )
        plan = self.compiled.plan
        self.keys: EvaluationKeys = tiny.make_keys(world.key, required_keys([plan], parameters))
        tables = self.compiled.tables(world.network)
        self.packed: PackedPlan = pack(plan, tables, parameters)
        slots = self.compiled.pack_image(world.images[0])
        self.inputs: list[Ciphertext] = tiny.encrypt_inputs(world.key, plan, slots)
        evaluator = Evaluator(parameters, self.keys, 1)
        self.expected = native.run(self.packed, evaluator, self.inputs)


@pytest.fixture(scope="module")
def alone(world: tiny.World) -> Alone:
    return Alone(world)


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_results_are_those_of_one_step_after_the_other(alone: Alone, threads: int) -> None:
    results = parallel.run(alone.packed, alone.keys, alone.inputs, threads)
    for result, expected in zip(results, alone.expected, strict=True):
        assert np.array_equal(result.residues, expected.residues)
        assert result.scale == expected.scale


def test_a_plan_that_is_one_chain(world: tiny.World) -> None:
    plan = world.compiled.plan
    packed = pack(plan, world.tables, world.parameters)
    inputs = tiny.encrypt_inputs(world.key, plan, world.compiled.pack_image(world.images[1]))
    expected = native.run(packed, Evaluator(world.parameters, world.keys, 1), inputs)
    results = parallel.run(packed, world.keys, inputs, 3)
    for result, one in zip(results, expected, strict=True):
        assert np.array_equal(result.residues, one.residues)


def test_progress_tells_of_every_step_once(alone: Alone) -> None:
    told: list[tuple[int, str, float]] = []
    callers = set()

    def progress(number: int, label: str, seconds: float) -> None:
        told.append((number, label, seconds))
        callers.add(threading.current_thread())

    parallel.run(alone.packed, alone.keys, alone.inputs, 2, progress)
    labels = alone.packed.plan.labels
    assert sorted(number for number, _, _ in told) == list(range(len(labels)))
    assert all(label == labels[number] and seconds >= 0 for number, label, seconds in told)
    assert callers == {threading.current_thread()}


def test_steps_do_run_side_by_side(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads meet in two steps at once: a barrier would wait for ever otherwise."""
    barrier = threading.Barrier(2, timeout=30)
    met: list[bool] = []

    def waiting(*arguments: object) -> list[Ciphertext]:
        if len(met) < 1:
            barrier.wait()
            met.append(True)
        return native.apply_step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("fhe_core.runtime.parallel.apply_step", waiting)
    parallel.run(alone.packed, alone.keys, alone.inputs, 2)
    assert met


def test_errors_of_a_thread_are_raised(alone: Alone, world: tiny.World) -> None:
    without = dict(list(alone.keys.keys.items())[:-3])
    keys = EvaluationKeys(world.parameters, alone.keys.key_id, without)
    before = threading.active_count()
    with pytest.raises(MissingKeyError, match="no evaluation key"):
        parallel.run(alone.packed, keys, alone.inputs, 2)
    assert threading.active_count() == before


def test_wrong_inputs_are_refused(alone: Alone) -> None:
    with pytest.raises(PlanError, match="takes 8 ciphertexts"):
        parallel.run(alone.packed, alone.keys, alone.inputs[:1], 1)
    low = [ciphertext.drop_to(2, alone.keys.parameters) for ciphertext in alone.inputs]
    with pytest.raises(PlanError, match=r"at level .* and scale"):
        parallel.run(alone.packed, alone.keys, low, 1)
    with pytest.raises(ValueError, match="at least one"):
        parallel.run(alone.packed, alone.keys, alone.inputs, 0)
