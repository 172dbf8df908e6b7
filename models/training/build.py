"""From labelled crops and options to a trainer: what `fhe-face train` and `finetune` share."""

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from fhe_face.models.architecture import State
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.training.augmentation import LABELLED
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.guard import Guard
from fhe_face.models.training.loop import STATE_FILE, Record, Trainer
from fhe_face.models.training.people import Classify, Contrast, Losses, People, RankOne
from fhe_face.models.training.plan import Plan

SIZE: Final = 64


@dataclass(frozen=True)
class Options:
    """epochs: how often each image (finetune: each person) is seen; batch: images per step
    (train); groups, images: people per step and images of each (finetune); held_out: people for
    validation only; half: bfloat16. None: as many as usual, fewer where there are few people.
    Of finetune: temperature of InfoNCE, losses, and allow_worse, whether weights are written that
    are worse than before.
    """

    epochs: int = 20
    batch: int | None = None
    groups: int | None = None
    images: int = 4
    rate: float = 1e-3
    seed: int = 0
    held_out: int | None = None
    bounded_from: float = 0.6
    half: bool = False
    compiled: bool = False
    device: str = "cpu"
    temperature: float = 0.07
    losses: Losses = "contrast"
    allow_worse: bool = False


@dataclass(frozen=True, eq=False)
class Job:
    """A trainer, its validation, and how many people and images it trains on.

    held_out: people for validation; guard: of weights that were given, which keeps the best state.
    """

    trainer: Trainer
    check: RankOne | None
    people: int
    images: int
    steps_per_epoch: int
    held_out: int = 0
    guard: Guard | None = None

    def run(self, save_every: int = 100) -> Generator[Record, None, None]:
        """`Trainer.run` with the validation after every epoch, at which the guard looks."""
        steps = self.trainer.run(
            save_every=save_every, check=self.check, check_every=self.steps_per_epoch
        )
        with closing(steps):
            for record in steps:
                if self.guard is not None and "rank1" in record:
                    self.guard.look(record)
                yield record


def classify(people: People, folder: Path, options: Options) -> Job:
    """Training from scratch: ArcFace and jigsaw. TrainingError: too little data, bad options."""
    train, held_out = _split(people, options)
    objective = Classify(train, options.batch, options.seed)
    torch.manual_seed(options.seed)
    network = CryptoFaceNet(SIZE)
    objective.attach(network)
    plan = _plan(options, objective.steps_per_epoch, objective.size)
    return _job(network, objective, plan, folder, options, train, held_out)


def finetune(people: People, state: State, folder: Path, options: Options) -> Job:
    """Contrastive fine-tuning of given weights, with their statistics, all of it bounded.

    TrainingError: too little data, bad options. ValueError: weights that do not fit.
    """
    train, held_out = _split(people, options)
    objective = Contrast(
        train, options.groups, options.images, options.seed, options.temperature, options.losses
    )
    network = CryptoFaceNet.from_state(with_training_tensors(state))
    if network.input_size != SIZE:
        raise TrainingError(f"weights for {network.input_size} pixels; training takes {SIZE}")
    steps, size = objective.steps_per_epoch, objective.groups * objective.images
    plan = _plan(replace(options, bounded_from=0.0), steps, size)
    job = _job(network, objective, plan, folder, options, train, held_out)
    if job.check is None:
        return job
    # Until something is known about them, weights of the run are no weights to use.
    job.trainer.weights_file = None
    return replace(job, guard=Guard(job.trainer, job.check, options.allow_worse))


def with_training_tensors(state: State) -> State:
    """Files for inference may lack the jigsaw head and the counters: fresh ones then."""
    fresh = CryptoFaceNet(SIZE).state()
    return {**{name: fresh[name] for name in fresh if name not in state}, **state}


def _split(people: People, options: Options) -> tuple[People, People]:
    if people.crops.shape[1:] != (SIZE, SIZE, 3):
        raise TrainingError(f"crops are {people.crops.shape[1:]}; they must be ({SIZE}, {SIZE}, 3)")
    if options.epochs < 1:
        raise TrainingError(f"epochs is {options.epochs}; it must be at least 1")
    return people.split(options.held_out, options.seed)


def _plan(options: Options, steps_per_epoch: int, batch: int) -> Plan:
    steps = options.epochs * steps_per_epoch
    return Plan(
        steps=steps, batch=batch, rate=options.rate, seed=options.seed,
        warmup=min(50, steps // 10), bounded_from=options.bounded_from,
        stress=max(2, min(16, batch // 4)), half=options.half, temperature=options.temperature,
        losses=options.losses, augmentation=LABELLED,
    )  # fmt: skip


def _job(
    network: CryptoFaceNet, objective: Classify | Contrast, plan: Plan, folder: Path,
    options: Options, train: People, held_out: People,
) -> Job:  # fmt: skip
    trainer = Trainer(
        network, objective, plan, folder, device=options.device, compiled=options.compiled
    )
    if (folder / STATE_FILE).exists():
        trainer.resume()
    check = RankOne(held_out, objective.head, train) if len(held_out.labels) else None
    steps = objective.steps_per_epoch
    return Job(trainer, check, train.count, len(train.labels), steps, held_out.count)


def summary(record: Mapping[str, float]) -> str:
    """One line about a step for people."""
    shown = [
        f"{name} {value:.3g}" for name, value in record.items() if name not in ("step", "rate")
    ]
    return f"step {record['step']}: {', '.join(shown)}"
