"""Fine-tuning cannot hurt silently: the failure that others met, and how it is caught.

Their network was trained until a photo and its changed copy had a similarity of 0.999, and then
found hardly anybody: only people who are looked up in a gallery show that.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fhe_face.models.calibration import images
from fhe_face.models.checkpoint import load
from fhe_face.models.synthetic import untrained
from fhe_face.models.training import build
from fhe_face.models.training.build import Job, Options
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.guard import BEST_FILE, GUARD_FILE, Guard, Mark
from fhe_face.models.training.loop import STATE_FILE, WEIGHTS_FILE, Objective, Seen
from fhe_face.models.training.people import People
from fhe_face.models.training.state import load_facts
from fhe_face.network import bundled_weights

PEOPLE, PHOTOS = 10, 4
OPTIONS = Options(epochs=6, groups=4, images=2, rate=4e-3, held_out=6)


@pytest.fixture(scope="module")
def people() -> People:
    return drawings(0.25)


def drawings(own_share: float) -> People:
    """Drawings of people who look alike, every photo in another light; own_share: of what is in a
    drawing, how much is of this person alone."""
    draw = np.random.default_rng(1)
    drawn = images(draw, PEOPLE + 1, 64).astype(float)
    own = (1 - own_share) * drawn[0] + own_share * drawn[1:]
    light = draw.normal(scale=25, size=(PEOPLE, PHOTOS, 1, 1, 3))
    grain = draw.normal(scale=8, size=(PEOPLE, PHOTOS, 64, 64, 3))
    crops = np.clip(own[:, None] + light + grain, 0, 255).astype(np.uint8)
    return People(crops.reshape(-1, 64, 64, 3), np.repeat(np.arange(PEOPLE), PHOTOS))


class Paired:
    """What they trained for: a photo and a changed copy of the same photo become alike."""

    def __init__(self, inner: Objective) -> None:
        self.inner, self.head = inner, nn.Module()

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        crops, labels = self.inner.batch(step)
        return torch.cat([crops, crops]), torch.cat([labels, labels])

    def loss(self, seen: Seen, known: Tensor) -> dict[str, Tensor]:
        one, two = functional.normalize(seen.embedding).chunk(2)
        return {"pair": 20 * (1 - (one * two).sum(1)).mean()}


def tuned(people: People, folder: Path, options: Options = OPTIONS) -> Job:
    return build.finetune(people, load(bundled_weights()).state, folder, options)


def guarded(job: Job) -> Guard:
    assert job.guard is not None
    return job.guard


def test_paired_similarity_rises_nobody_is_found_and_nothing_is_written(tmp_path: Path) -> None:
    """From a network that tells these people apart, so that no epoch can be better by luck."""
    people, options = drawings(0.4), replace(OPTIONS, epochs=24, rate=1e-2)
    job = tuned(people, tmp_path, options)
    job.trainer.objective = Paired(job.trainer.objective)
    before = guarded(job).first
    assert before["rank1"] > 0.9
    assert before["paired"] < 0.8
    last = list(job.run())[-1]
    assert last["paired"] > 0.98, "by their measure it went well"
    assert last["rank1"] < 0.5
    assert last["eer"] > 0.4, "nearly as bad as guessing"
    with pytest.raises(TrainingError, match=r"made it worse for people.*--allow-worse"):
        guarded(job).finish()
    assert not (tmp_path / WEIGHTS_FILE).exists()

    # The same run, told to write what it has: the best state, not the last one.
    again = tuned(people, tmp_path, replace(options, allow_worse=True))
    assert not list(again.run())
    guarded(again).finish()
    best = guarded(again).best
    assert best is not None
    assert best.step < job.trainer.plan.steps
    weights = load(tmp_path / WEIGHTS_FILE)
    assert weights.tensors_sha256 == load(tmp_path / BEST_FILE).tensors_sha256
    assert weights.manifest is not None
    assert weights.manifest.training["held_out"] == guarded(again).facts()


def test_better_states_replace_worse_ones(people: People, tmp_path: Path) -> None:
    """The looks of one network with made-up marks; only what is kept is seen."""
    marks = iter([(0.5, 0.3), (0.4, 0.1), (0.5, 0.2), (0.5, 0.2), (0.75, 0.4)])
    job = tuned(people, tmp_path)
    guard = guarded(job)
    guard.before = Mark(0.5, 0.25, 0)
    written = []
    for step, (rank1, eer) in enumerate(marks, 1):
        guard.look({"rank1": rank1, "eer": eer, "step": step})
        written.append((guard.best.step if guard.best else None, guard.allowed))
    assert written == [(1, False), (1, False), (3, True), (3, True), (5, True)]
    assert (tmp_path / WEIGHTS_FILE).exists()


def test_stopped_and_continued_keeps_what_was_before(people: People, tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=3, rate=1e-4)
    whole = tuned(people, tmp_path / "whole", options)
    list(whole.run())
    steps = tuned(people, tmp_path / "stopped", options).run(save_every=100)
    next(steps)
    steps.close()
    second = tuned(people, tmp_path / "stopped", options)
    assert guarded(second).first == guarded(whole).first
    list(second.run())
    assert guarded(second).facts() == guarded(whole).facts()
    one, two = (load(tmp_path / name / BEST_FILE).sha256 for name in ("whole", "stopped"))
    assert one == two
    (tmp_path / "stopped" / GUARD_FILE).write_text("{}")
    with pytest.raises(TrainingError, match="is missing or damaged"):
        tuned(people, tmp_path / "stopped", options)


def test_the_state_is_there_before_the_best_one(people: People, tmp_path: Path) -> None:
    """Else a run that is killed between them is no run to go on with: weights without a state."""
    job = tuned(people, tmp_path, replace(OPTIONS, rate=1e-4))
    steps = job.run(save_every=100)
    record = next(steps)
    assert "rank1" in record
    assert (tmp_path / BEST_FILE).exists()
    assert load_facts(tmp_path / STATE_FILE)["step"] == record["step"]
    steps.close()


def test_what_is_known_before_the_first_state_is_measured_again(
    people: People, tmp_path: Path
) -> None:
    """A record without a state may be of other weights, or of other people who were held out."""
    first = guarded(tuned(people, tmp_path)).first
    other = build.finetune(people, untrained(3), tmp_path, OPTIONS)
    fresh = build.finetune(people, untrained(3), tmp_path / "fresh", OPTIONS)
    assert guarded(other).first == guarded(fresh).first != first


@pytest.mark.parametrize("losses", ["arcface", "both"])
def test_with_and_without_the_head(people: People, tmp_path: Path, losses: Any) -> None:
    options = replace(OPTIONS, epochs=1, rate=1e-4, losses=losses)
    job = tuned(people, tmp_path, options)
    record = list(job.run())[-1]
    assert ("contrast" in record) == (losses == "both")
    for name in ("arcface", "rank1_head", "head_trained"):
        assert name in record
    assert 0 <= record["rank1_head"] <= 1
    assert 0 < record["head_trained"] <= 1


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"temperature": 0.0}, "--temperature is 0.0"),
        ({"temperature": float("nan")}, "--temperature is nan"),
        ({"losses": "paired"}, "--losses is 'paired'"),
    ],
)
def test_options_without_sense(
    people: People, tmp_path: Path, changed: dict[str, Any], problem: str
) -> None:
    with pytest.raises(TrainingError, match=problem):
        tuned(people, tmp_path, replace(OPTIONS, **changed))


def test_another_temperature_is_another_run(people: People, tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=1)
    list(tuned(people, tmp_path, options).run())
    with pytest.raises(TrainingError, match=r"made with temperature 0\.07, not 0\.1"):
        tuned(people, tmp_path, replace(options, temperature=0.1))
