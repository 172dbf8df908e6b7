"""A run is its plan: same seed, same weights; stopped and continued as if it never stopped."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fhe_face.models.checkpoint import load
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.loop import LOG_FILE, STATE_FILE, WEIGHTS_FILE, Trainer, read_log
from fhe_face.models.training.people import Classify, People
from fhe_face.models.training.plan import Plan

PLAN = Plan(steps=4, batch=4, rate=1e-3, seed=3, warmup=1, bounded_from=0.5, stress=2)


@pytest.fixture(scope="module")
def people() -> People:
    random = np.random.default_rng(0)
    base = random.integers(0, 256, (3, 1, 8, 8, 3))
    crops = (base * 0.8 + random.integers(0, 50, (3, 4, 8, 8, 3))).astype(np.uint8)
    crops = crops.reshape(12, 8, 8, 3).repeat(8, 1).repeat(8, 2)
    return People(crops, np.repeat(np.arange(3), 4))


def trainer(people: People, folder: Path, plan: Plan = PLAN) -> Trainer:
    torch.manual_seed(plan.seed)
    objective = Classify(people, plan.batch, plan.seed)
    network = CryptoFaceNet(64)
    return Trainer(network, objective.attach(network), plan, folder)


def digest(folder: Path) -> str:
    return load(folder / WEIGHTS_FILE).sha256


def test_same_seed_same_weights_and_resumed_equals_uninterrupted(
    people: People, tmp_path: Path
) -> None:
    records = list(trainer(people, tmp_path / "whole").run())
    assert [record["step"] for record in records] == [1, 2, 3, 4]
    for stop in (1, 3):  # before and in the bounded phase
        folder = tmp_path / f"stopped{stop}"
        first = trainer(people, folder).run(save_every=100)
        for _ in range(stop):
            next(first)
        first.close()  # as an interruption does
        second = trainer(people, folder)
        second.resume()
        assert second.step == stop
        list(second.run())
        assert digest(folder) == digest(tmp_path / "whole")
        assert read_log(folder / LOG_FILE) == records
    other = tmp_path / "other"
    list(trainer(people, other, replace(PLAN, seed=4)).run())
    assert digest(other) != digest(tmp_path / "whole")
    assert not [f for f in tmp_path.rglob("*.tmp")]


def test_weights_carry_the_plan(people: People, tmp_path: Path) -> None:
    plan = replace(PLAN, steps=1)
    list(trainer(people, tmp_path, plan).run())
    checkpoint = load(tmp_path / WEIGHTS_FILE)
    assert checkpoint.manifest is not None
    assert checkpoint.manifest.training == json.loads(json.dumps({"step": 1, "plan": plan.facts()}))
    CryptoFaceNet.from_state(checkpoint.state)


def test_bounded_phase_fixes_statistics_and_aims_at_the_middle_norm(
    people: People, tmp_path: Path
) -> None:
    run = trainer(people, tmp_path, replace(PLAN, steps=4))
    steps = run.run()
    next(steps), next(steps)
    before = {k: v.clone() for k, v in run.network.state_dict().items() if "running" in k}
    record = next(steps)
    assert "norm" in record
    assert "largest_hostile" in record
    after = run.network.state_dict()
    for name, tensor in before.items():
        expected = tensor * (256 / 548) if name == "bn.running_var" else tensor
        torch.testing.assert_close(after[name], expected)
    steps.close()


def test_other_plans_and_damaged_states_are_refused(people: People, tmp_path: Path) -> None:
    list(trainer(people, tmp_path, replace(PLAN, steps=1)).run())
    with pytest.raises(TrainingError, match=r"made with rate 0\.001, not 0\.002"):
        trainer(people, tmp_path, replace(PLAN, steps=1, rate=2e-3)).resume()
    file = tmp_path / STATE_FILE
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"\x80\x04K\x01."):
        file.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"state\.safetensors: not a training state"):
            trainer(people, tmp_path, replace(PLAN, steps=1)).resume()
    file.unlink()
    with pytest.raises(TrainingError, match="no such file"):
        trainer(people, tmp_path, replace(PLAN, steps=1)).resume()


def test_state_of_other_people_is_refused(people: People, tmp_path: Path) -> None:
    plan = replace(PLAN, steps=1)
    list(trainer(people, tmp_path, plan).run())
    fewer = People(people.crops[:8], people.labels[:8])
    with pytest.raises(TrainingError, match="of another network or data"):
        trainer(fewer, tmp_path, plan).resume()


def test_divergence_is_reported(people: People, tmp_path: Path) -> None:
    run = trainer(people, tmp_path)
    with torch.no_grad():
        run.network.linear.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="diverged at step 0"):
        list(run.run())


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("batch", 1), ("rate", 0.0), ("bounded_from", 1.5), ("clamp", 3.0)],
)
def test_plans_without_sense(name: str, value: float) -> None:
    changed: dict[str, Any] = {name: value}
    with pytest.raises(TrainingError, match=f"{name} is "):
        replace(PLAN, **changed)


def test_learning_rates() -> None:
    plan = Plan(steps=1000, batch=4, rate=1e-2, warmup=10, bounded_from=0.6)
    rates = [plan.rate_at(step) for step in range(1000)]
    assert max(rates) <= 1e-2
    assert max(rates[:600]) > 0.99e-2
    assert rates[0] < 1e-3
    assert 0.4e-2 < max(rates[600:]) <= 0.5e-2
    assert rates[599] < 3e-4 > rates[999] > 0
