"""Training the divergence out of given weights: four stages, each a run of `Trainer`.

First gently, so that nothing is lost; then hard, until nothing diverges; last gently again, to
regain what that cost. The given network is the frozen teacher of every stage.
"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.models.architecture import State
from fhe_face.models.checkpoint import load_state
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.manifest import tensors_digest
from fhe_face.models.training.build import SIZE, with_training_tensors
from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.keeping import HELD_OUT, Keep
from fhe_face.models.training.loop import (
    LOG_FILE,
    STATE_FILE,
    WEIGHTS_FILE,
    Record,
    Trainer,
    device_of,
    read_log,
    seed_of,
)
from fhe_face.models.training.plan import Plan
from fhe_face.models.training.shards import Canvases
from fhe_face.models.training.state import load_facts, read_record, write_record

RUN_FILE: Final = "run.json"


@dataclass(frozen=True)
class _Stage:
    """What differs between the stages; see `models.training.plan.Plan`."""

    steps: int
    bound_weight: float
    rate: float
    hunted: int = 16
    clamp: float = 10.0
    hunt_faces: float = 0.0


_STAGES: Final = (
    _Stage(900, 0.05, 8e-4),
    _Stage(700, 0.4, 4e-3),
    _Stage(2500, 0.4, 3e-3, hunted=48, clamp=6.0, hunt_faces=0.5),
    _Stage(1000, 0.1, 5e-4, hunt_faces=0.5),
)
#: For which the numbers of hostile pictures per step were chosen; smaller batches take fewer.
_BATCH: Final = 64
_STRESS: Final = 16
STEPS: Final = sum(stage.steps for stage in _STAGES)
#: Training aims inside the interval of the normalisation, by these factors of its ends.
_AIM: Final = (1.3, 0.54)


@dataclass(frozen=True)
class Options:
    """steps: of all stages together; batch: faces per step; held_out, stress: faces and stress
    images of the check; held_out None: 300, of fewer than 3000 faces a tenth.
    """

    steps: int = STEPS
    batch: int = _BATCH
    seed: int = 1
    device: str = "cpu"
    compiled: bool = False
    half: bool = False
    check_every: int = 100
    save_every: int = 50
    held_out: int | None = None
    stress: int = 300


class Bounding:
    """One run in one folder, which holds a folder for every stage; made again, it goes on."""

    def __init__(
        self, given: State, coefficients: FittedNormalisation, faces: Canvases, folder: Path,
        options: Options | None = None,
    ) -> None:  # fmt: skip
        """coefficients: the normalisation of the given weights, whose interval is aimed at.

        TrainingError: weights for other faces than 64 pixels, bad options, or a folder that holds
        a run of other weights, faces or options.
        """
        self.options = options or Options()
        self.folder, self.faces, self.coefficients = folder, faces, coefficients
        torch.manual_seed(self.options.seed)  # where the weights lack the jigsaw head
        self.given = CryptoFaceNet.from_state(with_training_tensors(given))
        if self.given.input_size != SIZE:
            raise TrainingError(
                f"weights for {self.given.input_size} pixels; those for {SIZE} can be bounded"
            )
        self.plans = _plans(self.options, coefficients.interval)
        device_of(self.options.device)
        self._keep(self.plans[0])  # whether the faces suffice
        self._require_own(tensors_digest(given))

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(plan.steps for plan in self.plans)

    @property
    def weights(self) -> Path:
        """The file with the weights so far; it may not exist before the first step."""
        files = [self._stage(number) / WEIGHTS_FILE for number in range(len(self.plans))]
        return next((file for file in reversed(files) if file.exists()), files[0])

    @property
    def done(self) -> int:
        """Steps that were saved, of all stages."""
        files = [self._stage(number) / STATE_FILE for number in range(len(self.plans))]
        return sum(int(load_facts(file)["step"]) for file in files if file.exists())

    @property
    def finished(self) -> bool:
        """Whether all steps were done."""
        return self.done == self.steps

    def check(self, network: CryptoFaceNet) -> Record:
        """The numbers of `Keep.check` for any network."""
        return self._keep(self.plans[0]).check(network)

    def network(self) -> CryptoFaceNet:
        """What it has come to; the given network before the first step."""
        if not self.weights.exists():
            return self.given
        return CryptoFaceNet.from_state(load_state(self.weights))

    def run(self) -> Generator[Record, None, None]:
        """Train what is left; yields a record for every step: that of `Trainer.run` with `stage`
        (from 1) and `done` (steps of all stages). Left between two steps, it has saved."""
        before = 0
        for number, plan in enumerate(self.plans):
            trainer, keep = self._trainer(number, plan)
            steps = trainer.run(
                save_every=self.options.save_every,
                check=keep.check,
                check_every=self.options.check_every,
            )
            with closing(steps):
                for record in steps:
                    yield {**record, "stage": number + 1, "done": before + record["step"]}
            before += plan.steps

    def records(self) -> list[Record]:
        """What the logs of all stages tell, in order."""
        found, before = [], 0
        for number, plan in enumerate(self.plans):
            log = self._stage(number) / LOG_FILE
            for record in read_log(log) if log.exists() else []:
                found.append(record | {"stage": number + 1, "done": before + record["step"]})
            before += plan.steps
        return found

    def _trainer(self, number: int, plan: Plan) -> tuple[Trainer, Keep]:
        start = self.given.state()
        if number:
            start = load_state(self._stage(number - 1) / WEIGHTS_FILE)
        keep = self._keep(plan)
        folder = self._stage(number)
        trainer = Trainer(
            CryptoFaceNet.from_state(start), keep, plan, folder,
            device=self.options.device, compiled=self.options.compiled,
            coefficients=self.coefficients,
        )  # fmt: skip
        if (folder / STATE_FILE).exists():
            trainer.resume()
        return trainer, keep

    def _keep(self, plan: Plan) -> Keep:
        options = self.options
        interval = self.coefficients.interval
        held_out = options.held_out
        if held_out is None:
            held_out = min(HELD_OUT, len(self.faces) // 10)
        return Keep(self.given, self.faces, plan, interval, held_out, options.stress)

    def _stage(self, number: int) -> Path:
        return self.folder / f"stage-{number + 1}"

    def facts(self) -> dict[str, Any]:
        """What belongs into the manifest of the weights, as JSON values."""
        return {"steps": self.steps, "faces": len(self.faces), "seed": self.options.seed}

    def _require_own(self, digest: str) -> None:
        """Write what this run is, or compare it with what the folder says."""
        ours = {
            "given": digest,
            "interval": list(self.coefficients.interval),
            "batch": self.options.batch,
            **self.facts(),
        }
        file = self.folder / RUN_FILE
        theirs = read_record(file)
        for name, value in ours.items():
            if theirs and theirs.get(name) != value:
                raise TrainingError(
                    f"{self.folder}: holds a run with {name} {theirs.get(name)}, not {value}; give "
                    "the same weights and options, or another folder"
                )
        if not theirs:
            write_record(file, ours)


def _plans(options: Options, interval: tuple[float, float]) -> tuple[Plan, ...]:
    if options.steps < len(_STAGES):
        raise TrainingError(f"{options.steps} steps; there are {len(_STAGES)} stages")
    low, high = interval
    counts = [max(1, round(options.steps * stage.steps / STEPS)) for stage in _STAGES]
    longest = max(range(len(counts)), key=lambda number: _STAGES[number].steps)
    counts[longest] += options.steps - sum(counts)
    share = min(options.batch / _BATCH, 1)
    norms = (low * _AIM[0], high * _AIM[1])
    return tuple(
        Plan(
            steps=steps,
            batch=options.batch,
            rate=stage.rate,
            seed=seed_of(options.seed, "stage", number) % (1 << 32),
            bounded_from=0.0,
            stress=max(2, round(_STRESS * share)),
            clamp=stage.clamp,
            bound_weight=stage.bound_weight,
            hunt_faces=stage.hunt_faces,
            half=options.half,
            hunted=max(2, round(stage.hunted * share)),
            norms=norms,
        )
        for number, (stage, steps) in enumerate(zip(_STAGES, counts, strict=True))
    )
